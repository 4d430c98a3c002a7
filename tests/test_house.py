"""The repository itself: documents are readable, links resolve, the version is stated once, and the
commands for developers exist."""

import importlib.metadata
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

VERSION = json.loads((ROOT / ".claude-plugin" / "plugin.json").read_text())["version"]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "docs/commands/README.md", ".github/*.md")
    for path in ROOT.glob(pattern)
)
# Read by a model: part of the plugin, or copied into the Commander's folder.
TEXTS = sorted(
    path
    for folder in ("skills", "commands", "commander/home")
    for path in (ROOT / folder).rglob("*.md")
)

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


def tracked(*patterns: str) -> list[Path]:
    """The repository's tracked and untracked files, without ignored ones."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z", *patterns],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def outside_code(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines outside fenced blocks."""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        marker = re.match(r"\s*(`{3,}|~{3,})", line)
        if not fence and marker:
            fence = marker[1]
        elif fence and line.strip() == fence:
            fence = ""
        elif not fence:
            yield number, line


def anchors(page: Path) -> set[str]:
    """The headings of a page as link anchors."""
    headings = [
        line.lstrip("#").strip().lower()
        for _, line in outside_code(page.read_text())
        if line.startswith("#")
    ]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [*PAGES, *TEXTS], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_a_line_of_prose_has_at_most_a_hundred_columns(page: Path) -> None:
    long_lines = [
        f"line {number}: {line}"
        for number, line in outside_code(page.read_text())
        # A row of a table and the front matter of a skill cannot be broken, and the console's help
        # is not wrapped by hand.
        if len(line) > 100
        and not line.startswith(("|", "description:"))
        and page.parent != ROOT / "docs" / "commands"
    ]
    assert long_lines == []


@every_page
def test_a_relative_link_resolves(page: Path) -> None:
    text = "\n".join(line for _, line in outside_code(page.read_text()))
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`(?!\])", "", text))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{target.name} has no heading #{anchor}"


@every_page
def test_a_page_is_reached_from_the_readme(page: Path) -> None:
    if page.name != "README.md" and page.parent.name != ".github":
        link = page.relative_to(ROOT).as_posix()
        assert f"({link})" in (ROOT / "README.md").read_text()


def test_version_is_stated_only_in_the_plugin_manifest() -> None:
    found = [
        path.relative_to(ROOT).as_posix()
        for path in tracked(
            "*.py", "*.toml", "*.json", "*.md", "*.sh", "*.yml", "*.yaml", "Makefile"
        )
        if re.search(
            rf"(?<![\w.]){re.escape(VERSION)}(?![\w.])", path.read_text("utf-8", "replace")
        )
    ]
    assert found == [".claude-plugin/plugin.json", "CHANGELOG.md"]
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
    assert importlib.metadata.version("fleet") == VERSION


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0].split()[0] == VERSION


def test_named_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    places = [*PAGES, *tracked(".github/*", ".ci/*", "*.yaml")]
    mentioned = {
        (path.name, target)
        for path in places
        for target in re.findall(
            r"(?:`|run: |^ {4}|^)make ([a-z-]+)", path.read_text(), re.MULTILINE
        )
    }
    assert {target for _, target in mentioned} >= {"test", "check", "docs", "schema"}
    assert [(name, target) for name, target in mentioned if target not in targets] == []


def test_ci_runs_every_supported_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: "
    mentioned = [name.removeprefix(prefix) for name in project["classifiers"] if prefix in name]
    versions = [name for name in mentioned if re.fullmatch(r"3\.\d+", name)]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    matrix = re.search(r"python: (\[.*\])", workflow)
    assert matrix and json.loads(matrix[1]) == versions
    assert project["requires-python"] == f">={versions[0]}"
    assert re.search(r"^ +3\.9$", workflow, re.MULTILINE), "the hooks must run on 3.9 too"
