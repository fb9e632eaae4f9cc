"""The environment variables that tell a notebook kernel where it is."""

from __future__ import annotations

SUBCALL_SERVER = "RLM_SUBCALL_SERVER"
"""Set when a sub-call server is starting: sub-calls wait for its hello."""

ENVIRONMENT = "RLM_ENVIRONMENT"
"""Where the kernel runs: ``local``, ``docker`` or ``modal``."""
