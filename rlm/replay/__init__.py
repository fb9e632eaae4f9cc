"""Runs again: the log of a run answers its calls, wholly or up to a turn from which it is live."""
