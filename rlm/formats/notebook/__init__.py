"""A run as a notebook: the format, its writer and its reader."""
