"""The old name of `rlm_kernel.guest.restore`: the restore cell of a 0.1 notebook imports it."""

from rlm_kernel.guest.restore import restore

__all__ = ["restore"]
