"""The relay's process: `python -I process.py FLEET_HOME [child|shown]`, started detached by
wake.start_relay. With `child` the gateway starts it, and it exchanges until its stdin ends. With
`shown` it takes the place of `fleet relay run`, and says on its stdout what happens.

Standard library only until the lock is held: most starts find another at work and end here."""

import os
import sys
import threading
import time

BUSY = (
    "this machine exchanges news already, by `fleet relay run` or a gateway; `fleet relay status`"
    " shows how it goes"
)
_EXCHANGE_SECONDS = 130.0  # longer than an exchange takes
_STOP_SECONDS = 5.0


def main(home: str, mode: str) -> int:
    os.chdir("/")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root not in sys.path:
        sys.path.insert(0, root)
    if mode == "shown":
        return _run_shown(home)
    return _run_as_child(home) if mode == "child" else _once(home)


def _once(home: str) -> int:
    from fleet_lib.relay.backoff import Lock, is_running, seconds_left
    from fleet_lib.wake import RELAY_SECONDS

    try:
        waiting, exchange = Lock(home, "waiting"), Lock(home, "exchange")
    except OSError:
        return 0  # the home has left the relay
    if not waiting.take():
        return 0  # another process waits, and will see what there is to send
    while True:
        left = seconds_left(home)
        if left > RELAY_SECONDS or is_running(home):
            return 0
        time.sleep(left)
        if is_running(home) or not exchange.take(_EXCHANGE_SECONDS):
            return 0
        if not seconds_left(home):
            break
        exchange.release()  # another one has ended just now
    waiting.close()
    from fleet_lib import log
    from fleet_lib.errors import FleetError
    from fleet_lib.redact import redact
    from fleet_lib.relay.exchange import once

    try:
        once(home)
    except FleetError:
        return 1  # noted, and in the log
    except Exception as error:
        log.write_once(home, "relay", redact(f"{type(error).__name__}: {error}"))
        return 1
    return 0


def _run_as_child(home: str) -> int:
    locks = _locks(home)
    if not locks:
        return 0
    from fleet_lib import log
    from fleet_lib.redact import redact
    from fleet_lib.relay.exchange import Runner

    runner = Runner(home)

    def wait_for_parent() -> None:
        while os.read(0, 4096):
            pass
        runner.stop(at_once_after=_STOP_SECONDS)

    threading.Thread(target=wait_for_parent, daemon=True).start()
    try:
        runner.run()
    except Exception as error:
        log.write_once(home, "relay", redact(f"{type(error).__name__}: {error}"))
        return 1
    return 0


def _run_shown(home: str) -> int:
    locks = _locks(home)
    if not locks:
        print(f"Error: {BUSY}", file=sys.stderr)
        return 1
    import signal
    import sqlite3

    from fleet_lib import clock
    from fleet_lib.errors import FleetError
    from fleet_lib.relay.exchange import Runner
    from fleet_lib.text import clean

    def say(words: str) -> None:
        print(f"{clock.local(clock.now())} {words}", flush=True)

    runner = Runner(home, say)
    signal.signal(signal.SIGTERM, lambda *_: runner.stop(at_once_after=_STOP_SECONDS))
    try:
        runner.run()
    except KeyboardInterrupt:
        return 0
    except (FleetError, sqlite3.Error, OSError) as error:
        print(f"Error: {clean(error, 500)}", file=sys.stderr)
        return 1
    return 0


def _locks(home: str) -> "tuple[object, ...]":
    """What a process holds that exchanges all the time; () if another one does so, or the home has
    left the relay."""
    from fleet_lib.relay.backoff import Lock

    try:
        running, exchange = Lock(home, "running"), Lock(home, "exchange")
    except OSError:
        return ()
    if not running.take() or not exchange.take(_EXCHANGE_SECONDS):
        return ()
    return running, exchange


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""))
