"""The environment `modal`: one Modal sandbox for each tree."""
