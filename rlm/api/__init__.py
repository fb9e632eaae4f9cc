"""What users call: `RLM`, its runs in the background, its readers, and who answers a notebook."""
