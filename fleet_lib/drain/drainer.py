"""The drain loop: batches, retries, quarantine, and what keeps one entry from stopping all others.

Called with the drainer's lock held. Nothing is ever dropped: an entry leaves `new/` when its
transaction is committed, or for quarantine with a reason; else it stays where it is.
"""

import contextlib
import faulthandler
import math
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from fleet_lib import hot_settings, log, paths, spool
from fleet_lib.errors import BadEntry
from fleet_lib.ingest.ingest import Ingest
from fleet_lib.jobs import run as run_jobs
from fleet_lib.jobs import semantics
from fleet_lib.redact import redact
from fleet_lib.store import db
from fleet_lib.store.conversations import clamp_cursors
from fleet_lib.turn.prepare import NotRead, Prepared, prepare, read_more
from fleet_lib.turn.repositories import Repositories

BATCH_ENTRIES = 100
BATCH_BYTES = 32 * 1024 * 1024
BUSY_RETRY_SECONDS = 600.0
ENTRY_SECONDS = 20.0
ENTRY_SECONDS_PER_MB = 1.0
BATCH_SECONDS = 150.0
ATTEMPTS = 3
QUARANTINE_DAYS = 30
QUARANTINE_ENTRIES = 1000
QUARANTINE_BYTES = 512 * 1024 * 1024
_TEMPORARY_DAYS = 1
_DAY = 86400


def drain(home: str) -> bool:
    """Apply everything that waits. False when the database cannot be used now; the log says why."""
    drainer = _Drainer(home)
    try:
        drainer.run()
        drainer.have_meaning_asked()
    except Exception as error:  # nobody sees this process: the log must say it
        log.write(home, "drain", f"{type(error).__name__}: {error}; the entries wait in the spool")
        return False
    finally:
        drainer.close()
    return True


class _Drainer:
    def __init__(self, home: str) -> None:
        self._home = home
        self._connection: sqlite3.Connection | None = None
        self._repositories = Repositories()
        self._attempts = _read_journal(home)
        self._is_noted = False  # whether the journal names the batch at hand

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def run(self) -> None:
        spool.make_folders(self._home)
        Path(paths.log_file(self._home)).parent.mkdir(mode=0o700, exist_ok=True)
        signal.signal(signal.SIGALRM, _expire)
        spool.recover(self._home)
        while names := spool.pending(self._home):
            # Listed once for all of them: a hundred thousand names take longer than a batch.
            at = 0
            while batch := self._choose(names[at : at + BATCH_ENTRIES + 1]):
                self._work_off(batch)
                at += len(batch)
        _sweep(self._home)

    def _work_off(self, batch: list[str]) -> None:
        rejected: dict[str, str] = {}
        begun_before = dict(self._attempts)
        try:
            with _watchdog(self._home):
                prepared = list(self._prepare_all(batch, rejected))
            # What was read did not end the drainer; what ends it from here on is not the entries.
            for name in batch:
                self._attempts.pop(name, None)
            _write_journal(self._home, self._attempts, durable=False)
            self._apply_patiently(prepared, rejected)
        except Exception:
            # The trouble is not the entries'.
            self._attempts = begun_before
            _write_journal(self._home, self._attempts, durable=False)
            raise
        self._settle(batch, rejected)

    def have_meaning_asked(self) -> None:
        """Where the user wants that: start the runner, which asks a model about new briefings once a
        batch is due. Capture waits for neither."""
        if (
            hot_settings.setting(self._home, "semantics", "enabled") != "true"
            or not self._connection
        ):
            return
        minutes = hot_settings.setting(self._home, "semantics", "wait_minutes")
        wait = int(minutes) if minutes.isdecimal() else semantics.WAIT_MINUTES
        batch, seconds = semantics.due(self._connection, 60 * wait)
        if batch or seconds < math.inf:
            run_jobs.start(self._home, seconds)

    def _choose(self, names: list[str]) -> list[str]:
        """The next entries in order. One that was begun before and not finished goes alone, so that it
        can take no other one down with it."""
        chosen: list[str] = []
        size = 0
        for name in names:
            if chosen and (name in self._attempts or len(chosen) == BATCH_ENTRIES):
                break
            with contextlib.suppress(OSError):
                size += (Path(paths.spool(self._home, "new")) / name).stat().st_size
            if chosen and size > BATCH_BYTES:
                break
            chosen.append(name)
            if name in self._attempts:
                break
        return chosen

    def _prepare_all(self, batch: list[str], rejected: dict[str, str]) -> Iterator[Prepared]:
        if len(batch) == 1 and self._attempts.get(batch[0], 0) >= ATTEMPTS:
            rejected[batch[0]] = (
                f"not finished in {ATTEMPTS} attempts: it hangs or ends the drainer"
            )
            return
        self._note_attempt(batch)
        for name in batch:
            try:
                entry = spool.read_pending(self._home, name)
                with _time_limit(len(entry.payload)):
                    item = prepare(entry, self._home, self._repositories, self._pause)
                self._note_again()
                yield item
            except FileNotFoundError:
                continue
            except (spool.Malformed, BadEntry) as error:
                rejected[name] = str(error)
            except _TookTooLong:
                rejected[name] = "reading it took too long"
            except Exception as error:  # ours to mend, and no reason to hold up the others
                rejected[name] = f"{type(error).__name__}: {error}"

    def _apply_patiently(self, prepared: list[Prepared], rejected: dict[str, str]) -> None:
        """One transaction for the batch; a database that others hold is tried for ten minutes."""
        deadline = time.monotonic() + BUSY_RETRY_SECONDS
        pause = 0.05
        while prepared:
            try:
                prepared, missing = self._apply(prepared, rejected)
                if missing:
                    self._read_more(prepared, missing, rejected)
            except sqlite3.Error as error:
                if not db.is_busy(error) or time.monotonic() > deadline:
                    raise
                log.write(self._home, "drain", f"waiting: {error}")
                time.sleep(pause)
                pause = min(pause * 2, 5.0)

    def _read_more(
        self, prepared: list[Prepared], missing: NotRead, rejected: dict[str, str]
    ) -> None:
        """Read what the first of these entries still lacks."""
        entry = prepared[0].entry
        try:
            with _watchdog(self._home), _time_limit(len(entry.payload)):
                prepared[0] = read_more(prepared[0], missing, self._repositories)
        except _TookTooLong:
            rejected[entry.name] = "reading it took too long"
            del prepared[0]

    def _apply(
        self, prepared: list[Prepared], rejected: dict[str, str]
    ) -> tuple[list[Prepared], NotRead | None]:
        """Apply the entries in one transaction; those that are left, and what the first of them lacks. It is
        read outside the transaction, and no later entry is applied before it."""
        if self._connection is None:
            self._connection = db.connect(paths.database(self._home))
            with db.transaction(self._connection):
                if clamp_cursors(self._connection):
                    log.write(
                        self._home,
                        "drain",
                        "an older database was put back: cursors past its newest event were set to it",
                    )
        failed: dict[str, str] = {}
        with _watchdog(self._home), db.transaction(self._connection):
            ingest = Ingest(self._connection, self._home)
            left: list[Prepared] = []
            missing = None
            for number, item in enumerate(prepared):
                try:
                    ingest.apply(item)
                except NotRead as error:
                    left, missing = prepared[number:], error
                    break
                except sqlite3.Error as error:
                    if db.is_unusable(error) or db.is_of_other_shape(error):
                        raise
                    failed[item.entry.name] = f"{type(error).__name__}: {error}"
                except BadEntry as error:
                    failed[item.entry.name] = str(error)
                except Exception as error:  # ours to mend, and no reason to hold up the others
                    failed[item.entry.name] = f"{type(error).__name__}: {error}"
            for name, reason in (rejected | failed).items():
                ingest.record_quarantine(name, spool.name_parts(name)[2] or None, reason)
        rejected |= failed
        return left, missing

    def _settle(self, batch: list[str], rejected: dict[str, str]) -> None:
        """After the commit: applied entries go, the others to quarantine."""
        spool.acknowledge(self._home, [name for name in batch if name not in rejected])
        for name, said in rejected.items():
            reason = redact(said)
            log.write(self._home, "drain", f"quarantined {name}: {reason}")
            spool.quarantine(self._home, name, reason)

    def _note_attempt(self, batch: list[str]) -> None:
        """Note what is begun, durably. Of many entries none is blamed: an unfinished batch only marks
        its entries as to be taken alone, and only what is unfinished alone counts."""
        for name in batch:
            self._attempts[name] = self._attempts.get(name, 0) + (len(batch) == 1)
        _write_journal(self._home, self._attempts, durable=True)
        self._is_noted = True

    def _note_again(self) -> None:
        """After a pause: the batch is being worked on once more."""
        if not self._is_noted:
            _write_journal(self._home, self._attempts, durable=True)
            self._is_noted = True

    def _pause(self, seconds: float) -> None:
        """Wait for a transcript. Whoever ends a drainer that only waits must not bring its entries
        into suspicion."""
        if self._is_noted:
            _write_journal(self._home, {}, durable=False)
            self._is_noted = False
        time.sleep(seconds)


