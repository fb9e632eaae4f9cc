"""The host's half in every environment: sessions, and what they need of a sandbox."""
