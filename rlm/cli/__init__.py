"""The command `rlm`: run a question, check the installation, see a demo."""

from rlm.cli.entry import main

__all__ = ["main"]
