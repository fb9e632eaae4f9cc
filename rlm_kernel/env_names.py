"""The environment variables that tell a notebook kernel where it is."""

from __future__ import annotations

SUBCALL_SERVER = "RLM_SUBCALL_SERVER"
"""Set when a sub-call server is starting: sub-calls wait until it has said hello."""

ENVIRONMENT = "RLM_ENVIRONMENT"
"""Where it runs: ``local``, ``docker`` or ``modal``."""
