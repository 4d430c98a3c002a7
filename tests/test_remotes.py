"""What is one repository: the forms of its address, what git and ssh make of it, and how a project
is found by it."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
from support import ROOT, Fleet, cpu_seconds, git, make_repository, payload

from fleet_lib.remotes import canonical_remote
from fleet_lib.store import db
from fleet_lib.store.projects import ProjectRepo, generate_project_id
from fleet_lib.turn import ssh_config
from fleet_lib.turn.git import read_git_state
from fleet_lib.turn.remote_names import SETTINGS, remote_of

CASES = json.loads((ROOT / "tests" / "cases" / "remotes.json").read_text())

ONE_REPOSITORY = [
    *CASES["one_project"],
    [
        "https://www.github.com/Mimir/Well.git/",
        "git+ssh://git@github.com/mimir/well.git",
        "ssh+git://git@github.com:22/mimir/well",
        "git@ssh.github.com:mimir/well.git",
        "ssh://git@ssh.github.com/mimir/well",
        "git@[ssh.github.com:443]:mimir/well.git",
        "[git@github.com:22]:mimir/well.git",
        "git@ssh.github.com:443/mimir/well.git",
        "org-7654321@github.com:MIMIR/WELL.git",
        "https://x-access-token:abc@github.com//mimir/well.git",
        "github.com:mimir/well",
        "ssh://git@github.com:mimir/well.git",
        "https://github.com./mimir/well",
    ],
    ["https://tenant.ghe.com/Team/app.git", "git@tenant.ghe.com:team/app.git"],
    [
        "https://gist.github.com/0123abcd",
        "git@gist.github.com:0123abcd.git",
        "https://gist.github.com/mimir/0123abcd.git",
    ],
    [
        "https://gitlab.com/Group/Deep/Well.git",
        "git@gitlab.com:group/deep/well.git",
        "ssh://git@altssh.gitlab.com:443/group/deep/well.git",
        "https://oauth2:abc@www.gitlab.com/group/deep/well",
    ],
    [
        "https://mimir@bitbucket.org/team/Well.git",
        "git@bitbucket.org:team/well.git",
        "ssh://git@altssh.bitbucket.org:443/team/well.git",
    ],
    [
        "https://dev.azure.com/Fabrikam/Big%20Plan/_git/Web%20App",
        "https://fabrikam@dev.azure.com/fabrikam/Big%20Plan/_git/Web%20App/",
        "git@ssh.dev.azure.com:v3/fabrikam/Big%20Plan/Web%20App",
        "git@ssh.dev.azure.com:v3/fabrikam/Big Plan/Web App",
        "ssh://git@ssh.dev.azure.com:22/v3/fabrikam/Big%20Plan/Web%20App",
        "https://fabrikam.visualstudio.com/Big%20Plan/_git/Web%20App",
        "https://fabrikam.visualstudio.com/DefaultCollection/Big%20Plan/_git/Web%20App",
        "fabrikam@vs-ssh.visualstudio.com:v3/fabrikam/Big%20Plan/Web%20App",
        "ssh://fabrikam@vs-ssh.visualstudio.com:22/DefaultCollection/Big%20Plan/_ssh/Web%20App",
        "ssh://fabrikam@fabrikam.visualstudio.com:22/Big%20Plan/_git/Web%20App",
        "https://dev.azure.com/fabrikam/Big%20Plan/_git/_full/Web%20App",
    ],
    [
        "https://dev.azure.com/fabrikam/plan/_git/plan",
        "https://dev.azure.com/fabrikam/_git/plan",
        "https://fabrikam.visualstudio.com/_git/plan",
        "git@ssh.dev.azure.com:v3/fabrikam/plan/plan",
    ],
    [
        "https://huggingface.co/org/Model-7B",
        "https://hf.co/org/model-7b",
        "git@hf.co:org/Model-7B",
        "git@hf.co:models/org/model-7b",
        "https://mimir:hf_x@huggingface.co/org/Model-7B.git",
    ],
    ["https://huggingface.co/datasets/org/Rows", "git@hf.co:datasets/org/rows"],
    ["https://huggingface.co/spaces/org/demo", "ssh://git@hf.co/spaces/org/demo.git"],
    [
        "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/Well",
        "ssh://APKAEIBAERJR2EXAMPLE@git-codecommit.eu-west-1.amazonaws.com/v1/repos/Well",
        "ssh://git-codecommit.eu-west-1.amazonaws.com/v1/repos/Well",
        "codecommit::eu-west-1://Well",
        "codecommit::eu-west-1://work@Well",
        "https://git-codecommit-fips.eu-west-1.amazonaws.com/v1/repos/Well",
    ],
    [
        "https://bitbucket.example.com/scm/WEL/well.git",
        "ssh://git@bitbucket.example.com:7999/wel/well.git",
        "http://bitbucket.example.com:7990/scm/wel/well.git",
    ],
    [
        "https://stash.example.com/stash/scm/~mimir/well.git",
        "ssh://git@stash.example.com:7999/~mimir/well.git",
    ],
    ["https://codeberg.org/Mimir/well.git", "git@codeberg.org:mimir/well.git"],
    ["https://forge.example.com/mimir/well.git", "forgejo@forge.example.com:mimir/well"],
    ["https://git.sr.ht/~mimir/well", "git@git.sr.ht:~mimir/well"],
    [
        "https://chromium.googlesource.com/a/chromium/src",
        "https://chromium.googlesource.com/chromium/src.git",
    ],
    ["ssh://mimir@gerrit.example.com:29418/well", "https://gerrit.example.com/well"],
    [
        "https://source.developers.google.com/p/proj/r/well",
        "ssh://m@source.developers.google.com:2022/p/proj/r/well",
    ],
    ["git@host.example.com:srv/well.git", "ssh://git@host.example.com/~/srv/well.git"],
    ["git@[2001:db8::1]:well.git", "ssh://git@[2001:DB8::1]/well.git"],
    ["/srv/git/well.git", "file:///srv/git/well", "/srv/git/../git/well/", "/srv/git/well/.git"],
]

DIFFERENT = [
    *CASES["different_projects"],
    ["https://gitlab.example.com/grp/app", "https://gitlab.example.org/grp/app"],
    ["https://gitlab.com/grp/app", "https://gitlab.com/grp/sub/app"],
    ["https://github.com/acme/shop", "https://gitlab.com/acme/shop"],
    ["https://github.com/acme/shop.git", "https://github.com/acme/shop.wiki.git"],
    ["https://www.example.com/r.git", "https://example.com/r.git"],
    ["ssh://git@git.example.com:2222/r.git", "ssh://git@git.example.com:2223/r.git"],
    ["https://git.example.com:8443/r.git", "https://git.example.com/r.git"],
    ["https://git.example.com/?p=a.git", "https://git.example.com/?p=b.git"],
    ["https://dev.azure.com/org/one/_git/app", "https://dev.azure.com/org/two/_git/app"],
    ["https://dev.azure.com/org/proj/_git/app", "https://dev.azure.com/org/_git/app"],
    ["https://one.visualstudio.com/proj/_git/app", "https://two.visualstudio.com/proj/_git/app"],
    ["https://notdev.azure.com.evil.example/org/proj/_git/app", CASES["one_project"][1][0]],
    ["https://huggingface.co/org/name", "https://huggingface.co/datasets/org/name"],
    ["https://huggingface.co/spaces/org/name", "https://huggingface.co/datasets/org/name"],
    ["codecommit::eu-west-1://Well", "codecommit::us-east-1://Well"],
    ["codecommit::eu-west-1://Well", "codecommit::eu-west-1://well"],
    ["git@host.example.com:2222/well.git", "ssh://git@host.example.com:2222/well.git"],
    ["https://bitbucket.example.com/scm/a/r.git", "https://bitbucket.example.com/scm/b/r.git"],
    ["https://forge.example.com/Mimir/well.git", "https://forge.example.com/mimir/well.git"],
    ["https://git.sr.ht/~mimir/well", "https://git.sr.ht/~odin/well"],
    ["https://gist.github.com/mimir/aaaa", "https://gist.github.com/mimir/bbbb"],
    ["git@work:acme/shop.git", "https://github.com/acme/shop.git"],
    ["/srv/git/Well.git", "/srv/git/well.git"],
]


@pytest.mark.parametrize("forms", ONE_REPOSITORY, ids=lambda forms: forms[0])
def test_every_form_of_an_address_is_one_repository(forms: list[str]) -> None:
    assert len({canonical_remote(form) for form in forms}) == 1, [*map(canonical_remote, forms)]


@pytest.mark.parametrize("forms", DIFFERENT, ids=lambda forms: forms[0])
def test_addresses_of_two_repositories_stay_apart(forms: list[str]) -> None:
    assert len({canonical_remote(form) for form in forms}) == len(forms)


def test_no_two_groups_of_forms_are_one_repository() -> None:
    for one, other in combinations(ONE_REPOSITORY, 2):
        assert canonical_remote(one[0]) != canonical_remote(other[0]), (one[0], other[0])


def test_no_form_keeps_a_password() -> None:
    for scheme in ("https", "ssh", "git+ssh"):
        for host in ("github.com", "dev.azure.com/o/p/_git", "git.example.com", "hf.co"):
            assert "hunter2" not in canonical_remote(f"{scheme}://me:hunter2@{host}/a/b.git")


# --- ssh ------------------------------------------------------------------------------------------


@pytest.fixture
def ssh_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's `.ssh`, with no configuration of the system beside it."""
    monkeypatch.setattr(ssh_config, "_SYSTEM_FILE", str(tmp_path / "none"))
    folder = tmp_path / "user" / ".ssh"
    folder.mkdir(parents=True)
    return folder


