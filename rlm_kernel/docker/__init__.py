"""The environment `docker`: images, and one container for each tree."""
