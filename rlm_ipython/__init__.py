"""What a notebook user touches: the `%%rlm` magic, the trajectory viewer, display."""
