"""All repositories over one connection, for code that writes to several tables in one transaction."""

from __future__ import annotations

from fleet_lib.store.background import BackgroundRepo
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.derivations import DerivedRepo
from fleet_lib.store.drift_pairs import DriftPairRepo
from fleet_lib.store.imports import ImportRepo
from fleet_lib.store.live_state import ClientFolderRepo, PermissionRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.store.touched_files import TouchedFileRepo

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3


class Repos:
    """Takes a connection; the caller's transaction holds what they do."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.projects = ProjectRepo(connection)
        self.briefings = BriefingRepo(connection)
        self.background = BackgroundRepo(connection)
        self.derivations = DerivedRepo(connection)
        self.drift_pairs = DriftPairRepo(connection)
        self.imports = ImportRepo(connection)
        self.outbox = OutboxRepo(connection)
        self.sessions = SessionRepo(connection)
        self.touched_files = TouchedFileRepo(connection)
        self.conversations = ConversationRepo(connection)
        self.permissions = PermissionRepo(connection)
        self.client_folders = ClientFolderRepo(connection)
