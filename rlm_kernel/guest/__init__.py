"""What runs in a sandbox, beside the model's code: the fork server, its pump, and the kernel."""
