"""`fleet doctor`: is everything as it should be?"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from commander.cli._app import json_option
from commander.cli._display import count, print_json
from commander.doctor import checks, report
from commander.doctor.findings import Finding, Patient
from fleet_lib.text import clean

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "failed": "red"}
_MARKS = {"ok": "ok", "note": "note", "warning": "warning", "failed": "FAILED"}


@click.command()
@click.option(
    "--report",
    "bundle",
    is_flag=False,
    flag_value="",
    metavar="FILE",
    help="Write a bundle for a bug report, without secrets and briefing text, and print its name.",
)
@json_option
def doctor(bundle: str | None, as_json: bool) -> None:
    """Check the installation, and say what mends what is wrong. Changes nothing.

    Exit code 1 if anything has failed; a warning or a note is no failure.

    \b
    Examples:
      fleet doctor
      fleet doctor --json | jq '.findings[] | select(.level == "failed")'
      fleet doctor --report
    """
    patient = Patient.here()
    found = checks.examine(patient)
    failed = any(finding.level == "failed" for finding in found)
    if bundle is not None:
        path = report.write(patient, found, Path(bundle) if bundle else None)
        click.echo(f"{path}: look through it before you send it; it holds:")
        for name in report.names(path):
            click.echo(f"  {name}")
        return
    if as_json:
        print_json({"ok": not failed, "findings": [asdict(finding) for finding in found]})
    else:
        for finding in found:
            _print(finding)
        click.secho(f"\n{_verdict(found)}", bold=True)
    if failed:
        raise click.exceptions.Exit(1)


def _verdict(found: list[Finding]) -> str:
    levels = Counter(finding.level for finding in found)
    if not levels["failed"] and not levels["warning"]:
        return "All is well."
    warnings = f", {count(levels['warning'], 'warning')}" if levels["warning"] else ""
    return f"{levels['failed'] or 'Nothing'} failed{warnings}."


def _print(finding: Finding) -> None:
    mark = click.style(_MARKS[finding.level].ljust(8), fg=_COLOURS[finding.level])
    click.echo(f"{mark}{finding.check.ljust(14)}{clean(finding.found, 400)}")
    said = [finding.means, f"mend: {finding.mend}" if finding.mend else ""]
    if any(said):
        click.echo(f"{'':22}" + ". ".join(clean(part, 400) for part in said if part))
