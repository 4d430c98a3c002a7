"""What the Commander reads over a simulated day: 30 sessions of ten projects, each finishing a turn
every 20 minutes for eight hours, and a user who prompts the Commander twelve times. Its preludes
are compared with every briefing in full.
"""

import json
import random
from pathlib import Path
from typing import Any

from benchmarks.report import Plot, Section, table
from fleet_lib import hot_settings, paths, spool
from fleet_lib.ingest.ingest import apply_one
from fleet_lib.prelude.database import open_database
from fleet_lib.prelude.delta import delta
from fleet_lib.store import db
from fleet_lib.turn.prepare import prepare
from fleet_lib.turn.repositories import Repositories

SESSIONS, PROJECTS, HOURS, LOOKS = 30, 10, 8, 12
SEED = 1
MINUTE = 60 * 10**9


def measure(folder: Path) -> list[Section]:
    chosen = random.Random(SEED)
    home = str(folder / "tokens")
    spool.make_folders(home)
    connection = db.connect(paths.database(home))
    repositories = Repositories()
    cursor = turns = full = shown = 0
    hours, full_by_hour, shown_by_hour = [0.0], [0], [0]
    looks = {HOURS * 60 * (look + 1) // LOOKS for look in range(LOOKS)}
    start = 1_795_500_000 * 10**9
    for minute in range(1, HOURS * 60 + 1):
        for session in range(SESSIONS):
            if (minute + session * 7) % 20:
                continue
            turns += 1
            project = folder / f"project-{session % PROJECTS}"
            project.mkdir(exist_ok=True)
            words = _message(chosen, turns)
            entry = spool.Entry(
                f"{turns:020d}.Stop.s.1", "Stop", start + minute * MINUTE + session, str(project),
                "", None, _payload(session, turns, words), None,
            )  # fmt: skip
            prepared = prepare(entry, home, repositories, lambda seconds: None)
            apply_one(connection, home, prepared, repositories)
            full += len(words)
        if minute in looks:
            reader = open_database(home)
            text, cursor = delta(reader, cursor, hot_settings.BUDGET)
            reader.close()
            shown += len(text)
            hours.append(minute / 60)
            full_by_hour.append(full)
            shown_by_hour.append(shown)
    connection.close()

    def draw(axes: Any) -> None:
        axes.plot(hours, full_by_hour, marker="o", label="every briefing in full")
        axes.plot(hours, shown_by_hour, marker="o", label="the preludes")
        axes.set(xlabel="hours", ylabel="characters", yscale="symlog")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)

    rows = [
        (name, f"{count:,}", f"{count // 4:,}", f"{count / full:.3f}")
        for name, count in (("every briefing in full", full), ("the preludes", shown))
    ]
    return [
        Section(
            "What the Commander reads",
            "python -m benchmarks tokens",
            f"A simulated day: {SESSIONS} sessions in {PROJECTS} projects finish {turns} turns in"
            f" {HOURS} hours, and the user prompts the Commander {LOOKS} times. A token of English"
            " has about four characters; the ratio is what matters.",
            [table(("what the Commander reads", "characters", "about tokens", "ratio"), rows)],
            [Plot("tokens", "What the Commander has read so far, over the day", draw)],
        )
    ]


def _message(chosen: random.Random, number: int) -> str:
    """A turn's last message of 60 to 400 words. One in five has a full briefing block; a few are
    blocked."""
    text = " ".join(
        chosen.choice(("parser", "refund", "client", "tests", "the", "and", "page", "now"))
        for _ in range(chosen.randrange(60, 400))
    )
    if chosen.random() < 0.2:
        status = chosen.choice(("completed", "completed", "blocked"))
        impact = chosen.choice(("minor", "moderate", "major"))
        text += (
            f"\n\n```briefing\n---\nstatus: {status}\nimpact_level: {impact}\n"
            f"summary: Turn {number} did {text[:60]}\n---\n```"
        )
    else:
        text += "\n\n```briefing\n---\nimpact_level: minor\n---\n```"
    return text


def _payload(session: int, number: int, words: str) -> bytes:
    return json.dumps(
        {
            "session_id": f"session-{session}",
            "prompt_id": f"p-{number}",
            "last_assistant_message": words,
        }
    ).encode()
