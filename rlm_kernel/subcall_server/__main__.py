"""`python -m rlm_kernel.subcall_server`: what `rlm_kernel.subcall_server.process` starts."""

from __future__ import annotations

from rlm_kernel.subcall_server.program import main

if __name__ == "__main__":
    main()
