"""Notebook user interface: the magics `%%rlm` and `%rlm`, and the viewer."""

from rlm_ipython.extension import load_ipython_extension, unload_ipython_extension

__all__ = ["load_ipython_extension", "unload_ipython_extension"]
