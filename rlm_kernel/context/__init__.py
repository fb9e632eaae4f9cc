"""How a context travels to a kernel: read, serialised, written, hashed and loaded."""
