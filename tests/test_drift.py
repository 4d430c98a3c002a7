"""Documents that a turn left behind: which ones name a touched file and are living, and the one
warning that says so."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from support import Fleet, git, make_repository, payload
from support_transcripts import Session, configured

from fleet_lib.turn.derive import risk_of
from fleet_lib.turn.git import GitState, read_git_state
from fleet_lib.turn.repositories import Repositories


def state_of(folder: Path) -> GitState:
    state = read_git_state(str(folder))
    assert state is not None
    return state


def start_session(fleet: Fleet, project: Path, session: str = "s1") -> None:
    start = payload("SessionStart-startup") | {"session_id": session, "cwd": str(project)}
    fleet.hook("session_start", start, project=project)
    fleet.drain()


def stop(fleet: Fleet, project: Path, session: str = "s1", **more: Any) -> None:
    call = payload("Stop") | {
        "session_id": session,
        "cwd": str(project),
        "transcript_path": "",
        "prompt_id": os.urandom(8).hex(),
    }
    fleet.hook("stop", call | more, project=project)
    fleet.drain()
    assert fleet.quarantine() == {}


def files(fleet: Fleet) -> list[list[str]]:
    rows = fleet.rows("SELECT files_touched_json FROM briefings ORDER BY briefing_id")
    return [json.loads(row[0]) for row in rows]


def documented_project(fleet: Fleet, **files: str) -> Path:
    project = make_repository(fleet.folder / "api", **files)
    start_session(fleet, project)
    return project


def change(fleet: Fleet, project: Path, *names: str, session: str = "s1") -> None:
    """A turn that changes and commits these files."""
    for name in names:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(f"changed {time.time_ns()}\n")
    turn = Session(fleet, configured(project), session).asks()
    turn.runs("git add -A; git commit -qm turn").stops()


def last_risk(fleet: Fleet) -> str:
    return fleet.rows("SELECT doc_drift_risk FROM briefings ORDER BY briefing_id DESC")[0][0]  # type: ignore[no-any-return]


def payloads(fleet: Fleet) -> list[dict[str, Any]]:
    rows = fleet.rows(
        "SELECT payload_json FROM outbox_events WHERE type = 'doc_drift_warning' ORDER BY event_id"
    )
    return [json.loads(row[0]) for row in rows]


def warnings(fleet: Fleet) -> list[tuple[list[str], list[str]]]:
    """[(documents, sources)] of each warning."""
    return [(each["docDrift"]["docs"], each["docDrift"]["sources"]) for each in payloads(fleet)]


@pytest.mark.parametrize(
    ("mention", "source", "others", "risk"),
    [
        ("`src/app/main.py`", "src/app/main.py", (), "medium"),
        ("[main](src/app/main.py#L12)", "src/app/main.py", (), "medium"),
        ("./src/app/main.py:12, and so on", "src/app/main.py", (), "medium"),
        ("see /src/app/main.py.", "src/app/main.py", (), "medium"),
        ("main.py", "src/app/main.py", (), "medium"),
        ("app/main.py", "src/app/main.py", (), "medium"),
        ("main.py", "src/app/main.py", ("lib/main.py",), "low"),
        ("src/app/main.py", "src/app/main.py", ("lib/main.py",), "medium"),
        ("lib/main.py", "src/app/main.py", ("lib/main.py",), "low"),
        ("lib/main.py", "main.py", ("lib/main.py",), "low"),
        ("domain.py and main.pyc", "src/app/main.py", (), "low"),
        ("main", "src/app/main.py", (), "low"),
        ("größe.py", "src/größe.py", (), "medium"),
        (".github/workflows/ci.yml", ".github/workflows/ci.yml", (), "medium"),
        ("`.env.example`", ".env.example", (), "medium"),
        ("app/[id]/page.tsx", "app/[id]/page.tsx", ("app/page.tsx",), "medium"),
        ("nothing", "src/app/main.py", (), "low"),
    ],
)
def test_document_that_mentions_a_changed_source_is_stale(
    tmp_path: Path, mention: str, source: str, others: tuple[str, ...], risk: str
) -> None:
    project = make_repository(
        tmp_path / "repo", **{"docs/guide.md": f"# Guide\n\nLook: {mention} there.\n", source: "x"} | dict.fromkeys(others, "x")
    )  # fmt: skip
    found = Repositories().documents(state_of(project)).mentioning(source)
    assert risk_of(len(found)) == risk, found


def test_link_relative_to_the_document_is_a_mention(tmp_path: Path) -> None:
    project = make_repository(
        tmp_path / "repo",
        **{"docs/guide.md": "see ../src/main.py", "src/main.py": "", "lib/main.py": ""},
    )
    documents = Repositories().documents(state_of(project))
    assert documents.mentioning("src/main.py") == ["docs/guide.md"]
    assert documents.mentioning("lib/main.py") == []


def test_one_stale_document_is_a_medium_risk_without_a_warning(fleet: Fleet) -> None:
    project = documented_project(fleet, **{"README.md": "see app.py"})
    change(fleet, project, "app.py")
    assert last_risk(fleet) == "medium" and warnings(fleet) == []


def test_several_stale_documents_are_a_high_risk_with_one_warning(fleet: Fleet) -> None:
    project = documented_project(
        fleet, **{"README.md": "see app.py", "docs/a.rst": "app.py lib.py", "lib.py": "x"}
    )
    change(fleet, project, "app.py", "lib.py")
    assert last_risk(fleet) == "high"
    (warning,) = payloads(fleet)
    assert warning["docDrift"] == {
        "docPath": "docs/a.rst",  # it mentions more of what was touched
        "docs": ["docs/a.rst", "README.md"],
        "sources": ["app.py", "lib.py"],
        "risk": "high",
    }
    assert warning["line"] == "docs/a.rst, README.md" and warning["sessionId"] == "s1"
    levels = fleet.rows(
        "SELECT broadcast_level FROM outbox_events WHERE type = 'doc_drift_warning'"
    )
    assert levels == [("highlight",)]


def test_document_changed_in_the_same_turn_is_not_stale(fleet: Fleet) -> None:
    project = documented_project(fleet, **{"README.md": "see app.py", "docs/a.md": "app.py"})
    change(fleet, project, "app.py", "README.md")
    assert last_risk(fleet) == "medium" and warnings(fleet) == []


def test_document_and_source_are_reported_once_until_either_changes(fleet: Fleet) -> None:
    project = documented_project(fleet, **{"README.md": "see app.py", "docs/a.md": "app.py"})
    change(fleet, project, "app.py")
    first = warnings(fleet)
    assert first == [(["README.md", "docs/a.md"], ["app.py"])]
    start_session(fleet, project, "s2")
    stop(fleet, project, "s2", last_assistant_message="```briefing\nfiles_touched: app.py\n```")
    assert last_risk(fleet) == "high" and warnings(fleet) == first
    change(fleet, project, "docs/a.md")
    (project / "docs/a.md").write_text("app.py once more")
    git(project, "commit", "-qam", "by hand")
    start_session(fleet, project, "s3")
    stop(fleet, project, "s3", last_assistant_message="```briefing\nfiles_touched: app.py\n```")
    assert warnings(fleet)[1:] == [(["docs/a.md"], ["app.py"])]
    change(fleet, project, "app.py", session="s3")
    assert warnings(fleet)[2:] == first


def test_renamed_source_makes_its_documents_stale(fleet: Fleet) -> None:
    project = documented_project(fleet, **{"README.md": "run src/old.py", "src/old.py": "x" * 99})
    git(project, "mv", "src/old.py", "src/new.py")
    change(fleet, project, "other.py")
    assert set(files(fleet)[-1]) == {"src/old.py", "src/new.py", "other.py"}
    assert last_risk(fleet) == "medium"


def test_document_name_that_is_not_utf_8_loses_no_turn(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api", **{"README.md": "see app.py"})
    (project / os.fsdecode(b"caf\xe9.md")).write_text("see app.py")
    (project / os.fsdecode(b"na\xefve.py")).write_text("x")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "odd names")
    start_session(fleet, project)
    (project / os.fsdecode(b"na\xefve.py")).write_text("y")
    change(fleet, project, "app.py")
    assert last_risk(fleet) == "high" and len(warnings(fleet)[0][0]) == 2


def test_documents_that_are_not_regular_files_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("app.py")
    project = make_repository(tmp_path / "repo")
    (project / "link.md").symlink_to(secret)
    git(project, "add", "-A")
    git(project, "commit", "-qm", "link")
    (project / "fifo.md").write_text("x")
    git(project, "add", "-A")
    (project / "fifo.md").unlink()
    os.mkfifo(project / "fifo.md")
    assert Repositories().documents(state_of(project)).mentioning("app.py") == []


# --- which files are worth a warning ---


@pytest.mark.parametrize(
    ("source", "mention", "is_mentioned"),
    [
        ("Makefile", "run the Makefile", True),
        ("bin/install", "to install it, run the installer", False),
        ("bin/install", "run `bin/install`", True),
        ("src/app.py", "请看src/app.py文件", True),
        ("src/main.py", "설정은 main.py에 있다", True),
        ("src/计划.py", "见 src/计划.py", True),
        ("package.json", "like node_modules/x/package.json", False),
        ("package.json", "see ../package.json", True),
        ("setup.py", "https://example.com/o/r/blob/main/setup.py", True),
        ("src/a.py", "https://example.com/o/r/blob/main/src/a.py#L3", True),
        ("a.py", "```\nsrc\n├── a.py\n└── b.py\n```", True),
        ("docs/conf.py", "see conf.py here", True),
    ],
)
def test_mention_of_a_file_is_found_in_prose_of_any_script(
    tmp_path: Path, source: str, mention: str, is_mentioned: bool
) -> None:
    names = {"docs/guide.md": f"# Guide\n\n{mention}\n", source: "x"}
    if source in ("package.json", "docs/conf.py"):
        names[f"other/{Path(source).name}"] = "y"  # so that the base name alone says nothing
    project = make_repository(tmp_path / "repo", **names)
    found = Repositories().documents(state_of(project)).mentioning(source)
    assert found == (["docs/guide.md"] if is_mentioned else [])


def test_instructions_name_a_file_of_this_repository_by_its_path_alone(tmp_path: Path) -> None:
    skills = {
        ".claude/skills/a/SKILL.md": "Look into package.json and config.py.",
        ".claude/commands/b.md": "Look into `src/config.py`.",
        "prompts/c.md": "Look into ./config.py.",
    }
    project = make_repository(
        tmp_path / "repo", **skills, **{"src/config.py": "", "package.json": ""}
    )
    documents = Repositories().documents(state_of(project))
    assert documents.mentioning("src/config.py") == [".claude/commands/b.md"]
    assert documents.mentioning("package.json") == []


def test_mention_far_into_a_line_without_a_break_is_found(tmp_path: Path) -> None:
    text = "words " * 20_000 + "src/app/main.py " + "words " * 20_000 + "domain.py main.py"
    project = make_repository(
        tmp_path / "repo", **{"a.md": text, "src/app/main.py": "", "lib/main.py": ""}
    )
    documents = Repositories().documents(state_of(project))
    assert documents.mentioning("src/app/main.py") == ["a.md"]
    assert documents.mentioning("lib/main.py") == []


UNREMARKABLE = (
    *("uv.lock", "package-lock.json", "go.sum", ".gitignore", "src/__snapshots__/a.snap"),
    *("tests/test_app.py", "src/app.test.ts", "pkg/app_test.go", "src/test/java/AppTest.java"),
)


def test_tests_and_generated_files_make_no_document_stale_until_they_are_gone(
    tmp_path: Path,
) -> None:
    text = "\n".join(UNREMARKABLE)
    names = dict.fromkeys(UNREMARKABLE, "x") | {"README.md": text, "docs/a.md": text}
    project = make_repository(tmp_path / "repo", **names)
    stale = Repositories().documents(state_of(project)).stale
    assert stale(UNREMARKABLE, ()) == {}
    git(project, "mv", "tests/test_app.py", "tests/test_other.py")
    gone = ["tests/test_app.py"]
    assert stale(UNREMARKABLE, ()) == {"README.md": gone, "docs/a.md": gone}


def test_documents_are_ranked_by_path_and_by_number_of_sources(tmp_path: Path) -> None:
    texts = {
        "a.md": "one.py",
        "b.md": "src/one.py",
        "c.md": "src/one.py src/two.py",
        "d.md": "one.py two.py",
        "e.md": "nothing",
    }
    project = make_repository(tmp_path / "repo", **texts, **{"src/one.py": "", "src/two.py": ""})
    stale = Repositories().documents(state_of(project)).stale(("src/one.py", "src/two.py"), ())
    assert list(stale) == ["c.md", "b.md", "d.md", "a.md"]
    assert stale["c.md"] == ["src/one.py", "src/two.py"]


def test_turn_that_touched_only_documents_reads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(tmp_path / "repo", **{"README.md": "app.py"})
    documents = Repositories().documents(state_of(project))
    monkeypatch.setenv("PATH", str(tmp_path))  # git is not found, so nothing is listed or read
    assert documents.stale(("README.md", "docs/a.md", "uv.lock"), ("README.md",)) == {}


# --- records of the past ---

RECORDS = (
    *("docs/plans/2026-03-01-refund.md", "docs/adr/0007-use-sqlite.md", "CHANGELOG.md"),
    *("docs/ADR-012.md", "docs/RFC-0042-refunds.md", "docs/2026/03/standup.md"),
    *("notes/20260301.md", "specs/001-refund/spec.md", "docs/archive/old-guide.md"),
    *("docs/sessions/monday.md", "TODO.md", "docs/retro.md", "HISTORY.rst", "docs/done.md"),
    *("node_modules/x/README.md", "vendor/lib/README.md"),
)


def test_only_living_documents_of_a_repository_with_a_past_are_named(fleet: Fleet) -> None:
    living = ("README.md", "docs/01-introduction.md")
    project = documented_project(
        fleet,
        **dict.fromkeys((*RECORDS, *living), "It is all in `src/app.py`."),
        **{"src/app.py": ""},
    )
    change(fleet, project, "src/app.py")
    assert last_risk(fleet) == "high"
    assert warnings(fleet) == [(list(living), ["src/app.py"])]


def test_repository_with_only_records_has_no_risk(fleet: Fleet) -> None:
    project = documented_project(fleet, **dict.fromkeys(RECORDS, "app.py"))
    change(fleet, project, "app.py")
    assert last_risk(fleet) == "low" and warnings(fleet) == []


def test_at_most_five_documents_are_named_and_the_others_counted(fleet: Fleet) -> None:
    names = [f"docs/{number:02}.md" for number in range(76)]
    project = documented_project(fleet, **dict.fromkeys(names, "app.py"))
    change(fleet, project, "app.py")
    (warning,) = payloads(fleet)
    assert warning["docDrift"]["docs"] == names[:5] and warning["docDrift"]["moreDocs"] == 71
    line = "docs/00.md, docs/01.md, docs/02.md, docs/03.md, docs/04.md and 71 more"
    assert warning["line"] == line
    assert f"documents may be stale: {line} · " in fleet.console("prelude").stdout
    assert line.split(" and")[0] in fleet.console("events", "list").stdout
    change(fleet, project, "other.py")
    assert len(payloads(fleet)) == 1  # all of them were warned of, the named and the counted


@pytest.mark.parametrize(("days", "lives"), [(3, False), (29, False), (31, True), (400, True)])
def test_dated_document_counts_if_it_was_changed_a_month_after_it_was_added(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, days: int, lives: bool
) -> None:
    dated = "docs/2025-03-01 how to deploy.md"
    monkeypatch.setenv("GIT_AUTHOR_DATE", "1740800000 +0000")
    project = documented_project(fleet, **{"README.md": "app.py", dated: "app.py"})
    monkeypatch.setenv("GIT_AUTHOR_DATE", f"{1_740_800_000 + days * 86400} +0000")
    (project / dated).write_text("app.py, in other words")
    git(project, "commit", "-qam", "what has changed")
    monkeypatch.delenv("GIT_AUTHOR_DATE")
    start_session(fleet, project, "s2")
    change(fleet, project, "app.py", session="s2")
    assert last_risk(fleet) == ("high" if lives else "medium")
    assert [docs for docs, _ in warnings(fleet)] == ([["README.md", dated]] if lives else [])


def test_plan_that_is_still_changed_is_no_living_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = "docs/plans/2025-03-01-deploy.md"
    monkeypatch.setenv("GIT_AUTHOR_DATE", "1740800000 +0000")
    project = make_repository(tmp_path / "repo", **{plan: "app.py"})
    monkeypatch.delenv("GIT_AUTHOR_DATE")
    (project / plan).write_text("app.py!")
    git(project, "commit", "-qam", "the plan goes on")
    assert Repositories().documents(state_of(project)).mentioning("app.py") == []


def test_risk_that_the_worker_wrote_stays(fleet: Fleet) -> None:
    project = documented_project(fleet, **{"README.md": "app.py", "docs/a.md": "app.py"})
    block = "```briefing\nfiles_touched: [app.py]\ndoc_drift_risk: {}\n```"
    stop(fleet, project, last_assistant_message=block.format("low"))
    assert last_risk(fleet) == "low" and warnings(fleet) == []
    stop(fleet, project, last_assistant_message=block.format("high"))
    assert last_risk(fleet) == "high" and warnings(fleet) == [
        (["README.md", "docs/a.md"], ["app.py"])
    ]
