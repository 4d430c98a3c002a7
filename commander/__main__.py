"""The entry point of `fleet`. Claude Code runs the status line every few seconds, so that command
starts without the console."""

import gc
import sys


def main() -> None:
    try:
        _main()
    except ImportError as error:  # a package is missing, and not even `fleet doctor` would run
        if "--debug" in sys.argv:
            raise
        sys.exit(f"Fleet's environment is broken ({error}); run ./install.sh in Fleet's checkout")


def _main() -> None:
    if sys.argv[1:] == ["statusline"]:
        gc.disable()  # the process ends before there is anything to collect
        from fleet_lib import paths
        from fleet_lib.prelude.status_line import status_line
        from fleet_lib.small_os import os

        os.write(1, status_line(paths.home()).encode() + b"\n")
        os._exit(0)
    from commander.cli import main as console

    console(prog_name="fleet")


if __name__ == "__main__":
    main()
