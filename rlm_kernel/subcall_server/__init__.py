"""Answers the sub-calls of a person's kernel, from a process of its own that holds the keys."""