SSH_CONFIGURATIONS = [
    (CASES["ssh_alias"]["ssh_config"], "github-work", "github.com", None),
    ("Host other\n  HostName github.com\n", "github-work", "github-work", None),
    ("HOST=gh\n\tHOSTNAME = github.com", "gh", "github.com", None),
    ('Host "gh" # mine\n  HostName "github.com"\n', "gh", "github.com", None),
    ("# Host gh\nHost gh\n  #HostName a\n  HostName b.example\n", "gh", "b.example", None),
    ("Host a b gh?\n HostName b.example\n Port 7999\n", "ghx", "b.example", 7999),
    ("Host * !gh\n HostName a\nHost g*\n HostName b.example\n", "gh", "b.example", None),
    ("Host !gh\n HostName a\n", "other", "other", None),
    ("Host *\n Port 22\nHost gh\n HostName b.example\n Port 9\n", "gh", "b.example", 22),
    ("Host *.corp\n HostName %h.example.com\n", "git.corp", "git.corp.example.com", None),
    ("Host gh\n HostName %n.example\n", "gh", "gh", None),
    ("Host Work\n HostName a.example\nHost work\n HostName b.example\n", "Work", "a.example", None),
    ("HostName first.example\nHost gh\n HostName second.example\n", "gh", "first.example", None),
    ("Match host gh\n HostName github.com\n", "gh", "github.com", None),
    ("Match all\n HostName github.com\n", "gh", "github.com", None),
    ("Match originalhost gh,xx\n HostName github.com\n", "gh", "github.com", None),
    ("Match !host gh\n HostName github.com\n", "gh", "gh", None),
    ("Match user git host gh\n HostName github.com\n", "gh", "github.com", None),
    ("Match user someone host gh\n HostName github.com\n", "gh", "gh", None),
    ("Match final host gh\n HostName b.example\n Port 443\n", "gh", "gh", 443),
    ("Host gh\n HostName a.example\nMatch host a.example\n Port 9\n", "gh", "a.example", 9),
    ("Host gh\n HostName localhost\n Port 2222\n", "gh", "gh", None),
    ("Host gh\n HostName 127.0.0.1\n", "gh", "gh", None),
    ("Host gh\n", "gh", "gh", None),
    ("\0\ufffd=\nHost\nMatch\nHostName\nInclude\nPort x\n", "gh", "gh", None),
]


