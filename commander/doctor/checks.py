"""The checks in the order in which they are printed. Each yields one line or more;
docs/troubleshooting.md has a section for each of them."""

from collections.abc import Callable, Iterator

from commander.doctor import data as kept
from commander.doctor import installation
from commander.doctor.findings import Finding, Patient
from fleet_lib.text import clean

Check = Callable[[Patient], Iterator[Finding]]


def examine(patient: Patient) -> list[Finding]:
    """Run every check. One that fails itself is a finding."""
    found: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            found += check(patient)
        except Exception as error:
            said = clean(f"the check itself crashed: {type(error).__name__}: {error}", 300)
            found.append(Finding("failed", name, said, "please report it", "fleet doctor --report"))
    return found


CHECKS: dict[str, Check] = {
    "home": installation.home,
    "versions": installation.versions,
    "environment": installation.environment,
    "configuration": installation.configuration,
    "settings": installation.settings_file,
    "registration": installation.registration,
    "hooks": installation.hooks,
    "other hooks": installation.other_hooks,
    "claude": installation.claude,
    "database": kept.database,
    "modes": kept.modes,
    "disk": kept.disk,
    "spool": kept.backlog,
    "quarantine": kept.quarantine,
    "log": kept.log,
    "capture": kept.capture,
    "jobs": kept.jobs,
    "commander": kept.commander,
}
