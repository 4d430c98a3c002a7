"""Where `fleet` starts: the status line is asked for every few seconds and gets no console around it."""

import os
import sys


def main() -> None:
    if sys.argv[1:] == ["statusline"]:
        from fleet_lib import paths, prelude

        os.write(1, prelude.status_line(paths.home()).encode() + b"\n")
        os._exit(0)
    from commander.cli import main as console

    console(prog_name="fleet")


if __name__ == "__main__":
    main()
