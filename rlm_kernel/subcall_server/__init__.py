"""Answers a notebook kernel's sub-calls from a separate process, which holds the keys."""
