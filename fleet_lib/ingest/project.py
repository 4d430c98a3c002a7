"""The project of an entry's folder, found or made."""

from pathlib import Path

from fleet_lib.errors import BadEntry
from fleet_lib.remotes import without_credentials
from fleet_lib.store.repos import Repos
from fleet_lib.store.sessions import Session
from fleet_lib.turn.prepare import Prepared
from fleet_lib.turn.stored_text import storable, stored_text


class ProjectFinder:
    """Finds projects in one transaction, each repository once."""

    def __init__(self, repos: Repos) -> None:
        self._repos = repos
        self._found: dict[tuple[str, int], str] = {}

    def forget(self) -> None:
        """After a rollback: a project that was made may not be there any more."""
        self._found.clear()

    def project_of(self, prepared: Prepared, known: Session | None) -> str:
        """The id of the project of the entry's folder; of the session's last turn where the folder
        is gone or git does not answer. Raises BadEntry where neither is known."""
        folder, git = prepared.folder, prepared.git
        known = known or self._repos.sessions.get(prepared.session_id)
        if git is None and not prepared.folder_exists:
            if known:
                return known.project_id
            if not folder:
                raise BadEntry("neither Claude Code nor the payload names a project folder")
        if git is None and prepared.is_git_silent:
            # A project that is made of this folder would never be merged with the real one.
            around = known.project_id if known else self._repos.projects.find_around(folder)
            if around:
                return around
            raise BadEntry("git did not answer, so the folder's project is not known")
        key = (folder, git.read_at_ns if git else 0)
        if key not in self._found:
            self._found[key] = self._ensure(prepared)
        return self._found[key]

    def _ensure(self, prepared: Prepared) -> str:
        git = prepared.git
        root = git.root if git else prepared.real_folder
        remote = git.remote if git else None
        return self._repos.projects.ensure_project(
            repo_name=stored_text(Path(root).name, 200),
            repo_root=storable(root),
            git_remote=stored_text(without_credentials(remote), 1000) if remote else None,
            exists=prepared.exists,
        )
