"""`python -m rlm`: the command `rlm`, also where its script is not on the PATH."""

from __future__ import annotations

import sys

from rlm.cli import main

sys.exit(main())
