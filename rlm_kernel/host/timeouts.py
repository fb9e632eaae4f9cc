"""How long the host waits for a kernel, and how much it puts up with."""

from __future__ import annotations

START_SECONDS = 60.0
"""How long a kernel may take to answer its first message."""

HELLO_SECONDS = 1.0
"""After this silence a new kernel is greeted again."""

INTERRUPT_SECONDS = 2.0
"""How long an interrupted cell may go on before its kernel is killed."""

KILL_SECONDS = 10.0
"""How long the end of a killed kernel may take: it may have thousands of processes."""

INTERRUPTS = 4
"""How often it is interrupted in that time."""

LOAD_SECONDS = 600.0
"""How long a kernel may take to load a value."""

TEXT_SECONDS = 10.0
"""How long a variable's own `__str__` may take."""

IDLE_SECONDS = 2.0
"""How long outputs may trail the reply; a flood can lose the `idle` that ends them."""

FLOOD_FACTOR = 100
"""A cell that has tried to write this many times its limit is interrupted."""
