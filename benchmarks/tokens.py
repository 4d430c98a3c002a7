"""What the Commander reads over a simulated day: 30 sessions of ten projects, each ending a turn every 20 minutes for
eight hours, and a human who looks in twelve times. The preludes that it is told, against giving it
every briefing whole.

    python benchmarks/tokens.py [--seed 1]

Characters, which Claude counts about four to a token of English; the ratio is what matters.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fleet_lib import clock, db, paths, prelude, spool  # noqa: E402
from fleet_lib.facts import Repositories  # noqa: E402
from fleet_lib.ingest import Ingest, prepare  # noqa: E402

SESSIONS, PROJECTS, HOURS, LOOKS = 30, 10, 8, 12
MINUTE = 60 * 10**9


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seed", type=int, default=1)
    chosen = random.Random(options.parse_args().seed)
    with tempfile.TemporaryDirectory() as folder:
        home = str(Path(folder) / "home")
        spool.make_folders(home)
        connection = db.connect(paths.database(home))
        repositories, told, cursor, whole, turns, number = Repositories(), 0, 0, 0, 0, 0
        looks = {HOURS * 60 * (look + 1) // LOOKS for look in range(LOOKS)}
        start = 1_795_500_000 * 10**9
        for minute in range(1, HOURS * 60 + 1):
            for session in range(SESSIONS):
                if (minute + session * 7) % 20:
                    continue
                number += 1
                project = Path(folder) / f"project-{session % PROJECTS}"
                project.mkdir(exist_ok=True)
                words = _message(chosen, number)
                entry = spool.Entry(
                    f"{number:020d}.Stop.s.1", "Stop", start + minute * MINUTE + session, str(project), "", None,
                    _payload(session, number, words), None,
                )  # fmt: skip
                prepared = prepare(entry, home, repositories, lambda seconds: None)
                with db.transaction(connection):
                    Ingest(connection, home, repositories).apply(prepared)
                whole += len(words)
                turns += 1
            if minute in looks:
                reader = prelude.open_database(home)
                text, cursor = prelude.delta(reader, cursor, prelude.BUDGET)
                reader.close()
                told += len(text)
        connection.close()
    print(f"{turns} turns of {SESSIONS} sessions, {LOOKS} looks ({clock.iso(start)[:10]})\n")
    print("| what the Commander reads | characters | about tokens | ratio |\n|---|---|---|---|")
    print(f"| every briefing whole | {whole:,} | {whole // 4:,} | 1.00 |")
    print(f"| the preludes | {told:,} | {told // 4:,} | {told / whole:.3f} |")


def _message(chosen: random.Random, number: int) -> str:
    """A turn's last message: 60 to 400 words; one in five says its briefing exactly, some are blocked."""
    text = " ".join(
        chosen.choice(("parser", "refund", "client", "tests", "the", "and", "page", "now"))
        for _ in range(chosen.randrange(60, 400))
    )
    if chosen.random() < 0.2:
        status = chosen.choice(("completed", "completed", "blocked"))
        impact = chosen.choice(("minor", "moderate", "major"))
        text += f"\n\n```briefing\n---\nstatus: {status}\nimpact_level: {impact}\nsummary: Turn {number} did {text[:60]}\n---\n```"
    else:
        text += "\n\n```briefing\n---\nimpact_level: minor\n---\n```"
    return text


def _payload(session: int, number: int, words: str) -> bytes:
    import json

    return json.dumps(
        {
            "session_id": f"session-{session}",
            "prompt_id": f"p-{number}",
            "last_assistant_message": words,
        }
    ).encode()


if __name__ == "__main__":
    main()
