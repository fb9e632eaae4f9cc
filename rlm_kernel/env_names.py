"""The environment variables by which a person's kernel is told where it is."""

from __future__ import annotations

SUBCALL_SERVER = "RLM_SUBCALL_SERVER"
"""Set when somebody will answer the kernel's sub-calls: they wait until it has said so."""

ENVIRONMENT = "RLM_ENVIRONMENT"
"""Where it runs: ``local``, ``docker`` or ``modal``."""
