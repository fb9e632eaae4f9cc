"""The kernel: what runs inside the REPL, and how such a kernel is started anywhere."""
