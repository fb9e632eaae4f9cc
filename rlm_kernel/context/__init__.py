"""How a context travels: as what it is written, read, loaded and hashed."""
