"""The old name of `rlm_kernel.guest`, for notebooks that version 0.1 saved."""
