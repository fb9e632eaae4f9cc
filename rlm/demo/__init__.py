"""The demo: a run on 10 MB of real input with a stand-in model behind a real HTTP API."""
