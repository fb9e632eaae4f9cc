"""`python -m rlm_kernel.answerer`: what `rlm_kernel.answerer.process` starts."""

from __future__ import annotations

from rlm_kernel.answerer.program import main

if __name__ == "__main__":
    main()
