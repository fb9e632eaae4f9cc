"""What a notebook's user touches: the magics `%%rlm` and `%rlm`, and how runs are shown there."""

from rlm_ipython.extension import load_ipython_extension, unload_ipython_extension

__all__ = ["load_ipython_extension", "unload_ipython_extension"]
