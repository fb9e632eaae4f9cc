"""`python -m rlm_kernel install` installs the kernelspec; `-f FILE` runs a notebook kernel."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the arguments name."""
    if sys.argv[1:2] == ["install"]:
        from rlm_kernel.install import main as install

        sys.exit(install(sys.argv[2:]))
    from rlm_kernel.guest.app import main as run_kernel

    run_kernel()


if __name__ == "__main__":
    main()
