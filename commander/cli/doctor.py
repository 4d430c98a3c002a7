"""`fleet doctor`: run the checks and print what they find."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commander.cli._app import json_option
from commander.cli._cells import wrapped
from commander.cli._display import count, is_interactive, print_json, say, terminal
from fleet_lib.text import clean

if TYPE_CHECKING:
    from commander.doctor.findings import Finding

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "failed": "red"}
_MARKS = {"ok": "ok", "note": "note", "warning": "warning", "failed": "FAILED"}


@click.command()
@click.option(
    "--report",
    "bundle",
    is_flag=False,
    flag_value="",
    metavar="FILE",
    help="Write a ZIP file for a bug report, without secrets and briefing text.",
)
@json_option
def doctor(bundle: str | None, as_json: bool) -> None:
    """Check the installation and suggest fixes. Nothing is changed.

    The exit code is 1 if a check failed. Warnings and notes are not failures.

    \b
    Examples:
      fleet doctor
      fleet doctor --json | jq '.findings[] | select(.level == "failed")'
      fleet doctor --report
    """
    from commander.doctor import checks, report
    from commander.doctor.findings import Installation

    installation = Installation.here()
    findings = checks.run_all(installation)
    has_failed = any(finding.level == "failed" for finding in findings)
    if bundle is not None:
        path = report.write(installation, findings, Path(bundle) if bundle else None)
        say(f"Wrote {path}. Look through it before you send it. It contains:")
        for name in report.names(path):
            say(f"  {name}")
        return
    if as_json:
        print_json({"ok": not has_failed, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            _print(finding)
        click.secho(f"\n{_summary(findings)}", bold=True)
    if has_failed:
        raise click.exceptions.Exit(1)


def _summary(findings: "list[Finding]") -> str:
    levels = Counter(finding.level for finding in findings)
    if not levels["failed"] and not levels["warning"]:
        return "No problems found."
    return f"{count(levels['failed'], 'failure')}, {count(levels['warning'], 'warning')}."


def _print(finding: "Finding") -> None:
    click.secho(_MARKS[finding.level].ljust(8), fg=_COLOURS[finding.level], nl=False)
    say(finding.check.ljust(18), nl=False)
    texts = (finding.found, finding.means, f"fix: {finding.fix}" if finding.fix else "")
    room = max(20, terminal().width - 26) if is_interactive() else 10_000
    lines = [line for text in texts if text for line in wrapped(clean(text, 400), room, 20)]
    say(f"\n{'':26}".join(lines))
