"""Files that hold a record: notebook, JSONL, Chrome trace. They know no engine."""