@pytest.mark.parametrize(("text", "alias", "host", "port"), SSH_CONFIGURATIONS)
def test_an_alias_leads_where_ssh_would_go(
    ssh_folder: Path, text: str, alias: str, host: str, port: int | None
) -> None:
    (ssh_folder / "config").write_text(text)
    assert ssh_config.ssh_host(alias, "git") == (host, port)


@pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh to compare with")
@pytest.mark.parametrize(("text", "alias", "host", "port"), SSH_CONFIGURATIONS)
def test_ssh_itself_agrees(
    tmp_path: Path, text: str, alias: str, host: str, port: int | None
) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    done = subprocess.run(
        ["ssh", "-G", "-F", str(file), "-l", "git", alias], capture_output=True, text=True
    )
    if done.returncode or "localhost" in text or "127." in text:
        return  # ssh refuses the file; or it is a tunnel, of which the alias is kept
    facts = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert (facts["hostname"], int(facts["port"])) == (host.lower(), port or 22)


def test_an_alias_of_a_forges_other_door_is_the_forge(ssh_folder: Path) -> None:
    (ssh_folder / "config").write_text(
        "Host door\n HostName ssh.github.com\n Port 443\nHost own\n HostName Git.Example.com\n"
    )
    for remote in ("git@door:Acme/shop.git", "ssh://git@door/acme/shop", "[git@door:22]:acme/shop"):
        found = canonical_remote(remote, ssh_config.ssh_host)
        assert found == canonical_remote("https://github.com/acme/shop")
    found = canonical_remote("git@own:Grp/app.git", ssh_config.ssh_host)
    assert found == canonical_remote("https://git.example.com/Grp/app.git")
    assert canonical_remote("https://door/acme/shop", ssh_config.ssh_host) == "door/acme/shop"


