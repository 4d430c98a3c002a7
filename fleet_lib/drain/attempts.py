"""The journal of attempts, `spool/attempts`: which entries were begun and not finished, and how
often. It finds the entry that hangs or kills the drainer."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fleet_lib import paths, spool
from fleet_lib.files import write_whole

LIMIT = 3


class Attempts:
    """How often each entry that is still in the spool was begun alone and not finished.
    The entries of an unfinished batch have 0: none is blamed, but each is taken alone next time."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._counts = _read(home)
        self._is_written = False  # whether the file names the batch that is being worked on

    def __contains__(self, name: str) -> bool:
        return name in self._counts

    def are_used_up(self, name: str) -> bool:
        return self._counts.get(name, 0) >= LIMIT

    @contextlib.contextmanager
    def working_on(self) -> Iterator[None]:
        """Restores the counts if working on a batch raises: that is not the entries' fault."""
        before = dict(self._counts)
        try:
            yield
        except Exception:
            self._counts = before
            self._write(durable=False)
            raise

    def begin(self, batch: list[str]) -> None:
        """Store durably that a batch is begun. Only an entry that is alone is counted."""
        for name in batch:
            self._counts[name] = self._counts.get(name, 0) + (len(batch) == 1)
        self._write(durable=True)
        self._is_written = True

    def pause(self) -> None:
        """The drainer is about to wait. Killing it then must not count against the entries."""
        if self._is_written:
            _write(self._home, {}, durable=False)
            self._is_written = False

    def resume(self) -> None:
        if not self._is_written:
            self._write(durable=True)
            self._is_written = True

    def finish(self, batch: list[str]) -> None:
        """The entries were read: if the drainer dies from now on, it is not their fault."""
        for name in batch:
            self._counts.pop(name, None)
        self._write(durable=False)

    def _write(self, *, durable: bool) -> None:
        _write(self._home, self._counts, durable=durable)


def _read(home: str) -> dict[str, int]:
    try:
        lines = Path(paths.journal(home)).read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return {}
    counts: dict[str, int] = {}
    waiting = set(spool.pending(home))
    for line in lines:
        count, _, name = line.partition(" ")
        if count.isdigit() and name in waiting:
            counts[name] = int(count)
    return counts


def _write(home: str, counts: dict[str, int], *, durable: bool) -> None:
    text = "".join(f"{count} {name}\n" for name, count in counts.items())
    # What a killed drainer leaves half written is swept from there.
    aside = Path(paths.spool(home, "tmp"))
    write_whole(Path(paths.journal(home)), text, folder=aside, durable=durable)
