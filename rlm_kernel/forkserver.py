"""`python -m rlm_kernel.forkserver ROOT`: the program in every sandbox."""

from __future__ import annotations

from rlm_kernel.guest.forkserver import main

if __name__ == "__main__":
    main()
