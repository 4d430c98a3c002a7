"""Questions to folders that are not Fleet's own: a session's, its client's. Such a folder may lie on
a mount that is gone, where even `stat` never returns and no signal ends the process that asked. So
the drainer has them asked by a child (drain/reader.py), which notes here what it asks, before it
asks. Python 3.9 and later, standard library only, as files.py is."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Collection

from fleet_lib.errors import NoAnswer

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from mmap import mmap

QUESTION_SECONDS = 3.0  # for an answer to stat, open, read
BOARD_BYTES = 8192
_HEAD = struct.Struct("<QdH")  # number of questions, seconds for this one, bytes of its path
_ENTRY_AT = BOARD_BYTES - 256  # the name of the entry that the questions are about

# Not an answer either: the disk, the network, or a limit of the system. It is asked again later.
_TROUBLE = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "EMFILE", "ENFILE", "ENOMEM", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN"),
        *("EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ECONNRESET", "ENODEV", "ENXIO", "EREMOTEIO"),
    )
    if hasattr(errno, name)
)

_board: mmap | None = None
_silent: frozenset[str] = frozenset()
_questions = 0


def note_on(board: mmap, silent: Collection[str]) -> None:
    """From now on, write each question to the board, and ask none of a place that is silent."""
    global _board, _silent
    _board, _silent = board, frozenset(silent)


def ask_nothing_of(place: str) -> None:
    """From now on, ask nothing of this place, too."""
    global _silent
    _silent |= {place}


def read_board(board: mmap) -> tuple[int, float, str]:
    """(number of questions so far, seconds for the last one, the path that it is about)."""
    number, seconds, length = _HEAD.unpack_from(board)
    path = board[_HEAD.size : _HEAD.size + length]
    return number, seconds, os.fsdecode(path)


def note_entry(name: str) -> None:
    """From now on, the questions are about this entry; "": about none."""
    if _board is not None:
        _board[_ENTRY_AT:] = os.fsencode(name)[:256].ljust(256, b"\0")


def entry_on(board: mmap) -> str:
    """The entry that the last question was about."""
    return os.fsdecode(board[_ENTRY_AT:].rstrip(b"\0"))


def last_question() -> str:
    """The path of the last question of this process."""
    return read_board(_board)[2] if _board is not None else ""


def asking(path: str, seconds: float = QUESTION_SECONDS) -> None:
    """Say that a question about this path follows. Raises NoAnswer if it is known that none would
    come."""
    global _questions
    if _silent and (place := place_of(path, _silent)):
        raise NoAnswer(place, "it does not answer", is_silent=True)
    if _board is None:
        return
    _questions += 1
    name = os.fsencode(path)[: _ENTRY_AT - _HEAD.size]
    _board[_HEAD.size : _HEAD.size + len(name)] = name
    _HEAD.pack_into(_board, 0, _questions, seconds, len(name))


def place_of(path: str, places: Collection[str]) -> str:
    """That of these places in which the path lies; "" if it is in none."""
    for place in places:
        if not place:
            continue
        if path == place or path.startswith(place.rstrip("/") + "/"):
            return place
    return ""


def is_trouble(error: OSError) -> bool:
    """Whether the error is no answer: the disk failed, and not the question."""
    return error.errno in _TROUBLE


def require_answer(error: OSError, path: str) -> None:
    """Raises NoAnswer if the error is no answer, in a process whose questions are noted."""
    if _board is not None and is_trouble(error):
        raise NoAnswer(path, error.strerror or "an error of the disk") from None


def is_folder(path: str) -> bool:
    """Whether there is such a folder. Raises NoAnswer."""
    asking(path)
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116
    except OSError as error:
        require_answer(error, path)
    except ValueError:
        pass
    return False


def exists(path: str) -> bool:
    """Whether there is such a file or folder. Where nothing answers, there may be: True."""
    try:
        asking(path)
        os.stat(path)  # noqa: PTH116
    except NoAnswer:
        return True
    except OSError as error:
        return is_trouble(error)
    except ValueError:
        return False
    return True


def real(path: str) -> str:
    """The path without symbolic links; as it is where nothing answers."""
    try:
        asking(path)
    except NoAnswer:
        return path
    return os.path.realpath(path)
