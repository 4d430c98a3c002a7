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
    gc.disable()  # what is imported stays, so there is nothing to collect
    if sys.argv[1:] == ["statusline"]:
        from fleet_lib import paths
        from fleet_lib.prelude.status_line import status_line
        from fleet_lib.small_os import os

        os.write(1, status_line(paths.home()).encode() + b"\n")
        os._exit(0)
    from commander.cli import main as console

    gc.freeze()
    gc.enable()
    try:
        console(prog_name="fleet")
    except SystemExit as end:
        _leave(end.code)
        raise


def _leave(code: object) -> None:
    """End the process at once: taking Python apart piece by piece takes as long as a query. Returns
    where Python has to do that: a thread is at work, the code is a text to print, or a stream cannot
    be written."""
    import atexit
    import os
    import threading

    if not (code is None or isinstance(code, int)) or threading.active_count() > 1:
        return
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return
    os._exit(code or 0)


if __name__ == "__main__":
    main()
