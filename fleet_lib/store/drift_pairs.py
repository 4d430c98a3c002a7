"""Which documents the reader was warned about already, so that one stale document is one warning."""

from __future__ import annotations

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3


class DriftPairRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(
        self,
        project_id: str,
        source: str,
        document: str,
        *,
        source_digest: str,
        document_digest: str,
    ) -> bool:
        """Note that a warning names this document for this source. False if one did before, and
        neither file has changed since."""
        cursor = self._connection.execute(
            "INSERT INTO doc_drift_pairs (project_id, source, document, source_digest,"
            " document_digest) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (project_id, source, document) DO UPDATE"
            " SET source_digest = excluded.source_digest, document_digest = excluded.document_digest"
            " WHERE source_digest <> excluded.source_digest"
            " OR document_digest <> excluded.document_digest",
            (project_id, source, document, source_digest, document_digest),
        )
        return cursor.rowcount == 1
