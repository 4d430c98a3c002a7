"""Every error that Fleet raises on purpose. The message is what the user reads: one line, and what to do.

FleetError
├── DatabaseUnusable      the file cannot be used now; entries stay in the spool
│   └── NewerSchema       a later Fleet made it
├── BadEntry              an entry can never be applied; it goes to quarantine
├── GitTimeout            git did not answer in time
├── BadInput              a caller's or user's value is not allowed
└── NotFound              no such project, briefing, event or job
"""


class FleetError(Exception):
    """Base of all."""


class DatabaseUnusable(FleetError):
    """The database cannot be used now."""


class NewerSchema(DatabaseUnusable):
    """The database was written by a later Fleet."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the database has schema version {found}, this Fleet knows {known}: upgrade Fleet"
        )


class BadEntry(FleetError):
    """The entry can never be applied."""


class GitTimeout(FleetError):
    """Git did not answer in time."""


class BadInput(FleetError):
    """A value is not allowed."""


class NotFound(FleetError):
    """There is no such thing in the database."""
