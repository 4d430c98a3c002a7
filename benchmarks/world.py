"""A user's folders to measure in: Fleet's home as it is installed, and hooks as they are registered."""

import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.running import ROOT, Command
from commander.setup.commander_folder import HOME_TEMPLATE, write_command, write_hook_file
from commander.setup.hook_entries import registration, settings_example
from fleet_lib import spool

MESSAGE = "Changed hello() to return 2 and wrote the API page. " * 20


class World:
    """One user: a Claude Code folder with Fleet's home in it. `python` runs the hooks."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self.claude = folder / ".claude"
        self.home = self.claude / "commander"
        self.python = python
        spool.make_folders(str(self.home))
        write_hook_file(self.home, Path(python), ROOT)
        write_command(self.home, Path(sys.executable))

    def environment(self, project: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CLAUDE_PROJECT_DIR": str(project),
            "FLEET_HOME": str(self.home),
        }

    def registered(self, event: str) -> str:
        """The command of an event, as it stands in the settings."""
        template = HOME_TEMPLATE / ".claude" / "settings.json"
        if event != "UserPromptSubmit":  # that one stands in the settings of the Commander's folder
            template = settings_example()
        value = registration(template, self.home, self.claude)
        return str(value["hooks"][event][0]["hooks"][0]["command"])

    def hook(
        self,
        event: str,
        limit: float,
        project: Path,
        payload: Callable[[], dict[str, Any]] | None = None,
        **fields: str,
    ) -> Command:
        """A hook as Claude Code runs it. Each call is of another session, or two that follow each
        other soon would pass for two copies of one registration."""

        def call() -> dict[str, Any]:
            return {
                "session_id": str(uuid.uuid4()),
                "prompt_id": str(uuid.uuid4()),
                "cwd": str(project),
                "hook_event_name": event,
                **fields,
            }

        arguments = ["/bin/sh", "-c", self.registered(event)]
        return Command(event, arguments, payload or call, self.environment(project), limit)

    def fleet(self, name: str, *arguments: str) -> Command:
        """A command of the console, as a terminal starts it."""
        command = [str(self.home / "bin" / "fleet"), *arguments]
        return Command(name, command, environment=self.environment(self.folder))
