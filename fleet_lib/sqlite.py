"""SQLite's C half: all of `sqlite3` but what converts times of `datetime`, which is nowhere used here
and takes a quarter of a bare interpreter to import. (Hooks: prelude/database.py.)"""

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import _sqlite3 as sqlite3
    except ImportError:  # another Python has other private names
        import sqlite3

__all__ = ["sqlite3"]
