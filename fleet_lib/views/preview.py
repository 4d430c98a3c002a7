"""What the Commander's next prompt would add, for people and programs that want to look. Reads
only: no cursor moves. A file of its own because it is the one view that needs the prelude's
modules."""

import contextlib
from typing import Any

from fleet_lib import hot_settings, paths
from fleet_lib.prelude import delta, recap
from fleet_lib.prelude.database import conversation_cursor
from fleet_lib.store import db


def prelude_preview(
    home: str, *, with_recap: bool = False, after: int | None = None
) -> dict[str, Any]:
    """after_event_id, through_event_id and text. `after` stands in for the conversation's cursor.

    Raises DatabaseUnusable or sqlite3.Error."""
    with contextlib.closing(db.connect_read_only(paths.database(home))) as connection:
        # The prelude's queries expect plain tuples, as in the hooks.
        connection.row_factory = None
        with db.transaction(connection, "DEFERRED"):
            cursor = conversation_cursor(connection) if after is None else after
            build = recap.recap if with_recap else delta.delta
            text, through = build(connection, cursor, hot_settings.budget(home))
    return {"after_event_id": cursor, "through_event_id": through, "text": text}
