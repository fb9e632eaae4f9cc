"""The engine: the loop, what it asks models, what it answers kernels, and its limits."""
