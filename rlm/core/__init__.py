"""The engine: one run is a loop over a kernel, told in events."""
