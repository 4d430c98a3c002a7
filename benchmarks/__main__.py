"""Measure everything and write docs/benchmarks.md with its plots (`make bench`), or print a part.

    python -m benchmarks [processes] [drain] [gateway] [relay] [tokens]

It takes ten minutes on a quiet machine. `--python` is the interpreter that runs the hooks.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import drain, gateway, processes, relay, report, tokens

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("processes", "drain", "gateway", "relay", "tokens")
    options.add_argument("names", nargs="*", choices=[*names, []], metavar="NAME")
    options.add_argument("--python", default=sys.executable)
    options.add_argument(
        "--rounds", type=int, default=25, help="rounds of the interleaved processes"
    )
    options.add_argument(
        "--drains", type=int, default=3, help="drains of each size up to 10,000 entries"
    )
    options.add_argument(
        "--largest", type=int, default=1_000_000, help="events in the largest history"
    )
    options.add_argument(
        "--entries", type=int, default=100_000, help="entries in the largest drain"
    )
    given = options.parse_args()
    chosen = given.names or names
    sections: list[report.Section] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        for name in names:
            if name not in chosen:
                continue
            folder = Path(made) / name
            folder.mkdir()
            print(f"measuring: {name} …", file=sys.stderr, flush=True)
            if name == "processes":
                sections += processes.measure(folder, given.python, given.rounds, given.largest)
            elif name == "drain":
                sections += drain.measure(folder, given.drains, given.entries)
            elif name == "gateway":
                sections += gateway.measure(folder)
            elif name == "relay":
                sections += relay.measure(folder)
            else:
                sections += tokens.measure(folder)
    if given.names:
        print("\n".join(section.markdown(PAGE.stem) for section in sections))
    else:
        report.write(sections, PAGE)
        print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