@contextlib.contextmanager
def _watchdog(home: str) -> Iterator[None]:
    """Ends the process where an entry's own time limit is not heard, in a C function that never
    returns. The attempts stay on record, and the next drainer takes the batch's entries one by one."""
    with Path(paths.log_file(home)).open("a") as log_file:
        faulthandler.dump_traceback_later(BATCH_SECONDS, exit=True, file=log_file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


class _TookTooLong(Exception):
    """An entry's time is over. No OSError, which whoever reads files may well catch."""


@contextlib.contextmanager
def _time_limit(size: int) -> Iterator[None]:
    """_TookTooLong in the block when its time is over."""
    seconds = ENTRY_SECONDS + ENTRY_SECONDS_PER_MB * size / (1 << 20)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _expire(_signal: int, _frame: FrameType | None) -> None:
    raise _TookTooLong


def _read_journal(home: str) -> dict[str, int]:
    """{entry: how often it was begun and not finished}, of the entries that are still there."""
    try:
        lines = Path(paths.journal(home)).read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return {}
    attempts: dict[str, int] = {}
    waiting = set(spool.pending(home))
    for line in lines:
        count, _, name = line.partition(" ")
        if count.isdigit() and name in waiting:
            attempts[name] = int(count)
    return attempts


def _write_journal(home: str, attempts: dict[str, int], *, durable: bool) -> None:
    text = "".join(f"{count} {name}\n" for name, count in attempts.items())
    descriptor = os.open(paths.journal(home), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, text.encode())
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(home: str) -> None:
    """Half entries of killed hooks out of `tmp/`; `bad/` within its bounds, oldest out first."""
    now = time.time()
    for path in Path(paths.spool(home, "tmp")).iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < now - _TEMPORARY_DAYS * _DAY:
                path.unlink()
    kept_bytes = 0
    names = sorted(Path(paths.spool(home, "bad")).iterdir(), key=lambda p: p.name, reverse=True)
    for number, path in enumerate(names):
        with contextlib.suppress(OSError):
            facts = path.stat()
            kept_bytes += facts.st_size
            if (
                number >= 2 * QUARANTINE_ENTRIES  # an entry and its reason
                or kept_bytes > QUARANTINE_BYTES
                or facts.st_mtime < now - QUARANTINE_DAYS * _DAY
            ):
                path.unlink()
