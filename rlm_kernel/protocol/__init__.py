"""The protocol of a sandbox's byte stream: frames, messages in chunks, and sub-calls."""
