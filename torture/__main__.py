"""`make torture`: every scenario in its long form, or some of them; a seed replays what was chosen at random.

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
    options.add_argument("--short", action="store_true", help="the form that runs with the tests")
    options.add_argument("--seed", type=int, help="what is chosen at random is chosen so again")
    given = options.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    broken = 0
    for name in given.scenarios or SCENARIOS:
        scenario, short, long = SCENARIOS[name]
        began = time.monotonic()
        try:
            with ground(seed) as made:
                said = scenario(made, short if given.short else long)
            word = "kept"
        except Broken as error:
            said, word = str(error), "BROKEN"
            broken += 1
        print(f"{word:7} {name:14} {time.monotonic() - began:6.1f} s  {said}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
