"""One secret through every door by which text from outside comes in, and then a search for it in all
files that Fleet keeps."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from secret_samples import made_up
from support import Fleet, captured_payloads, git, make_repository, payload
from support_transcripts import Session

HOOKS = {
    "SessionStart": "session_start",
    "UserPromptSubmit": "user_prompt_submit",
    "PermissionRequest": "permission_request",
    "Notification": "notification",
    "Stop": "stop",
    "StopFailure": "stop_failure",
    "SessionEnd": "session_end",
}


# The client's own ids, which identify sessions and turns, stay as they are.
IDS = ("session_id", "agent_id", "prompt_id")
# What decides the way of the payload is changed alone, so that the others go theirs.
DECIDING = ("hook_event_name", "notification_type", "tool_name", "cwd", "transcript_path")


def secret_for(door: str) -> str:
    return "ghp_" + made_up("{A36}", door)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all strings in a payload."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))


def changed(value: dict[str, Any], path: tuple[Any, ...], secret: str) -> dict[str, Any]:
    copied = copy.deepcopy(value)
    holder: Any = copied
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] += f" {secret}"
    return copied


def kept(fleet: Fleet) -> bytes:
    """The database and the log."""
    files = [*fleet.home.glob("fleet.db*"), *fleet.home.glob("log/*")]
    return b"\n".join([file.read_bytes() for file in files if file.is_file()])


def test_no_secret_in_any_field_of_any_payload_is_kept(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api")
    doors: list[str] = []
    for name in captured_payloads(*HOOKS):
        given = payload(name) | {"cwd": str(repository)}
        hook, whole = HOOKS[given["hook_event_name"]], given
        for path in leaves(given):
            if path[0] in IDS:
                continue
            doors.append(f"{name} {path}")
            if path[0] in DECIDING:
                alone = changed(given, path, secret_for(doors[-1]))
                fleet.hook(hook, alone, project=repository)
            else:
                whole = changed(whole, path, secret_for(doors[-1]))
        fleet.hook(hook, whole, project=repository)
    fleet.drain()
    stored = kept(fleet)
    assert [door for door in doors if secret_for(door).encode() in stored] == []


def test_no_secret_in_a_transcript_or_in_the_names_of_a_repository_is_kept(fleet: Fleet) -> None:
    doors = ("prompt", "command", "file", "branch", "remote", "answer", "output", "title")
    secrets = {door: secret_for(door) for door in doors}
    remote = f"https://bot:{secrets['remote']}@git.example.org/o/api.git"
    repository = make_repository(fleet.folder / "api", remote)
    git(repository, "checkout", "-qb", f"topic/{secrets['branch']}")
    session = Session(fleet, repository, "s1").asks(f"/review {secrets['prompt']}")
    session.edits(f"src/{secrets['file']}.py").runs(f"echo {secrets['command']}")
    session.lines.raw(json.dumps({"type": "ai-title", "aiTitle": f"Set {secrets['title']}"}))
    session.lines.user([{"type": "tool_result", "tool_use_id": "t", "content": secrets["output"]}])
    session.runs("git add -A; git commit -qm second").stops(
        last_assistant_message=f"Is {secrets['answer']} right?"
    )
    stored = kept(fleet)
    assert [door for door, secret in secrets.items() if secret.encode() in stored] == []


def test_no_secret_in_a_status_file_is_kept(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api")
    given = payload("Stop") | {"cwd": str(repository), "transcript_path": ""}
    status = repository / ".claude" / f"status.v5.{given['session_id']}.md"
    status.parent.mkdir()
    doors = ("status", "task_id", "summary", "blockers", "next_steps", "made_up_name", "text")
    front = "".join(f"{door}: {secret_for(door)}\n" for door in doors[:-1])
    status.write_text(f"---\n{front}---\n\n## {secret_for('text')}\n")
    fleet.hook("stop", given, project=repository)
    fleet.drain()
    stored = kept(fleet)
    assert [door for door in doors if secret_for(door).encode() in stored] == []
