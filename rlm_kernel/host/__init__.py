"""The host's half, whatever the environment: sessions, and what they ask of a sandbox."""