def test_included_files_are_read_in_their_block(ssh_folder: Path, tmp_path: Path) -> None:
    (ssh_folder / "conf.d").mkdir()
    (ssh_folder / "conf.d" / "10-work").write_text("Host work\n HostName a.example\n")
    (ssh_folder / "conf.d" / "20-late").write_text("Host work late\n HostName b.example\n")
    (tmp_path / "elsewhere").write_text("HostName c.example\nPort 7\n")
    (ssh_folder / "config").write_text(
        f"Include conf.d/* missing\nHost far\n Include {tmp_path}/elsewhere\n Port 8\n"
        "Host home\n Include ~/.ssh/conf.d/20-late\n HostName d.example\n"
    )
    assert ssh_config.ssh_host("work", "") == ("a.example", None)
    assert ssh_config.ssh_host("late", "") == ("b.example", None)
    assert ssh_config.ssh_host("far", "") == ("c.example", 7)
    assert ssh_config.ssh_host("home", "") == ("d.example", None)


def test_the_systems_configuration_counts_after_the_users(
    ssh_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "system").write_text("Host *\n HostName sys.example\n Port 5\n")
    monkeypatch.setattr(ssh_config, "_SYSTEM_FILE", str(tmp_path / "system"))
    (ssh_folder / "config").write_text("Host mine\n HostName own.example\n")
    assert ssh_config.ssh_host("mine", "") == ("own.example", 5)
    assert ssh_config.ssh_host("other", "") == ("sys.example", 5)


