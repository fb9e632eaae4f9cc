"""Answers a notebook kernel's sub-calls in a separate process, which holds the keys."""
