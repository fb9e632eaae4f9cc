"""The engine: `completion` builds a tree of runs, and `run` is the paper's loop."""