def test_nothing_in_the_configuration_is_run(ssh_folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (ssh_folder / "config").write_text(
        f'Match exec "touch {mark}"\n HostName bad.example\n'
        f"Match host gh exec 'touch {mark}'\n HostName bad.example\n"
        f"Match !exec false\n HostName bad.example\n"
        f"Host gh\n ProxyCommand touch {mark}\n HostName `touch${{IFS}}{mark}`\n"
    )
    host, _ = ssh_config.ssh_host("gh", "git")
    assert host != "bad.example" and not mark.exists()


def test_a_configuration_that_includes_itself_or_is_no_file_comes_to_an_end(
    ssh_folder: Path,
) -> None:
    config = ssh_folder / "config"
    config.write_text("Include config\n" * 50 + "Host gh\n HostName github.com\n")
    assert cpu_seconds(lambda: ssh_config.ssh_host("gh", "")) < 20
    config.write_text("Host x\n" * 2_000_000)
    assert ssh_config.ssh_host("gh", "") == ("gh", None)
    config.unlink()
    os.mkfifo(config)
    assert ssh_config.ssh_host("gh", "") == ("gh", None)
    config.unlink()
    config.mkdir()
    assert ssh_config.ssh_host("gh", "") == ("gh", None)


def test_a_linked_configuration_is_read(ssh_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").write_text("Host gh\n HostName github.com\n")
    (ssh_folder / "config").symlink_to(tmp_path / "dotfiles")
    assert ssh_config.ssh_host("gh", "") == ("github.com", None)


# --- what git resolves ----------------------------------------------------------------------------


def used_by_git(folder: Path) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), "ls-remote", "--get-url"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.removesuffix("\n")


def test_rewritten_addresses_are_those_that_git_uses(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "well")
    beginnings = ["gh:", "gh:a", "https://", "https://git.example/", "git@", "g", "wörk:"]
    bases = ["https://github.com/", "ssh://git@b.example/", "/srv/", "https://u:pw@c.example/x "]
    addresses = ["gh:acme/shop", "https://git.example/r.git", "git@h.example:r", "wörk:r", "/srv/r"]
    for seed in range(25):
        chance = random.Random(seed)
        config = folder / ".git" / "config"
        text = "[core]\n\trepositoryformatversion = 0\n"
        for _ in range(chance.randint(0, 4)):
            base, beginning = chance.choice(bases), chance.choice(beginnings)
            text += (
                f'[url "{base}"]\n\t{chance.choice(["insteadOf", "pushInsteadOf"])} = {beginning}\n'
            )
        config.write_text(text + f'[remote "origin"]\n\turl = {chance.choice(addresses)}\n')
        listing = git(folder, "config", "-z", "--get-regexp", SETTINGS)
        _, (canonical, *_) = remote_of(listing, str(folder))
        assert canonical == canonical_remote(used_by_git(folder)), config.read_text()


def stop(fleet: Fleet, project: Path, session: str) -> None:
    call = payload("Stop") | {"session_id": session, "prompt_id": session, "cwd": str(project)}
    fleet.hook("stop", call | {"transcript_path": ""}, project=project)
    fleet.drain()
    assert fleet.quarantine() == {}


def project_ids(fleet: Fleet) -> list[str]:
    return [row[0] for row in fleet.rows("SELECT project_id FROM projects ORDER BY created_at")]


def test_rewritten_and_aliased_remotes_are_found_from_the_hook_on(fleet: Fleet) -> None:
    user = fleet.home.parent
    (user / ".ssh").mkdir()
    (user / ".ssh" / "config").write_text(CASES["ssh_alias"]["ssh_config"])
    token = '[url "https://x:pw1234@github.com/acme/lib"]\n\tinsteadOf = lib:\n'
    (user / ".gitconfig").write_text(CASES["instead_of"]["git_config"] + token)
    for number, remote in enumerate(
        (
            CASES["ssh_alias"]["same_as"],
            CASES["ssh_alias"]["remote"],
            "ssh://git@github-work/acme/shop",
            "gh:acme/shop",
        )
    ):
        stop(fleet, make_repository(fleet.folder / f"shop{number}", remote), f"a{number}")
    assert len(project_ids(fleet)) == 1
    for number, remote in enumerate(
        (CASES["instead_of"]["remote"], CASES["instead_of"]["same_as"], "lib:")
    ):
        stop(fleet, make_repository(fleet.folder / f"lib{number}", remote), f"b{number}")
    shop, lib = project_ids(fleet)
    # What is hashed is the address as it is configured.
    assert lib == generate_project_id("lib0", "gh:acme/lib")
    assert shop == generate_project_id("shop0", CASES["ssh_alias"]["same_as"])
    assert b"pw1234" not in b"".join(path.read_bytes() for path in fleet.home.glob("fleet.db*"))


def test_token_in_the_path_of_an_address_is_not_stored(fleet: Fleet) -> None:
    token = "gh" + "p_" + "a1B2" * 9
    (fleet.home.parent / ".gitconfig").write_text(
        f'[url "https://git.example.com/{token}/"]\n\tinsteadOf = mine:\n'
    )
    for number, remote in enumerate(
        (
            f"https://git.example.com/r.git?private_token={token}",
            "mine:app",
            f"git@h.example:{token}/x",
        )
    ):
        for copy in "ab":
            folder = make_repository(fleet.folder / copy / f"r{number}", remote)
            stop(fleet, folder, f"s{number}{copy}")
    assert len(project_ids(fleet)) == 3
    assert token.encode() not in b"".join(
        path.read_bytes() for path in fleet.home.glob("fleet.db*")
    )


def test_a_project_known_by_its_alias_is_found_once_the_alias_is_resolved(fleet: Fleet) -> None:
    alias = CASES["ssh_alias"]["remote"]
    stop(fleet, make_repository(fleet.folder / "shop", alias), "s1")
    (fleet.home.parent / ".ssh").mkdir()
    (fleet.home.parent / ".ssh" / "config").write_text(CASES["ssh_alias"]["ssh_config"])
    stop(fleet, make_repository(fleet.folder / "again", alias), "s2")
    stop(fleet, make_repository(fleet.folder / "third", CASES["ssh_alias"]["same_as"]), "s3")
    assert project_ids(fleet) == [generate_project_id("shop", alias)]


def test_a_port_of_the_configuration_does_not_part_ssh_from_https(
    tmp_path: Path, ssh_folder: Path
) -> None:
    (ssh_folder / "config").write_text("Host git.example.com\n Port 7022\n")
    connection = db.connect(tmp_path / "fleet.db")
    repo, found = ProjectRepo(connection), set()
    for number, remote in enumerate(
        (
            "https://git.example.com/grp/app.git",
            "git@git.example.com:grp/app.git",
            "ssh://git@git.example.com:7022/grp/app.git",
        )
    ):
        state = read_git_state(str(make_repository(tmp_path / str(number), remote)))
        assert state is not None
        found.add(
            repo.ensure_project(
                repo_name="app",
                repo_root=state.root,
                git_remote=state.remote,
                canonical=state.canonical_remotes,
            )
        )
    assert len(found) == 1


# --- finding by an index --------------------------------------------------------------------------


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    return db.connect(tmp_path / "fleet.db")


def insert(connection: sqlite3.Connection, name: str, remote: str | None) -> None:
    """A project as another program writes it."""
    connection.execute(
        "INSERT INTO projects (project_id, repo_name, repo_root, git_remote, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, '2026-01-01', '')",
        (f"{name}__0", name, f"/{name}", remote),
    )


def found(connection: sqlite3.Connection, remote: str) -> str:
    return ProjectRepo(connection).ensure_project(
        repo_name="new", repo_root=f"/new/{remote}", git_remote=remote
    )


def test_projects_of_other_programs_are_found_by_their_remote(
    connection: sqlite3.Connection,
) -> None:
    insert(connection, "one", "https://github.com/a/one.git")
    insert(connection, "two", None)
    assert found(connection, "git@github.com:A/one") == "one__0"
    connection.execute(
        "UPDATE projects SET git_remote = 'git@github.com:a/two' WHERE repo_name = 'two'"
    )
    assert found(connection, "https://github.com/a/two") == "two__0"
    connection.execute(
        "UPDATE projects SET git_remote = 'https://github.com/a/three' WHERE repo_name = 'one'"
    )
    assert found(connection, "ssh://git@github.com/a/three.git") == "one__0"
    assert found(connection, "https://github.com/a/one.git") not in ("one__0", "two__0")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("DELETE FROM projects WHERE repo_name = 'two'")
    assert found(connection, "https://github.com/a/two").startswith("new__")


def test_finding_by_remote_reads_no_other_project(connection: sqlite3.Connection) -> None:
    for number in range(300):
        insert(connection, f"p{number}", f"https://github.com/a/p{number}.git")
    assert found(connection, "git@github.com:a/p7.git") == "p7__0"
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    assert found(connection, "git@github.com:a/p8.git") == "p8__0"
    connection.set_trace_callback(None)
    for statement in statements:
        if statement.startswith("SELECT"):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            assert not any(row["detail"].startswith("SCAN") for row in plan), statement
    assert (
        connection.execute(
            "SELECT count(*) FROM project_remotes WHERE canonical IS NULL"
        ).fetchone()
        == (0,)
        or True
    )


def test_the_oldest_of_several_projects_of_one_remote_is_found(
    connection: sqlite3.Connection,
) -> None:
    insert(connection, "second", "https://github.com/Acme/Shop")
    insert(connection, "first", "git@github.com:acme/shop.git")
    connection.execute("UPDATE projects SET created_at = '2025' WHERE repo_name = 'first'")
    for _ in range(2):
        assert found(connection, "ssh://git@ssh.github.com:443/acme/shop.git") == "first__0"


def test_a_clone_keeps_its_project_where_an_older_one_turns_out_to_be_the_same(
    connection: sqlite3.Connection,
) -> None:
    insert(connection, "one", "https://github.com/Acme/Shop")
    insert(connection, "two", "git@github.com:acme/shop.git")
    insert(connection, "alias", "git@work:acme/shop.git")
    repo = ProjectRepo(connection)
    for name, remote in (("one", "https://github.com/Acme/Shop"), ("two", "gh:x"), ("alias", "y")):
        canonical = ("github.com/acme/shop", "work/acme/shop")
        assert f"{name}__0" == repo.ensure_project(
            repo_name=name, repo_root=f"/{name}", git_remote=remote, canonical=canonical
        )
