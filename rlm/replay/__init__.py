"""Replays runs: a log answers all of a run's calls, or those before the first live turn."""
