"""`rlm doctor`: says what works here, and what to do about what does not."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

from rlm.cli import checks
from rlm.cli.exit_codes import Exit

if TYPE_CHECKING:
    import argparse

    from rlm.cli.checks import Finding

ALL = (
    checks.python,
    checks.packages,
    checks.extras,
    checks.keys,
    checks.kernel,
    checks.kernelspec,
    checks.docker,
    checks.containers,
    checks.modal,
)


def doctor(options: argparse.Namespace) -> int:
    """Run all checks and report on stdout; exit code 1 if runs cannot work."""
    findings = [finding for check in ALL for finding in check()]
    works = not any(finding.core and finding.state == "problem" for finding in findings)
    if options.json:
        report = {"works": works, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")
    else:
        lines = [line for finding in findings for line in _lines(finding)]
        end = "Runs work here." if works else "Runs do not work here: see the problems above."
        sys.stdout.write("\n".join([*lines, "", end]) + "\n")
    return Exit.OK if works else Exit.ERROR


def _lines(finding: Finding) -> list[str]:
    head = f"{finding.state:<8} {finding.about:<18} "
    margin = " " * len(head)
    lines = textwrap.wrap(
        finding.text, 100, initial_indent=head, subsequent_indent=margin, break_on_hyphens=False
    )
    if finding.advice:
        lines += textwrap.wrap(
            finding.advice,
            100,
            initial_indent=f"{margin}-> ",
            subsequent_indent=f"{margin}   ",
            break_on_hyphens=False,
        )
    return lines
