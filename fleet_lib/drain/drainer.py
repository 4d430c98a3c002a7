"""The drainer's loop: batches, retries, and what is put off so that it does not stop the rest.

Called with the drainer's lock held. Nothing is ever dropped: an entry leaves `new/` once its
transaction is committed, or for the quarantine with a reason; else it stays where it is. Entries
are read by a child (reader.py).
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import time
from collections.abc import Callable

from fleet_lib import hot_settings, log, paths, spool, wake
from fleet_lib.drain import quarantine
from fleet_lib.drain.put_off import PutOff
from fleet_lib.drain.reader import Reader
from fleet_lib.drain.usage import TranscriptUsage
from fleet_lib.errors import BadEntry, NoAnswer
from fleet_lib.ingest.gone import end_gone_sessions
from fleet_lib.ingest.ingest import Ingest
from fleet_lib.notify import due as notify
from fleet_lib.records import Record
from fleet_lib.redact import redact
from fleet_lib.sqlite import sqlite3
from fleet_lib.store import causes, db, derivations, search_index
from fleet_lib.store.conversations import clamp_cursors
from fleet_lib.store.outbox import renumber_outliers
from fleet_lib.turn.prepared import NotRead, Prepared

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import TextIO

BATCH_ENTRIES = 100
BATCH_BYTES = 16 * 1024 * 1024  # the next batch is read meanwhile, so it is twice that
BUSY_RETRY_SECONDS = 600.0
BATCH_SECONDS = 150.0
_WATCHED_SECONDS = 10.0  # of these, after which the next use begins anew
_SEARCH_SECONDS = 3.0  # for indexing what is older than the search index, each time
_LEFTOVER_SECONDS = 86400  # how old a file in tmp/ is when nothing writes it any more

Rejected = dict[str, str]  # {entry: why it goes into quarantine}


class _Applied(Record):
    """What one transaction did with a batch."""

    left: list[Prepared]  # not applied yet, because the first of them lacks `missing`
    missing: NotRead | None
    rejected: Rejected  # those before it, and those that failed in it


def drain(
    home: str,
    say: Callable[[str], None] = lambda _: None,
    *,
    is_forced: bool = False,
    reader: Reader | None = None,
    is_first: bool = True,
) -> bool:
    """Apply everything in the spool but what is put off, which is tried, too, with `is_forced`.
    False if the database cannot be used now; the log says why. `say` is called with what the drainer
    is doing. `reader` stays for the next call. The first drain of a process sweeps its folders."""
    drainer = _Drainer(home, say, reader, is_forced=is_forced)
    try:
        if is_first:
            _make_folders(home)
        drainer.run()
        if is_first:
            _sweep(home)
        drainer.end_gone_sessions()
        drainer.fill_search_index()
        drainer.checkpoint()
        drainer.start_job_runner_if_due()
        drainer.start_notifier_if_due()
        wake.start_relay(home)
        _keep_history_in_bounds(home)
    except Exception as error:  # this process has no terminal: only the log can say it
        why = causes.cause_of(error, home) or redact(f"{type(error).__name__}: {error}")
        log.write_once(home, "drain", f"{why}; the entries wait in the spool")
        return False
    finally:
        drainer.close()
    return True


class _Drainer:
    def __init__(
        self, home: str, say: Callable[[str], None], reader: Reader | None, *, is_forced: bool
    ) -> None:
        self._home = home
        self._say = say
        self._connection: sqlite3.Connection | None = None
        self._watchdog = _Watchdog(home)
        self._put_off = PutOff(home, is_forced=is_forced)
        self._stays = reader is not None
        self._reader = reader or Reader(home)
        self._reader.begin(self._put_off, lambda path: say(f"waiting for {path}"))
        self._following: list[str] = []  # entries of the next batch, while the reader does not know
        self._usage = TranscriptUsage(self._reader.usage_files, self._reader.read_usage)

    def close(self) -> None:
        self._watchdog.rest()
        if self._stays:
            self._reader.rest()
        else:
            self._reader.close()
        if self._connection is not None:
            self._connection.close()

    def run(self) -> None:
        spool.recover(self._home)
        self._apply_pending()
        while self._usage.waiting:  # the rest of a large transcript, portion by portion
            self._apply_patiently([], {})
            self._apply_pending()
        self._settle_old_turns()
        self._put_off.finish()

    def _apply_pending(self) -> None:
        while names := self._pending():
            # Listed once for many batches: a hundred thousand names take longer than a batch.
            at, batch = 0, self._choose(names[:BATCH_ENTRIES])
            while batch:
                at += len(batch)
                following = self._choose(names[at : at + BATCH_ENTRIES])
                self._apply_batch(batch, following)
                batch = following

    def _pending(self) -> list[str]:
        return [name for name in spool.pending(self._home) if name not in self._put_off]

    def end_gone_sessions(self) -> None:
        """End the sessions whose client was killed. A database that is busy is asked next time."""
        if self._connection:
            with contextlib.suppress(sqlite3.OperationalError), self._watchdog:
                end_gone_sessions(self._connection)

    def fill_search_index(self) -> None:
        """Index what was stored now, what other programs wrote, and for a few seconds what is older
        than the index; only as long as no entry waits. Trouble with the index is only logged."""
        if self._connection is None:
            return
        self._say("completing the search index")
        end = time.monotonic() + BATCH_SECONDS / 2  # of the watchdog's patience

        def is_enough() -> bool:
            return time.monotonic() > end or bool(self._pending())

        try:
            with self._watchdog:
                search_index.catch_up(self._connection, _SEARCH_SECONDS, stop=is_enough)
        except Exception as error:
            log.write(self._home, "search", f"not indexed: {type(error).__name__}: {error}")

    def checkpoint(self) -> None:
        """Bring what was written from the log into the database's own file. While a gateway has it
        open, SQLite does so only after a thousand pages, and a copy of the one file would lack
        days."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error), self._watchdog:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def start_job_runner_if_due(self) -> None:
        """If a model is to classify briefings, start the job runner, which asks it once a batch is
        due. The drainer waits for neither."""
        is_enabled = hot_settings.setting(self._home, "semantics", "enabled") == "true"
        if not is_enabled or not self._connection:
            return
        wait_seconds = 60 * hot_settings.wait_minutes(self._home)
        batch, seconds = derivations.due(self._connection, wait_seconds)
        if batch or seconds < derivations.NEVER:
            wake.start_job_runner(self._home, seconds)

    def start_notifier_if_due(self) -> None:
        notify.start_if_due(self._connection, self._home)

    def _choose(self, names: list[str]) -> list[str]:
        """The next entries in order, within the limits of a batch."""
        chosen: list[str] = []
        size = 0
        for name in names:
            with contextlib.suppress(OSError):
                size += os.stat(os.path.join(paths.spool(self._home, "new"), name)).st_size
            if chosen and size > BATCH_BYTES:
                break
            chosen.append(name)
        return chosen

    def _apply_batch(self, batch: list[str], following: list[str]) -> None:
        """Apply a batch, while the reader prepares the one that follows."""
        self._following = following
        self._say(f"reading {len(batch)} entries")
        prepared, rejected = self._prepare_all(batch)
        for item in prepared:
            self._usage.note(item)
        rejected = self._apply_patiently(prepared, rejected)
        self._put_off.save()
        self._settle([name for name in batch if name not in self._put_off], rejected)
        self._reader.forget()

    def _prepare_all(self, batch: list[str]) -> tuple[list[Prepared], Rejected]:
        self._watchdog.rest()
        prepared: list[Prepared] = []
        rejected: Rejected = {}
        self._reader.prepare_all(batch)
        for name in batch:
            try:
                if item := self._reader.prepare(name):
                    prepared.append(item)
            except NoAnswer as error:
                self._put_off.note(error, name)
            except (spool.Malformed, BadEntry) as error:
                rejected[name] = str(error)
        return prepared, rejected

    def _apply_patiently(self, prepared: list[Prepared], rejected: Rejected) -> Rejected:
        """Apply the batch in one transaction; retry for ten minutes while the database is busy.
        Returns all entries that are to go into quarantine."""
        deadline = time.monotonic() + BUSY_RETRY_SECONDS
        pause = 0.05
        while True:
            try:
                applied = self._apply(prepared, rejected)
                prepared, rejected = applied.left, applied.rejected
                if applied.missing is None:
                    return rejected
                prepared, too_slow = self._read_more(prepared, applied.missing)
                rejected = rejected | too_slow
            except sqlite3.Error as error:
                if not db.is_busy(error) or time.monotonic() > deadline or self._has_no_locks():
                    raise
                what = redact(f"trying again, the database is busy: {error}")
                self._say(what)
                log.write_once(self._home, "drain", what)
                time.sleep(pause)
                pause = min(pause * 2, 5.0)

    def _has_no_locks(self) -> bool:
        """Whether waiting is of no use: SQLite says the same of a file system without locks."""
        return bool(causes.no_locks(self._home))

    def _read_more(
        self, prepared: list[Prepared], missing: NotRead
    ) -> tuple[list[Prepared], Rejected]:
        """Read what the first of these entries still lacks."""
        first, *others = prepared
        self._watchdog.rest()
        try:
            more = self._reader.read_more(first, missing)
            return [more, *others] if more else others, {}
        except NoAnswer as error:
            self._put_off.note(error, first.entry.name)
            return others, {}
        except BadEntry as error:
            return others, {first.entry.name: str(error)}

    def _apply(self, prepared: list[Prepared], rejected: Rejected) -> _Applied:
        """Apply the entries in one transaction. What an entry lacks is read outside it, and no
        later entry is applied before."""
        self._watchdog.rest()
        if self._connection is None:
            self._connection = db.connect(paths.database(self._home))
            db.keep_savepoints_in_memory(self._connection)
            try:
                search_index.repair(self._connection)
            except Exception as error:  # what is captured is worth more
                log.write(self._home, "search", f"not repaired: {type(error).__name__}: {error}")
        self._read_usage(self._connection)
        self._reader.work_ahead(self._following)
        self._following = []
        self._say(f"writing {len(prepared)} entries")
        failed: Rejected = {}
        with self._watchdog, db.transaction(self._connection):
            if moved := renumber_outliers(self._connection):
                what = f"{moved} events of another program had numbers after which none is left"
                log.write(self._home, "drain", f"{what}: they were given the next ones")
            if clamp_cursors(self._connection):
                log.write(self._home, "drain", "an older database was put back: cursors set back")
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
                except NoAnswer as error:
                    self._put_off.note(error, item.entry.name)
                except Exception as error:  # a bug of ours: quarantine this entry and go on
                    failed[item.entry.name] = f"{type(error).__name__}: {error}"
            for name, reason in (rejected | failed).items():
                ingest.record_quarantine(name, spool.name_parts(name)[2] or None, reason)
            if missing is None:
                self._store_usage(self._connection)
        if missing is None:
            self._usage.stored()
        return _Applied(left, missing, rejected | failed)

    def _read_usage(self, connection: sqlite3.Connection) -> None:
        """Read what the batch's transcripts say of tokens. If that fails, the entries still count."""
        try:
            self._usage.read(connection)
        except sqlite3.Error:
            raise
        except Exception as error:
            log.write(self._home, "drain", f"usage was not read: {type(error).__name__}: {error}")
            self._usage.forget()

    def _store_usage(self, connection: sqlite3.Connection) -> None:
        connection.execute("SAVEPOINT usage")
        try:
            self._usage.store(connection)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and db.is_unusable(error):
                raise
            connection.execute("ROLLBACK TO usage")
            log.write(
                self._home, "drain", f"usage was not counted: {type(error).__name__}: {error}"
            )
            self._usage.forget()
        connection.execute("RELEASE usage")

    def _settle_old_turns(self) -> None:
        """Only when nothing is waiting: what waits may be the end of such a turn."""
        if self._connection is not None:
            with self._watchdog, db.transaction(self._connection):
                Ingest(self._connection, self._home).settle_old()

    def _settle(self, batch: list[str], rejected: Rejected) -> None:
        """After the commit: remove the applied entries and quarantine the others."""
        spool.acknowledge(self._home, [name for name in batch if name not in rejected])
        reasons = {name: redact(reason) for name, reason in rejected.items()}
        for name, reason in reasons.items():
            log.write(self._home, "drain", f"quarantined {name}: {reason}")
        quarantine.move(self._home, reasons)


