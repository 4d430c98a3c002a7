"""The project of an entry's folder, found or made."""

import os

from fleet_lib.errors import BadEntry, NoAnswer
from fleet_lib.remotes import without_credentials
from fleet_lib.store.repos import Repos
from fleet_lib.store.sessions import Session
from fleet_lib.text import storable
from fleet_lib.turn.git import GitState
from fleet_lib.turn.gone_folder import lay_inside
from fleet_lib.turn.prepared import Prepared
from fleet_lib.turn.stored_text import stored_text


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
        is gone or git does not answer, else of the repository that it lay in. Raises BadEntry where
        nothing says it, and NoAnswer where git may say it later."""
        folder, git = prepared.folder, prepared.git
        known = known or self._repos.sessions.get(prepared.session_id)
        if git is None and not prepared.folder_exists:
            if known:
                return known.project_id
            if found := self._of_gone_folder(prepared):
                return found
            if not folder:
                raise BadEntry("neither Claude Code nor the payload names a project folder")
        if git is None and prepared.is_git_silent:
            # A project that is made of this folder would never be merged with the real one.
            around = known.project_id if known else self._repos.projects.find_around(folder)
            if around:
                return around
            raise NoAnswer(folder, "git does not answer there")
        key = (folder, git.read_at_ns if git else 0)
        if key not in self._found:
            self._found[key] = self._ensure(prepared, git)
        return self._found[key]

    def _of_gone_folder(self, prepared: Prepared) -> str | None:
        """What is known of a folder that is gone: the worktree's repository, an earlier session of
        the same folder, or whatever lay around it, a known project or a repository on the disk."""
        folder, left = prepared.folder, prepared.gone_from
        if left and not lay_inside(folder, left):
            return self._ensure(prepared, left)
        if not folder:
            return None
        if earlier := self._repos.sessions.newest_of_folder(storable(folder)):
            return earlier.project_id
        around = self._repos.projects.find_around(storable(folder))
        known = self._repos.projects.get(around) if around else None
        if known and left and known.repo_root == storable(left.root):
            return around
        # A known folder that is no repository says nothing of what lay in it, unless it is gone too.
        if known and not prepared.exists(known.repo_root):
            return around
        return self._ensure(prepared, left) if left else None

    def _ensure(self, prepared: Prepared, git: GitState | None) -> str:
        root = git.root if git else prepared.real_folder
        remote = git.remote if git else None
        return self._repos.projects.ensure_project(
            repo_name=stored_text(os.path.basename(root.rstrip("/")), 200),
            repo_root=storable(root),
            git_remote=stored_text(without_credentials(remote), 1000) if remote else None,
            canonical=git.canonical_remotes if git else (),
            exists=prepared.exists,
        )
