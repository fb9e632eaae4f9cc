"""The reference's JSONL logs: written, validated, and read back into events."""
