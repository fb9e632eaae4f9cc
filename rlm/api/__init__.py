"""The public objects: `RLM` and its handles, sync, async and in the background."""
