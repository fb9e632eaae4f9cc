"""How long the host waits for a kernel, and how often it tries."""

from __future__ import annotations

START_SECONDS = 60.0
"""How long a kernel may take to answer its first message."""

HELLO_SECONDS = 1.0
"""After this silence the host says hello to a new kernel again."""

INTERRUPT_SECONDS = 2.0
"""How long an interrupted cell may go on before its kernel is killed."""

INTERRUPTS = 4
"""How often a cell is interrupted in those seconds."""

KILL_SECONDS = 10.0
"""How long a killed kernel may take to end: it may have thousands of processes."""

LOAD_SECONDS = 600.0
"""How long a kernel may take to load a value."""

TEXT_SECONDS = 10.0
"""How long a variable's `__str__` may take."""

IDLE_SECONDS = 2.0
"""How long outputs may come after the reply; a flood can lose the `idle` that ends them."""

FLOOD_FACTOR = 100
"""A cell that tries to write this many times its limit is interrupted."""
