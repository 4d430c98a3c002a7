"""The list of checks, in the order in which they are printed, and how they are run. Each check
yields at least one finding; docs/troubleshooting.md has a section for each."""

from collections.abc import Callable, Iterator

from commander.doctor import (
    capture,
    configuration,
    data,
    hook_runs,
    programs,
    registration,
    repositories,
)
from commander.doctor.findings import Finding, Installation
from fleet_lib.text import clean

Check = Callable[[Installation], Iterator[Finding]]


def run_all(installation: Installation) -> list[Finding]:
    """Run every check. A check that crashes becomes a finding itself."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check(installation)
        except Exception as error:
            findings.append(
                Finding(
                    "failed",
                    name,
                    clean(f"This check crashed: {type(error).__name__}: {error}", 300),
                    "This is a bug in Fleet. Please report it.",
                    "fleet doctor --report",
                )
            )
    return findings


CHECKS: dict[str, Check] = {
    "home": data.home,
    "versions": programs.versions,
    "environment": programs.environment,
    "configuration": configuration.config_file,
    "settings": configuration.settings_file,
    "managed settings": capture.managed,
    "registration": registration.registration,
    "hooks": hook_runs.hooks,
    "other hooks": registration.other_hooks,
    "claude": programs.claude,
    "database": data.database,
    "modes": data.modes,
    "disk": data.disk,
    "spool": data.backlog,
    "quarantine": data.quarantine,
    "log": data.log,
    "capture": capture.sessions,
    "repositories": repositories.repositories,
    "jobs": data.jobs,
    "gateway": programs.gateway,
    "commander": data.commander,
}
