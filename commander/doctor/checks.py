"""The list of checks, in the order in which they are printed, and how they are run. Each check
yields at least one finding; docs/troubleshooting.md has a section for each."""

from collections.abc import Callable, Iterator
from functools import partial

from commander.doctor import (
    capture,
    configuration,
    data,
    history,
    hook_runs,
    notifications,
    programs,
    registration,
    relay,
    repositories,
)
from commander.doctor.findings import Finding, Installation
from fleet_lib import apart
from fleet_lib.errors import NoAnswer
from fleet_lib.text import clean

CHECK_SECONDS = 40.0

Check = Callable[[Installation], Iterator[Finding]]


def run_all(installation: Installation) -> list[Finding]:
    """Run every check. A check that crashes, or asks a folder that does not answer, becomes a finding
    itself."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += apart.ask(partial(_findings, check, installation), CHECK_SECONDS, name)
        except NoAnswer:
            findings.append(
                Finding(
                    "warning",
                    name,
                    f"This check got no answer within {CHECK_SECONDS:.0f} s.",
                    "A folder that it asks is on a disk or mount that does not answer.",
                    "fleet status names the folders of sessions that do not answer",
                )
            )
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


def _findings(check: Check, installation: Installation) -> list[Finding]:
    return list(check(installation))


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
    "history": history.history,
    "modes": data.modes,
    "disk": data.disk,
    "spool": data.backlog,
    "quarantine": data.quarantine,
    "log": data.log,
    "capture": capture.sessions,
    "repositories": repositories.repositories,
    "jobs": data.jobs,
    "gateway": programs.gateway,
    "relay": relay.relay,
    "notifications": notifications.notifications,
    "commander": data.commander,
}
