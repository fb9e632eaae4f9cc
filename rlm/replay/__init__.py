"""Replays runs: a log answers a run's calls, all of them or up to the turn where it goes live."""
