"""What runs in a sandbox besides the model's code: the fork server, its pump, and the kernel."""
