"""Files for contributors and GitHub: valid, marked as untried, with one placeholder address."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"

PLACEHOLDER = "https://example.invalid/rlm-kernel"

WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]

SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "vendor.github-issue-forms": FORMS,
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}

OUR_OWN = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff")),
    *(ROOT / name for name in ("CHANGELOG.md", "RELEASING.md", "mkdocs.yml", "pyproject.toml")),
    ROOT / "docs" / "index.md",
    *GITHUB.rglob("*.yml"),
]
"""Where an address of the project may stand."""

OTHERS = re.compile(
    r"^https://(modal\.com|keepachangelog\.com|semver\.org|developer\.mozilla\.org)"
)
ADDRESS = re.compile(r"https?://[^\s)>\]\"'`]+|[\w.+-]+@[\w-]+\.[\w.]+")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_file_follows_its_schema(schema: str, require: Callable[[object, str], None]) -> None:
    require(importlib.util.find_spec("check_jsonschema"), "check-jsonschema")
    assert SCHEMAS[schema]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run([*command, *SCHEMAS[schema]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_has_nothing_to_say(actionlint: Callable[..., tuple[int, str]]) -> None:
    assert actionlint(*WORKFLOWS) == (0, "")


def test_actionlint_finds_what_is_wrong(
    actionlint: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("matrix.python", "matrix.pythn"))
    code, said = actionlint(wrong)
    assert code == 1
    assert 'property "pythn" is not defined' in said


@pytest.fixture
def actionlint(
    tmp_path: Path, require: Callable[[object, str], None]
) -> Callable[..., tuple[int, str]]:
    """Lints workflows: returns the exit code, and what there is to say."""
    npm, node = shutil.which("npm"), shutil.which("node")
    require(npm and node, "npm and Node; the schema of workflows is checked without them too")
    folder = tmp_path / "actionlint"
    shutil.copytree(GITHUB / "actionlint", folder, ignore=shutil.ignore_patterns("node_modules"))
    got = run(str(npm), "ci", "--prefer-offline", "--no-audit", "--no-fund", folder=folder)
    require(got.returncode == 0, f"a registry of npm packages: {got.stderr[-200:]}")

    def lint(*paths: Path) -> tuple[int, str]:
        done = run(str(node), "lint.js", *map(str, paths), folder=folder)
        return done.returncode, done.stderr

    return lint


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_says_that_it_is_untried(path: Path) -> None:
    assert path.read_text().startswith("# Untried: this workflow has never run.")


@pytest.mark.parametrize("path", OUR_OWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_address_of_ours_is_the_placeholder(path: Path) -> None:
    for address in ADDRESS.findall(path.read_text(encoding="utf-8")):
        invented = not address.startswith(PLACEHOLDER) and not OTHERS.match(address)
        assert not invented, address


@pytest.mark.parametrize(
    "name", ["CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", ".github/ISSUE_TEMPLATE/config.yml"]
)
def test_contacts_are_the_placeholder(name: str) -> None:
    assert PLACEHOLDER in (ROOT / name).read_text()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_link_leads_to_a_file(name: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_every_path_in_contributing_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:rlm|rlm_kernel|rlm_ipython|tests|docs)/[\w./-]*)`", text)
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []
