"""How a folder becomes a project: one repository is one project, wherever it is checked out."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Fleet, git, make_repository, payload

from fleet_lib.store import db
from fleet_lib.store.projects import (
    Project,
    ProjectRepo,
    canonical_remote,
    generate_project_id,
    without_credentials,
)
from fleet_lib.turn.git import read_git_state

MIMESIS = "https://github.com/olivier-motium/mimesis.git"
KNOWN_ID = "mimesis__607a7a7c"


class Registry:
    """A database, and the drainer's way to find a folder's project."""

    def __init__(self, path: Path) -> None:
        self.connection = db.connect(path)
        self.repo = ProjectRepo(self.connection)

    def identify(self, folder: Path) -> Project:
        state = read_git_state(str(folder))
        root = state.root if state else os.path.realpath(folder)
        project_id = self.repo.ensure_project(
            repo_name=Path(root).name, repo_root=root, git_remote=state.remote if state else None
        )
        found = self.repo.get(project_id)
        assert found is not None
        return found

    def count(self) -> int:
        return len(self.repo.get_all())


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry" / "fleet.db")


def stop(fleet: Fleet, project: Path | str, session: str = "s1", **fields: Any) -> None:
    """One turn of a session in this folder, captured and applied."""
    given_payload = payload("Stop") | {
        "session_id": session,
        "prompt_id": os.urandom(8).hex(),
        "cwd": str(project),
        "transcript_path": "",
    }
    fleet.hook("stop", given_payload | fields, project=project)
    fleet.drain()
    assert fleet.quarantine() == {}


def projects(fleet: Fleet) -> list[tuple[Any, ...]]:
    return fleet.rows("SELECT project_id, repo_name, repo_root, git_remote, status FROM projects")


# --- ids --------------------------------------------------------------------------------------


def test_project_id_matches_a_known_value(fleet: Fleet, registry: Registry) -> None:
    assert generate_project_id("mimesis", MIMESIS) == KNOWN_ID
    repository = make_repository(fleet.folder / "code" / "mimesis", MIMESIS)
    assert registry.identify(repository).project_id == KNOWN_ID
    stop(fleet, repository)
    assert projects(fleet) == [(KNOWN_ID, "mimesis", str(repository), MIMESIS, "active")]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("mimesis", "mimesis"),
        ("My Repo.v2", "my-repo-v2"),
        ("--x__y--", "x-y"),
        ("café", "caf"),
        ("日本", "repo"),
        ("", "repo"),
        ("...", "repo"),
        ("a" * 300, "a" * 300),
    ],
)
def test_an_id_is_a_slug_and_eight_hex_digits(name: str, slug: str) -> None:
    head, _, digest = generate_project_id(name, "x").rpartition("__")
    assert head == slug
    assert len(digest) == 8 and set(digest) <= set("0123456789abcdef")


def test_same_name_with_different_remotes_is_two_projects() -> None:
    ids = {
        generate_project_id("api", f"https://github.com/{owner}/api.git") for owner in "abcdefgh"
    }
    assert len(ids) == 8


SAME_REPOSITORY = [
    "https://github.com/o/r.git",
    "https://github.com/o/r",
    "https://github.com/o/r/",
    "https://github.com:443/o/r.git",
    "http://github.com/o/r.git",
    "https://user@github.com/o/r.git",
    "https://user:password@github.com/o/r.git",
    "https://GitHub.com/o/r.git",
    "git@github.com:o/r.git",
    "git@github.com:o/r",
    "git@github.com:/o/r.git",
    "github.com:o/r.git",
    "someone@github.com:o/r.git",
    "ssh://git@github.com/o/r.git",
    "ssh://git@github.com:22/o/r.git",
    "ssh://github.com/o/r",
    "git+ssh://git@github.com/o/r.git",
    "git://github.com/o/r.git",
    "  https://github.com/o/r.git\n",
]


@pytest.mark.parametrize("remote", SAME_REPOSITORY)
def test_all_url_forms_of_a_remote_are_one_repository(remote: str) -> None:
    assert canonical_remote(remote) == "github.com/o/r"


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/o/r2.git",
        "https://github.com/p/r.git",
        "https://gitlab.com/o/r.git",
        "https://github.com:8443/o/r.git",
        "ssh://git@github.com:2222/o/r.git",
        "git@github.com:o/sub/r.git",
        "/srv/github.com/o/r.git",
        "file:///github.com/o/r.git",
        "../o/r.git",
    ],
)
def test_different_remotes_are_different_repositories(remote: str) -> None:
    assert canonical_remote(remote) != "github.com/o/r"


def test_local_remote_is_the_same_as_path_and_url() -> None:
    assert canonical_remote("/srv/git/r.git") == canonical_remote("file:///srv/git/r.git")
    assert canonical_remote("/srv/git/r") == canonical_remote("/srv/git//r.git/")


@given(st.text(max_size=80))
def test_any_text_is_accepted_as_a_remote(remote: str) -> None:
    canonical_remote(remote)
    without_credentials(remote)
    generate_project_id("x", remote)


# --- forms of one remote ----------------------------------------------------------------------


def test_clones_by_ssh_scp_and_https_are_one_project(registry: Registry, tmp_path: Path) -> None:
    found = set()
    for number, remote in enumerate(SAME_REPOSITORY[:-1]):
        repository = make_repository(tmp_path / str(number) / "mimesis", remote)
        found.add(registry.identify(repository).project_id)
    assert len(found) == 1 and registry.count() == 1


def test_origin_is_preferred_over_other_remotes(registry: Registry, tmp_path: Path) -> None:
    first = make_repository(tmp_path / "1" / "mimesis")
    git(first, "remote", "add", "aaa", "https://example.org/fork.git")
    git(first, "remote", "add", "origin", MIMESIS)
    assert registry.identify(first).project_id == KNOWN_ID
    second = make_repository(tmp_path / "2" / "mimesis")
    git(second, "remote", "add", "upstream", "git@github.com:olivier-motium/mimesis.git")
    assert registry.identify(second).project_id == KNOWN_ID


def test_relative_remotes_of_different_repositories_are_different(
    registry: Registry, tmp_path: Path
) -> None:
    one = make_repository(tmp_path / "alice" / "api", "../upstream.git")
    two = make_repository(tmp_path / "bob" / "billing", "../upstream.git")
    assert registry.identify(one).project_id != registry.identify(two).project_id


# --- credentials ------------------------------------------------------------------------------

PASSWORDS = ["hunter2hunter2", "p@ss@word", "p%40ss", "pa:ss", "pä🎉"]
# Not a valid URL, but git's configuration accepts it, and it may contain a password.
UNESCAPED = ["p#ss1234", "p?ss1234", "p/ss1234"]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("scheme", ["https", "ssh", "git+ssh"])
def test_remote_password_is_never_hashed_or_stored(
    registry: Registry, scheme: str, password: str
) -> None:
    bare = f"{scheme}://example.org/o/r.git"
    plain = f"{scheme}://user@example.org/o/r.git" if "ssh" in scheme else bare
    remote = f"{scheme}://user:{password}@example.org/o/r.git"
    assert generate_project_id("r", remote) == generate_project_id("r", plain)
    project_id = registry.repo.ensure_project(repo_name="r", repo_root="/r", git_remote=remote)
    project = registry.repo.get(project_id)
    assert project is not None
    assert password not in (project.git_remote or "") and project_id == generate_project_id("r", plain)  # fmt: skip


def test_unescaped_remote_password_is_not_stored(fleet: Fleet) -> None:
    for number, password in enumerate(UNESCAPED):
        url = f"https://bot:{password}@example.org/o/r{number}.git"
        stop(fleet, make_repository(fleet.folder / f"r{number}", url), f"s{number}")
    stored = b"".join(path.read_bytes() for path in fleet.home.glob("fleet.db*"))
    assert [password for password in UNESCAPED if password.encode() in stored] == []


def test_token_as_user_name_is_not_stored(registry: Registry) -> None:
    token = "gh" + "p_" + "a1B2" * 9
    project_id = registry.repo.ensure_project(
        repo_name="mimesis",
        repo_root="/r",
        git_remote=f"https://{token}@github.com/olivier-motium/mimesis.git",
    )
    project = registry.repo.get(project_id)
    assert project_id == KNOWN_ID and project is not None and project.git_remote == MIMESIS


def test_rotated_credentials_keep_the_same_project(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "mimesis", MIMESIS)
    for number, password in enumerate(PASSWORDS):
        url = f"https://bot:{password}@github.com/olivier-motium/mimesis.git"
        git(repository, "remote", "set-url", "origin", url)
        stop(fleet, repository, f"s{number}")
    assert [row[0] for row in projects(fleet)] == [KNOWN_ID]
    stored = b"".join(path.read_bytes() for path in fleet.home.glob("fleet.db*"))
    for password in PASSWORDS:
        assert password.encode() not in stored


# --- where a session runs ---------------------------------------------------------------------


def test_a_subfolder_is_the_same_project(registry: Registry, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "mimesis", MIMESIS, **{"deep/er/x.py": ""})
    for folder in (repository, repository / "deep", repository / "deep/er", repository / ".git"):
        found = registry.identify(folder)
        assert (found.project_id, found.repo_root) == (KNOWN_ID, str(repository)), folder


def test_a_link_to_a_subfolder_is_the_same_project(registry: Registry, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "code" / "mono", **{"packages/api/x.py": ""})
    whole = registry.identify(repository)
    for name, target in (("whole", "."), ("shortcut", "packages/api")):
        link = tmp_path / name
        link.symlink_to(repository / target)
        assert registry.identify(link) == whole, name


def test_linked_worktrees_are_the_same_project(registry: Registry, tmp_path: Path) -> None:
    for name, remote in (("with", MIMESIS), ("without", None)):
        repository = make_repository(tmp_path / name / "mimesis", remote, **{"sub/x.py": ""})
        git(repository, "worktree", "add", "-q", "-b", "topic", str(tmp_path / name / "topic"))
        main = registry.identify(repository)
        for folder in (tmp_path / name / "topic", tmp_path / name / "topic" / "sub"):
            assert registry.identify(folder) == main
        shutil.rmtree(tmp_path / name)
    assert registry.count() == 2


def test_first_seen_worktree_names_the_main_one(registry: Registry, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "mimesis", MIMESIS)
    git(repository, "worktree", "add", "-q", "-b", "topic", str(tmp_path / "topic"))
    found = registry.identify(tmp_path / "topic")
    assert (found.project_id, found.repo_root) == (KNOWN_ID, str(repository))


def test_submodule_is_a_separate_project(registry: Registry, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library", **{"sub/x.py": ""})
    outer = make_repository(tmp_path / "mimesis", MIMESIS)
    git(outer, "submodule", "add", "-q", str(library), "vendor/library")
    inner = registry.identify(outer / "vendor/library")
    assert inner.repo_name == "library" and inner.repo_root == str(outer / "vendor/library")
    assert registry.identify(outer / "vendor/library/sub") == inner
    assert registry.identify(outer).project_id == KNOWN_ID != inner.project_id
    git(outer / "vendor/library", "worktree", "add", "-q", "-b", "w", str(tmp_path / "linked"))
    assert registry.identify(tmp_path / "linked") == inner


def test_a_bare_repository_with_worktrees_is_named_by_its_folder(
    registry: Registry, tmp_path: Path
) -> None:
    for name in (".bare", ".git", "repo.git"):
        source = make_repository(tmp_path / name / "source")
        home = tmp_path / name / "mimesis"
        home.mkdir()
        git(home, "clone", "-q", "--bare", str(source), name)
        git(home / name, "remote", "remove", "origin")
        git(home / name, "worktree", "add", "-q", str(home / "main"))
        git(home / name, "worktree", "add", "-q", "-b", "topic", str(home / "topic"))
        found = registry.identify(home / "main")
        assert (found.repo_name, found.repo_root) == ("mimesis", str(home)), name
        assert registry.identify(home / "topic") == found
        assert registry.identify(home / name) == found


def test_a_separate_git_folder_does_not_name_the_project(
    registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "stores").mkdir()
    repository = make_repository(
        tmp_path / "mimesis",
        MIMESIS,
        f"--separate-git-dir={tmp_path}/stores/whatever",
        **{"sub/x.py": ""},
    )
    found = registry.identify(repository / "sub")
    assert (found.project_id, found.repo_root) == (KNOWN_ID, str(repository))
    git(repository, "worktree", "add", "-q", "-b", "w", str(tmp_path / "linked"))
    assert registry.identify(tmp_path / "linked").project_id == KNOWN_ID


def test_repository_without_a_remote_is_identified_by_its_path(
    registry: Registry, tmp_path: Path
) -> None:
    one, two = make_repository(tmp_path / "a" / "api"), make_repository(tmp_path / "b" / "api")
    first, second = registry.identify(one), registry.identify(two)
    assert first.project_id == generate_project_id("api", str(one))
    assert first.project_id != second.project_id and first.git_remote is None


def test_a_repository_without_a_commit_is_a_project(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    git(folder, "init", "-q")
    assert registry.identify(folder).repo_root == str(folder)


def test_remote_added_later_keeps_the_project_id(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "mimesis")
    stop(fleet, repository)
    ((before, *_),) = projects(fleet)
    git(repository, "remote", "add", "origin", MIMESIS)
    stop(fleet, repository)
    assert projects(fleet) == [(before, "mimesis", str(repository), MIMESIS, "active")]
    git(repository, "remote", "remove", "origin")
    stop(fleet, repository)
    assert [row[0] for row in projects(fleet)] == [before]
    clone = make_repository(fleet.folder / "elsewhere", "git@github.com:olivier-motium/mimesis.git")
    stop(fleet, clone, "s2")
    assert [row[0] for row in projects(fleet)] == [before]


def test_renamed_clone_is_the_same_project_at_a_new_path(
    registry: Registry, tmp_path: Path
) -> None:
    repository = make_repository(tmp_path / "mimesis", MIMESIS)
    before = registry.identify(repository)
    repository.rename(tmp_path / "renamed")
    after = registry.identify(tmp_path / "renamed")
    assert after.project_id == before.project_id == KNOWN_ID
    assert after.repo_root == str(tmp_path / "renamed")


def test_second_clone_does_not_replace_the_path_of_the_first(
    registry: Registry, tmp_path: Path
) -> None:
    first = make_repository(tmp_path / "mimesis", MIMESIS)
    second = make_repository(tmp_path / "again", MIMESIS)
    for folder in (first, second, first):
        assert registry.identify(folder).repo_root == str(first)
    assert registry.count() == 1


def test_folder_without_git_is_identified_by_its_path(fleet: Fleet) -> None:
    folder = fleet.folder / "notes"
    folder.mkdir()
    stop(fleet, folder)
    stop(fleet, folder, "s2")
    assert projects(fleet) == [
        (generate_project_id("notes", str(folder)), "notes", str(folder), None, "active")
    ]


def test_deleted_folder_belongs_to_the_sessions_last_project(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "mimesis", MIMESIS)
    git(repository, "worktree", "add", "-q", "-b", "topic", str(fleet.folder / "topic"))
    stop(fleet, fleet.folder / "topic")
    git(repository, "worktree", "remove", "--force", str(fleet.folder / "topic"))
    stop(fleet, fleet.folder / "topic")
    assert fleet.rows("SELECT project_id FROM briefings") == [(KNOWN_ID,)] * 2
    assert len(projects(fleet)) == 1


def capture(fleet: Fleet, project: Path, session: str) -> None:
    """A session's start and turn, captured and not applied yet."""
    start = payload("SessionStart-startup") | {"session_id": session, "cwd": str(project)}
    fleet.hook("session_start", start | {"transcript_path": ""}, project=project)
    turn = payload("Stop") | {"session_id": session, "prompt_id": session, "cwd": str(project)}
    fleet.hook("stop", turn | {"transcript_path": ""}, project=project)


@pytest.mark.parametrize(
    "place", ["../topic", ".claude/worktrees/topic", "../../far/away/topic", "../topic/sub"]
)
@pytest.mark.parametrize("is_known", [True, False])
def test_worktree_that_was_removed_before_the_drain_belongs_to_its_repository(
    fleet: Fleet, place: str, is_known: bool
) -> None:
    repository = make_repository(fleet.folder / "code" / "mimesis", MIMESIS, **{"sub/x.py": ""})
    if is_known:
        stop(fleet, repository)
    folder = Path(os.path.normpath(repository / place))
    worktree = folder.parent if folder.name == "sub" else folder
    git(repository, "worktree", "add", "-q", "-b", "topic", str(worktree))
    capture(fleet, folder, "s2")
    git(repository, "worktree", "remove", "--force", str(worktree))
    fleet.drain()
    assert [(row[0], row[2]) for row in projects(fleet)] == [(KNOWN_ID, str(repository))]
    assert fleet.rows("SELECT project_id FROM sessions WHERE session_id = 's2'") == [(KNOWN_ID,)]
    assert fleet.quarantine() == {}


def test_removed_worktree_of_a_bare_repository_belongs_to_it(fleet: Fleet) -> None:
    source = make_repository(fleet.folder / "modules" / "source")
    home = fleet.folder / "modules" / "mimesis"
    home.mkdir()
    git(home, "clone", "-q", "--bare", str(source), "repo.git")
    git(home / "repo.git", "remote", "set-url", "origin", MIMESIS)
    for name, place in (("inside", home / "inside"), ("outside", fleet.folder / "outside")):
        git(home / "repo.git", "worktree", "add", "-q", "-b", name, str(place))
        capture(fleet, place, name)
        git(home / "repo.git", "worktree", "remove", "--force", str(place))
    fleet.drain()
    assert [(row[0], row[2]) for row in projects(fleet)] == [(KNOWN_ID, str(home))]


def test_worktree_with_a_relative_pointer_leads_to_its_repository(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "mimesis", MIMESIS)
    worktree = fleet.folder / "topic"
    git(repository, "worktree", "add", "-q", "-b", "topic", str(worktree))
    (worktree / ".git").write_text("gitdir: ../mimesis/.git/worktrees/topic\n")
    capture(fleet, worktree, "s1")
    shutil.rmtree(worktree)
    fleet.drain()
    assert [row[0] for row in projects(fleet)] == [KNOWN_ID]


def test_folder_that_is_gone_belongs_to_the_project_of_its_last_session(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "mimesis", MIMESIS)
    worktree = fleet.folder / "topic"
    git(repository, "worktree", "add", "-q", "-b", "topic", str(worktree))
    stop(fleet, worktree, "s1")
    git(repository, "worktree", "remove", "--force", str(worktree))
    stop(fleet, worktree, "s2")  # this hook finds no worktree any more
    assert fleet.rows("SELECT DISTINCT project_id FROM briefings") == [(KNOWN_ID,)]


def test_folder_of_a_deleted_repository_belongs_to_that_project(fleet: Fleet) -> None:
    git(fleet.folder, "init", "-q")  # a repository around everything, as for dotfiles
    repository = make_repository(fleet.folder / "mimesis", MIMESIS, **{"sub/x.py": ""})
    stop(fleet, repository)
    shutil.rmtree(repository)
    stop(fleet, repository / "sub", "s2")
    assert fleet.rows("SELECT DISTINCT project_id FROM briefings") == [(KNOWN_ID,)]


def test_folder_that_is_gone_is_not_part_of_a_plain_folder_around_it(fleet: Fleet) -> None:
    stop(fleet, fleet.folder, "s1")  # as of a person who works in the home folder now and then
    stop(fleet, fleet.folder / "scratch", "s2")
    assert [row[1] for row in projects(fleet)] == [fleet.folder.name, "scratch"]


def test_deleted_folder_of_an_unknown_session_leaves_a_briefing(fleet: Fleet) -> None:
    stop(fleet, fleet.folder / "never" / "was")
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]


def test_session_that_changes_folder_keeps_its_project(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "mimesis", MIMESIS)
    other = make_repository(fleet.folder / "other")
    stop(fleet, repository, cwd=str(other))
    assert [row[0] for row in projects(fleet)] == [KNOWN_ID]


# --- unusual repositories -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "日本",
        "a b  c",
        "café ☕",
        "-x",
        "a'b\"c",
        "$(touch x)",
        "back\\slash",
        "new\nline",
        "\u2028",
    ],
)
def test_any_folder_name_can_be_a_project(registry: Registry, tmp_path: Path, name: str) -> None:
    repository = make_repository(tmp_path / name, **{"sub dir/ü.py": ""})
    found = registry.identify(repository / "sub dir")
    assert (found.repo_name, found.repo_root) == (name, str(repository))
    assert found.project_id.rpartition("__")[0]
    git(repository, "worktree", "add", "-q", "-b", "topic", str(tmp_path / "worktree"))
    assert registry.identify(tmp_path / "worktree") == found


def test_unusual_folder_names_pass_through_the_hooks(fleet: Fleet) -> None:
    for number, name in enumerate(("日本", "a b  c", "new\nline")):
        repository = make_repository(fleet.folder / name)
        stop(fleet, repository, f"s{number}")
    roots = {row[2] for row in projects(fleet)}
    assert roots == {str(fleet.folder / name) for name in ("日本", "a b  c", "new\nline")}


def test_non_utf8_folder_name_passes_through_the_hooks(fleet: Fleet) -> None:
    folder = os.fsdecode(os.fsencode(fleet.folder) + b"/caf\xe9")
    make_repository(Path(folder))
    stop(fleet, folder, cwd=str(fleet.folder))
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]


def test_a_repository_with_sha256_objects_is_a_project(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "mimesis", MIMESIS, "--object-format=sha256")
    stop(fleet, repository)
    assert [row[0] for row in projects(fleet)] == [KNOWN_ID]
    ((head,),) = fleet.rows("SELECT head_commit FROM briefings")
    assert head == git(repository, "rev-parse", "HEAD") and len(head) == 64


def test_git_environment_variables_are_ignored(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_repository(tmp_path / "mimesis", MIMESIS)
    other = make_repository(tmp_path / "other")
    for name, value in (
        ("GIT_DIR", str(other / ".git")),
        ("GIT_WORK_TREE", str(other)),
        ("GIT_INDEX_FILE", str(other / ".git" / "index")),
        ("GIT_CEILING_DIRECTORIES", str(repository)),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "remote.origin.url"),
        ("GIT_CONFIG_VALUE_0", "https://example.org/evil.git"),
    ):
        monkeypatch.setenv(name, value)
    found = registry.identify(repository)
    assert (found.project_id, found.repo_root) == (KNOWN_ID, str(repository))


# --- archived ---------------------------------------------------------------------------------


def test_archived_project_stays_archived_until_its_next_turn(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "mimesis", MIMESIS)
    stop(fleet, repository)
    connection = db.connect(fleet.home / "fleet.db")
    assert ProjectRepo(connection).archive(KNOWN_ID)
    connection.close()
    start = payload("SessionStart-startup") | {"session_id": "s2", "cwd": str(repository)}
    end = payload("SessionEnd-other") | {"session_id": "s1", "cwd": str(repository)}
    fleet.hook("session_start", start, project=repository)
    fleet.hook("session_end", end, project=repository)
    fleet.drain()
    assert projects(fleet)[0][4] == "archived"
    stop(fleet, repository, "s2")
    assert projects(fleet)[0][4] == "active"


def test_archived_project_is_found_and_not_created_again(registry: Registry) -> None:
    fields = {"repo_name": "mimesis", "repo_root": "/code/mimesis", "git_remote": MIMESIS}
    project_id = registry.repo.ensure_project(**fields)
    registry.repo.archive(project_id)
    assert registry.repo.ensure_project(**fields) == project_id
    assert registry.count() == 1


def test_original_project_row_with_a_password_is_found(registry: Registry) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        registry.connection.execute("INSERT INTO projects (project_id) VALUES ('x')")
    registry.connection.execute(
        "INSERT INTO projects (project_id, repo_name, repo_root, git_remote, created_at, updated_at)"
        " VALUES ('original__12345678', 'mimesis', '/old', 'git@github.com:olivier-motium/mimesis', '', '')"
    )
    found = registry.repo.ensure_project(
        repo_name="mimesis", repo_root="/new", git_remote="https://u:p@github.com/olivier-motium/mimesis"
    )  # fmt: skip
    assert found == "original__12345678"


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("idu"), st.integers(0, 5), st.sampled_from("abc"))))
def test_the_number_of_a_projects_briefings_is_right_whatever_is_written(
    writes: list[tuple[str, int, str]],
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(db.connect(Path(folder, "fleet.db"))) as connection,
    ):
        connection.executemany(
            "INSERT INTO projects (project_id, repo_name, repo_root, created_at, updated_at)"
            " VALUES (?1, ?1, '/x', '', '')",
            [("a",), ("b",), ("c",)],
        )
        statements = {
            "i": "INSERT INTO briefings (project_id, session_id, task_id, status, raw_markdown,"
            " created_at) VALUES (:project, 's', :number, 'completed', '', '')",
            "d": "DELETE FROM briefings WHERE task_id = :number AND project_id = :project",
            "u": "UPDATE briefings SET project_id = :project WHERE task_id = :number",
        }
        for write, number, project in writes:
            connection.execute(statements[write], {"project": project, "number": number})
        repo = ProjectRepo(connection)
        for project in "abc":
            (counted,) = connection.execute(
                "SELECT count(*) FROM briefings WHERE project_id = ?", (project,)
            ).fetchone()
            assert repo.briefings(project) == counted
        listed = {project.project_id: number for project, number, _ in repo.last_active()}
        assert listed == {project: repo.briefings(project) for project in "abc"}
