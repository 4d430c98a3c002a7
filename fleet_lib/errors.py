"""The errors that the library and the console share. The message is for the user: one line that
says what to do next. An error that one room alone raises and catches is defined there.

FleetError
├── DatabaseUnusable      the database cannot be used now; entries stay in the spool
│   └── NewerSchema       a newer version of Fleet wrote it
├── BadEntry              an entry can never be applied; it goes to quarantine
├── GitTimeout            git did not answer in time
├── NoAnswer              a session's folder does not answer; its entries are tried again later
├── BadInput              a value of a user or caller is not allowed
└── NotFound              there is no such project, briefing, event or job
"""


class FleetError(Exception):
    """The base of all of Fleet's errors."""


class DatabaseUnusable(FleetError):
    """The database cannot be used now."""


class NewerSchema(DatabaseUnusable):
    """A newer version of Fleet wrote the database."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the database has schema version {found}, this Fleet knows only {known}; upgrade Fleet"
        )


class BadEntry(FleetError):
    """The entry can never be applied."""


class GitTimeout(FleetError):
    """Git did not answer in time."""


class NoAnswer(FleetError):
    """A question to a folder got no answer, or an error of the disk. It says nothing about the
    entry, which is tried again later."""

    def __init__(self, place: str, reason: str, *, is_silent: bool = False) -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.place = place
        self.reason = reason
        self.is_silent = is_silent  # no question to anything in it is answered


class BadInput(FleetError):
    """A value is not allowed."""


class NotFound(FleetError):
    """The database has no such row."""
