"""Measure everything and write docs/benchmarks.md with its plots (`make bench`), or print a part.

    python -m benchmarks [NAME …] [--only NAME] [--quick]

It takes less than fifteen minutes on an otherwise idle machine with two cores, needs two gigabytes
in the temporary folder, and uses loopback and throwaway homes only. `--python` is the interpreter
that runs the hooks.
"""

import argparse
import importlib.util
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import commands, drain, footprint, gateway, hooks, relay, report, tokens, turns
from benchmarks.load import Load
from benchmarks.running import adopt_orphans, end_orphans

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
_Measure = Callable[[Path], list[report.Section]]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("names", nargs="*", metavar="NAME", help="sections to measure and print")
    options.add_argument("--only", action="append", default=[], metavar="NAME", help="the same")
    options.add_argument("--quick", action="store_true", help="small sizes: does it still run?")
    options.add_argument("--python", default=sys.executable, help="runs the hooks")
    options.add_argument("--rounds", type=int, help="rounds of each interleaved run")
    given = options.parse_args()
    measures = _measures(given.python, given.quick, given.rounds)
    chosen = [*given.names, *given.only]
    if unknown := set(chosen) - set(measures):
        options.error(f"no {', '.join(unknown)}: there are {', '.join(measures)}")
    if not (chosen or given.quick) and importlib.util.find_spec("matplotlib") is None:
        options.error("the page's plots need matplotlib: `make bench` installs it")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the temporary folder is removed
    adopt_orphans()
    load = Load()
    sections: list[report.Section] = []
    with tempfile.TemporaryDirectory(prefix="fleet-bench-", ignore_cleanup_errors=True) as made:
        try:
            for name in chosen or measures:
                began = time.monotonic()
                folder = Path(made).resolve() / name
                folder.mkdir()
                print(f"measuring: {name} …", end="", file=sys.stderr, flush=True)
                sections += measures[name](folder)
                print(f" {time.monotonic() - began:.0f} s", file=sys.stderr)
        finally:
            end_orphans()
    if chosen or given.quick:
        print("\n".join(section.markdown(PAGE.stem) for section in sections))
        print(load.words())
    else:
        report.write(sections, PAGE, load.words())
        print(f"written: {PAGE}\n{load.words()}")


def _measures(python: str, quick: bool, rounds: int | None) -> dict[str, _Measure]:
    """{name of a section: what measures it}, in the order of the page."""
    if quick:
        number = rounds or 2
        return {
            "hooks": lambda folder: hooks.measure(folder, python, number, 1_000),
            "turns": lambda folder: turns.measure(folder, python, number, (2, 50), 2, 2.0),
            "commands": lambda folder: commands.measure(folder, number, (500, 1_000)),
            "drain": lambda folder: drain.measure(folder, 1, (200,)),
            "gateway": lambda folder: gateway.measure(folder, 20, 500),
            "footprint": lambda folder: footprint.measure(folder, 40),
            "relay": lambda folder: relay.measure(folder, 60, 30, 10),
            "tokens": tokens.measure,
        }
    return {
        "hooks": lambda folder: hooks.measure(folder, python, rounds or 25, 1_000_000),
        "turns": lambda folder: turns.measure(folder, python, rounds or 13, turns.FILES, 16),
        "commands": lambda folder: commands.measure(folder, rounds or 5, commands.SIZES),
        "drain": lambda folder: drain.measure(folder, 2, drain.SIZES),
        "gateway": gateway.measure,
        "footprint": footprint.measure,
        "relay": relay.measure,
        "tokens": tokens.measure,
    }


if __name__ == "__main__":
    main()