class _Watchdog:
    """Ends the process if a C function never returns, so that an entry's own time limit cannot be
    raised. The entries stay in the spool for the next drainer.

    Each start takes a thread, so from one use to the next it watches on, until `rest()`: that goes
    before whatever may rightly take long."""

    def __init__(self, home: str) -> None:
        self._path = paths.log_file(home)
        self._log: TextIO | None = None
        self._since = 0.0

    def __enter__(self) -> None:
        if self._log and time.monotonic() - self._since < _WATCHED_SECONDS:
            return
        self.rest()
        self._log = open(self._path, "a")
        self._since = time.monotonic()
        faulthandler.dump_traceback_later(BATCH_SECONDS, exit=True, file=self._log)

    def __exit__(self, *_: object) -> None:
        pass

    def rest(self) -> None:
        """Nothing is watched now."""
        if self._log:
            faulthandler.cancel_dump_traceback_later()
            self._log.close()
            self._log = None


def _keep_history_in_bounds(home: str) -> None:
    """Once a day, start the process that deletes old history, if a setting asks for it."""
    if hot_settings.keep_days(home):
        from fleet_lib.history import daily  # an ordinary turn need not import it

        daily.start_if_due(home)


def _make_folders(home: str) -> None:
    spool.make_folders(home)
    os.makedirs(os.path.dirname(paths.log_file(home)), mode=0o700, exist_ok=True)


def _sweep(home: str) -> None:
    """Remove half entries of killed hooks from `tmp/`, and what the quarantine has too much."""
    quarantine.sweep(home)
    oldest = time.time() - _LEFTOVER_SECONDS
    for file in os.scandir(paths.spool(home, "tmp")):
        with contextlib.suppress(OSError):
            if file.stat().st_mtime < oldest:
                os.unlink(file.path)
