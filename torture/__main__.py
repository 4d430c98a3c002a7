"""`make torture`: run all scenarios, or some, in their long form. A seed repeats the random choices
of a run.

python -m torture [--short] [--seed N] [SCENARIO …]
"""

import argparse
import random
import sys
import time

from torture.ground import Broken, ground
from torture.scenarios import SCENARIOS


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "scenarios",
        nargs="*",
        choices=[*SCENARIOS, []],
        metavar="SCENARIO",
        help=", ".join(SCENARIOS),
    )
    options.add_argument("--short", action="store_true", help="the short form, which the tests run")
    options.add_argument("--seed", type=int, help="repeat the random choices of a run")
    chosen = options.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    broken = 0
    for name in chosen.scenarios or SCENARIOS:
        scenario, short, long = SCENARIOS[name]
        began = time.monotonic()
        try:
            with ground(seed) as made:
                report = scenario(made, short if chosen.short else long)
            word = "kept"
        except Broken as error:
            report, word = str(error), "BROKEN"
            broken += 1
        print(f"{word:7} {name:14} {time.monotonic() - began:6.1f} s  {report}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
