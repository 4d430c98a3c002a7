"""The checks of which hooks Claude Code runs: Fleet's own, as they are registered, and those of
others."""

import os
import re
from collections import Counter
from collections.abc import Iterator

from commander.doctor.configuration import is_same_folder
from commander.doctor.findings import INSTALL, OWNERS, Finding, Hook, Installation, wanted_hooks
from commander.setup import settings
from commander.setup.hook_entries import is_ours
from fleet_lib.redact import redact
from fleet_lib.text import clean

_WITHOUT_MATCHER = ("Stop", "UserPromptSubmit")  # Claude Code ignores one there
_SHOWN_HOOKS = 5


def registration(installation: Installation) -> Iterator[Finding]:
    every = list(installation.hooks())
    registered = Counter((hook.place, hook.event) for hook in every)
    places = {place for place, _ in registered} - {"commander"}
    yield from _missing(installation, registered, places)
    for hook in every:
        for fault, consequence in _faults(hook):
            yield Finding(
                "failed",
                "registration",
                f"The {hook.event} hook of {hook.owner} {fault}.",
                consequence,
                INSTALL,
            )
    if old := sorted({hook.event for hook in every if not hook.is_current_form}):
        yield Finding(
            "warning",
            "registration",
            f"The hooks for {', '.join(old)} are registered in the form of an older Fleet.",
            "A Claude Code that exits may end them before they have captured a failed turn.",
            INSTALL,
        )
    for (place, event), times in registered.items():
        if times > 1:
            yield Finding(
                "warning",
                "registration",
                f"The {event} hook is registered {times} times by {OWNERS[place]}.",
                "Each turn is still recorded once, but costs more.",
                INSTALL,
            )
    if {"settings", "plugin"} <= places:
        yield Finding(
            "note",
            "registration",
            "Hooks are registered by the settings and by a plugin.",
            "Each turn is still recorded once. One of the two is enough.",
            "./install.sh --uninstall, or: claude plugin uninstall fleet",
        )
    yield from _other_homes(installation, every, places)


def _missing(
    installation: Installation, registered: Counter[tuple[str, str]], places: set[str]
) -> Iterator[Finding]:
    wanted = list(wanted_hooks())
    missing = [event for event in wanted if not any(registered[place, event] for place in places)]
    if missing:
        yield Finding(
            "failed",
            "registration",
            f"No hook is registered for {', '.join(missing)}.",
            "Fleet does not learn of these events.",
            f"fix {installation.settings_file} first, then {INSTALL}"
            if installation.settings_fault
            else INSTALL,
        )
    else:
        owners = " and ".join(OWNERS[place] for place in sorted(places))
        yield Finding(
            "ok", "registration", f"Hooks for {len(wanted)} events are registered by {owners}."
        )
    if not any(registered[place, "UserPromptSubmit"] for place in ("commander", "plugin")):
        yield Finding(
            "failed",
            "registration",
            f"{installation.commander_settings_file} has no UserPromptSubmit hook.",
            "The Commander is not shown what is new.",
            INSTALL,
        )


def _faults(hook: Hook) -> Iterator[tuple[str, str]]:
    """(fault, consequence) of a registration that does not run every time, or not as it must."""
    if hook.kind != "command":
        yield f"has the type {clean(hook.kind, 40)} instead of command", "It does not run."
    if hook.is_async:
        yield "is async", "`claude -p` kills it when it exits, so turns are lost."
    if hook.event in _WITHOUT_MATCHER or hook.matcher in ("", "*"):
        return
    ((group, *_),) = [groups for event, groups in wanted_hooks().items() if event == hook.event]
    kinds = [kind for kind in str(group.get("matcher") or "").split("|") if kind]
    try:
        left_out = [kind for kind in kinds if not re.fullmatch(hook.matcher, kind)]
    except re.error:
        left_out = kinds
    if left_out or not kinds:
        yield (
            f"has the matcher {clean(hook.matcher, 60)!r}",
            f"It does not run for {', '.join(left_out)}."
            if kinds
            else "It runs for some of its events only.",
        )


def _other_homes(
    installation: Installation, every: list[Hook], places: set[str]
) -> Iterator[Finding]:
    """Hooks that were installed for another folder than the one that is examined."""
    if any(where for _, where in installation.variables("FLEET_HOME")):
        return  # it wins over what a hook was installed for
    homes = {hook.home for hook in every if hook.home}
    if {"settings", "plugin"} <= places:
        homes.add(os.environ.get("FLEET_HOME") or str(installation.claude / "commander"))
    for other in sorted(home for home in homes if not is_same_folder(home, installation.home)):
        yield Finding(
            "failed",
            "registration",
            f"Sessions that are started without FLEET_HOME keep their data in {other}.",
            f"This command reads {installation.home}. Each folder has half of what happened.",
            f"set FLEET_HOME in the env of {installation.settings_file}, or nowhere",
        )


def other_hooks(installation: Installation) -> Iterator[Finding]:
    """Other programs' hooks for the same events. If a session is slow, one of them may be the
    reason."""
    ours = {hook.event for hook in installation.hooks()}
    others = [
        f"{event}: {clean(redact(' '.join(map(str, words))), 80)}"
        for event, _, _, entry in settings.entries(installation.settings)
        if event in ours and isinstance(entry, dict) and not is_ours(entry)
        for words in [[entry.get("command"), *(entry.get("args") or [])]]
    ]
    if others:
        more = f" and {len(others) - _SHOWN_HOOKS} more" if len(others) > _SHOWN_HOOKS else ""
        yield Finding("note", "other hooks", "; ".join(others[:_SHOWN_HOOKS]) + more)
