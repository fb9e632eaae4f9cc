"""The demo: a stand-in model behind a real HTTP API, asked about 10 MB of real input."""
