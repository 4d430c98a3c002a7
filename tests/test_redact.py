"""Secrets are masked before anything is stored, wherever they are in a turn, and nothing else is.

Every token here is assembled at run time, so that a secret scanner finds none in this repository.
"""

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from secret_samples import samples
from support import Fleet, cpu_seconds, git, is_fast, make_repository, payload
from support_transcripts import Session

from fleet_lib.redact import redact
from fleet_lib.secret_kinds import KINDS, Kind

LOWER, UPPER, DIGITS = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
ALNUM = LOWER + UPPER + DIGITS
HEX = DIGITS + "abcdef"
B64 = ALNUM + "+/"


# Hypothesis also tries texts of the program itself, such as YOURPASSWORD, which stands for a secret.
STANDS_FOR_ONE = re.compile(r"(?i)your|todo|example|placeholder|replace|redacted|dummy")


def chars(alphabet: str, length: int) -> st.SearchStrategy[str]:
    """So many characters of an alphabet, as a generator of secrets draws them."""
    texts = st.text(alphabet=alphabet, min_size=length, max_size=length)
    return texts.filter(lambda text: not STANDS_FOR_ONE.search(text))


def joined(*parts: "str | st.SearchStrategy[str]") -> st.SearchStrategy[str]:
    strategies = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*strategies).map("".join)


def mixed(length: int) -> st.SearchStrategy[str]:
    """Characters with both cases and a digit, as in real tokens."""
    return chars(ALNUM, length - 3).map(lambda text: "a7Z" + text)


# name -> (kind in the mask, the secret, the text around it with {} for the secret)
SECRETS: dict[str, tuple[str, st.SearchStrategy[str], str]] = {
    "AWS access key": ("aws", joined("AK", "IA", chars(UPPER + DIGITS, 16)), "{}"),
    "AWS temporary key": ("aws", joined("AS", "IA", chars(UPPER + DIGITS, 16)), "{}"),
    "AWS secret": ("aws", joined(mixed(20), chars(B64, 20)), "AWS_SECRET_ACCESS_KEY={} "),
    "AWS secret quoted": ("aws", joined(mixed(20), chars(B64, 20)), 'aws_secret_access_key = "{}"'),
    "Google API key": ("google", joined("AI", "za", chars(ALNUM + "_-", 34), "x"), "{}"),
    "Azure storage": ("azure", joined(chars(B64, 86), "=="), "Account" + "Key={};"),
    "DigitalOcean": ("digitalocean", joined("dop", "_v1_", chars(HEX, 64)), "{}"),
    "GitHub classic": ("github", joined("gh", "p_", chars(ALNUM, 36)), "{}"),
    "GitHub app": ("github", joined("gh", "s_", chars(ALNUM, 36)), "{}"),
    "GitHub OAuth": ("github", joined("gh", "o_", chars(ALNUM, 36)), "{}"),
    "GitHub refresh": ("github", joined("gh", "r_", chars(ALNUM, 76)), "{}"),
    "GitHub fine-grained": (
        "github",
        joined("github", "_pat_", chars(ALNUM, 22), "_", chars(ALNUM, 59)),
        "{}",
    ),
    "GitLab": ("gitlab", joined("gl", "pat-", chars(ALNUM + "_-", 19), "x"), "{}"),
    "GitLab deploy": ("gitlab", joined("gl", "dt-", chars(ALNUM, 20)), "{}"),
    "Slack bot": (
        "slack",
        joined("xo", "xb-", chars(DIGITS, 12), "-", chars(DIGITS, 12), "-", chars(ALNUM, 24)),
        "{}",
    ),
    "Slack app": ("slack", joined("xa", "pp-1-A", chars(UPPER + DIGITS, 10), "-", chars(HEX, 64)), "{}"),
    "Slack webhook": (
        "slack",
        joined(
            "https://hooks.sl", "ack.com/services/T", chars(UPPER + DIGITS, 9), "/B",
            chars(UPPER + DIGITS, 9), "/", chars(ALNUM, 24),
        ),
        "{}",
    ),
    "Discord bot": (
        "discord",
        joined("M", chars(ALNUM, 23), ".", chars(ALNUM, 6), ".", chars(ALNUM, 27)),
        "{}",
    ),
    "Telegram bot": ("telegram", joined(chars("123456789", 1), chars(DIGITS, 8), ":AA", chars(ALNUM + "_-", 32), "x"), "{}"),
    "Anthropic": ("anthropic", joined("sk-", "ant-api03-", chars(ALNUM + "_-", 92), "AA"), "{}"),
    "OpenAI project": ("openai", joined("sk-", "proj-", chars(ALNUM + "_-", 60), "x"), "{}"),
    "OpenAI old": ("openai", joined("sk-", chars(ALNUM, 20), "T3Blbk", "FJ", chars(ALNUM, 20)), "{}"),
    "Stripe": ("stripe", joined("sk", "_live_", chars(ALNUM, 24)), "{}"),
    "npm": ("npm", joined("np", "m_", chars(ALNUM, 36)), "{}"),
    "PyPI": ("pypi", joined("py", "pi-AgEI", "cHlwaS5vcmc", chars(ALNUM + "_-", 80), "x"), "{}"),
    "SendGrid": ("sendgrid", joined("SG", ".", chars(ALNUM, 22), ".", chars(ALNUM, 43)), "{}"),
    "Twilio": ("twilio", joined("S", "K", chars(HEX, 32)), "{}"),
    "Hugging Face": ("hugging", joined("hf", "_", chars(ALNUM, 34)), "{}"),
    "Vault": ("vault", joined("hv", "s.", chars(ALNUM, 24)), "{}"),
    "JSON web token": ("json-web", joined("ey", "J", mixed(20), ".ey", "J", mixed(30), ".", mixed(43)), "{}"),
    "bearer": ("bearer", mixed(40), "Authorization: Bearer {}"),
    "database URL": ("password", mixed(16), "postgres://app:{}@db.example.org:5432/app"),
    "URL without user": ("password", mixed(16), "redis://:{}@cache:6379/0"),
    "URL with odd password": ("password", joined("p@", mixed(8), "#?:"), "amqp://u:{}@mq/vhost"),
    "basic auth": ("password", mixed(12), "https://dev:{}@git.example.org/o/r.git"),
}  # fmt: skip

PROSE = [
    "",
    "Fixed the login bug in src/app/login.py (see #123).",
    "The worker is blocked: no credentials for staging yet; asked the team.",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b on main, was 9c1185a",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "session df866e89-d7cd-49d6-9846-d8df06c54c4e, prompt 6ab1e415-13db-4baa-b769-ebec7d760f62",
    "a-very-long-kebab-case-branch-name-for-the-feature-of-the-year-2026-and-one-more",
    "risk-assessment-of-the-task-queue-and-the-disk-cache-with-a-mask-token-store",
    "SOME_VERY_LONG_ENVIRONMENT_VARIABLE_NAME_WITHOUT_ANY_SECRET_IN_IT_AT_ALL=1",
    "http://localhost:3000/health and https://example.org:8443/a/b?c=d#e",
    "http://[::1]:8080/x, ws://127.0.0.1:9000/ws, https://example.org/@scope/package@1.2.3",
    "https://user@example.org/o/r.git, git@github.com:o/r.git, ssh://git@host:22/x",
    "mail dev@example.org or https://example.org: ask there, ops@example.org too",
    "/home/dev/.claude/projects/-home-dev-code-api-svc/df866e89-d7cd-49d6-9846-d8df06c54c4e.jsonl",
    "def key(self): return self.tokens['secret'] or os.environ['AWS_SECRET_ACCESS_KEY']",
    "aws s3 cp, the AWS key rotation and AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY",
    "-----BEGIN CERTIFICATE-----\nMIIBhTCCASugAwIBAgIQIRi6zePL6mKjOipn+dNuaTAKBggqhkjOPQQDAjAS\n-----END CERTIFICATE-----",
    "a private method, <b>private</b>, the <privateer> and </private>",
    "Bearer of bad news; the bearer token is read from the environment",
    "eyJust kidding; sk-1, sk_test, npm_config_registry, hf_hub, glpat- and xoxo-hugs",
    "Größe, 日本語, 🎉, ελληνικά",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "12:34:56 2026-11-23T06:55:16.123Z 10.0.0.1:5432 1.2.3-rc.4+build.5",
]  # fmt: skip


@pytest.mark.parametrize("text", PROSE)
def test_text_without_secrets_is_unchanged(text: str) -> None:
    assert redact(text) == text


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_masking_is_idempotent_and_leaves_ordinary_text_unchanged(text: str) -> None:
    assert redact(redact(text)) == redact(text)
    if "://" not in text and "<" not in text:
        assert redact(text) == text


@pytest.mark.parametrize("name", SECRETS)
def test_every_kind_is_masked_in_any_text_and_the_mask_names_it(name: str) -> None:
    kind, strategy, surroundings = SECRETS[name]

    @given(
        secret=strategy,
        before=st.one_of(st.sampled_from(PROSE), st.text(max_size=30)),
        after=st.one_of(st.sampled_from(PROSE), st.text(max_size=30)),
        edges=st.sampled_from(["  ", "\n\n", "``", '""', "()", "''", "= ", ": "]),
    )
    @settings(max_examples=15, deadline=None)
    def check(secret: str, before: str, after: str, edges: str) -> None:
        text = f"{before} {edges[0]}{surroundings.format(secret)}{edges[1]} {after}"
        masked = redact(text)
        assert secret not in masked
        if "<private" not in before.lower():
            assert f"(redacted:{kind}" in masked or re.search(
                rf"\(redacted:[\w-]*{kind}", masked
            ), masked
        assert redact(masked) == masked

    check()


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("around", ["{}", '{{"k": "{}"}}', "<{}>", "- {}.", "k={};", "|{}|"])
def test_every_kind_is_masked_whatever_is_next_to_it(name: str, around: str) -> None:
    secret = example(name)
    assert secret not in redact(around.format(SECRETS[name][2].format(secret)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name} {kind.source[:20]}")
def test_every_pattern_of_the_table_masks_and_has_matching_hints(kind: Kind) -> None:
    """Every match of the pattern contains one of its hints. With wrong hints a pattern would never
    be tried, and nothing would show it."""

    def assert_tried(text: str, found: re.Match[str]) -> None:
        if kind.begins_with_hint:
            assert any(found[0].lower().startswith(hint) for hint in kind.hints)
        elif kind.hints:
            assert any(hint in text.lower() for hint in kind.hints)
        else:  # tried on long words alone
            assert len(found[0]) >= 22 and re.search("[0-9]", found[0])

    @given(st.from_regex(re.compile(kind.source, re.ASCII), fullmatch=True))
    @settings(
        max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    def check(text: str) -> None:
        # An underscore beside a mark is markup; no vendor's token has one there.
        assume(not re.search(r"_[^A-Za-z0-9_]|[^A-Za-z0-9_]_", text))
        found = kind.pattern.search(text)
        assume(found)
        assert found is not None
        is_secret = kind.is_secret is None or kind.is_secret(found)
        if kind.hints or is_secret:
            assert_tried(text, found)
        assume(is_secret)
        secret = found["secret"] if "secret" in kind.pattern.groupindex else found[0]
        assume(len(secret) >= 8)
        masked = redact(f"{text} in a text")
        assert "(redacted:" in masked
        assert secret not in masked or text.count(secret) > 1

    try:
        check()
    except Unsatisfiable:  # too much chance in it for a generator: samples stand for it
        matches = [(one, kind.pattern.search(one)) for one in samples().values()]
        known = [(one, found) for one, found in matches if found]
        assert known
        for one, found in known:
            assert_tried(one, found)


def test_output_of_the_aws_command_line_is_masked() -> None:
    secret, session = example("AWS secret"), example("AWS secret") * 8 + "=="
    printed = json.dumps({"SecretAccessKey": secret, "SessionToken": session}, indent=4)
    assert secret not in redact(printed)
    exported = f"export AWS_SESSION_TOKEN={session}"
    assert session not in redact(exported)


@cache
def example(name: str) -> str:
    """One secret of this kind, the same on every run."""
    found: list[str] = []

    @given(SECRETS[name][1])
    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    def collect(value: str) -> None:
        found.append(value)

    collect()
    return max(found, key=lambda value: len(set(value)))


# --- key blocks and private text --------------------------------------------------------------

KEY_KINDS = ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "]


def key_block(kind: str = "RSA ", body: str = "MIIEowIBAAKCAQEAsecretsecret", closed: bool = True) -> str:  # fmt: skip
    begin, end = "-----BEG" + "IN", "-----E" + "ND"
    return f"{begin} {kind}PRIVATE KEY-----\n{body}\n" + (
        f"{end} {kind}PRIVATE KEY-----" if closed else ""
    )


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_key_block_is_masked_whole(kind: str) -> None:
    assert redact(f"before\n{key_block(kind)}\nafter") == "before\n(redacted:private-key)\nafter"
    as_json = json.dumps({"private_key": key_block(kind)})
    assert "secretsecret" not in redact(as_json)


def test_pgp_key_block_is_masked_whole() -> None:
    block = key_block("PGP ").replace("PRIVATE KEY", "PRIVATE KEY BLOCK")
    assert redact(f"a {block} b") == "a (redacted:private-key) b"


def test_text_between_key_blocks_stays() -> None:
    assert redact(f"a {key_block()} b {key_block('EC ')} c").count("(redacted:private-key)") == 2
    assert " b " in redact(f"a {key_block()} b {key_block('EC ')} c")


def test_unclosed_key_block_is_masked_to_the_end() -> None:
    masked = redact(f"before {key_block(closed=False)} and more secretsecret\n\n## Next steps\n- x")
    assert masked == "before (redacted:private-key)"


@pytest.mark.parametrize("tag", ["<private>", "<PRIVATE>", "<Private >", '<private why="x">', "<private\n>"])  # fmt: skip
def test_private_text_is_removed(tag: str) -> None:
    assert redact(f"a {tag}my\nsecret</private> b") == "a (redacted:private) b"
    assert redact(f"a {tag}my secret</PRIVATE > b") == "a (redacted:private) b"
    assert redact(f"a {tag}my secret and ## all\n\nthe rest") == "a (redacted:private)"


def test_text_between_private_texts_stays() -> None:
    assert redact("a <private>x</private> b <private>y") == "a (redacted:private) b (redacted:private)"  # fmt: skip


def test_unclosed_private_tag_hides_the_rest_of_the_text() -> None:
    assert "secret" not in redact("a <private my secret")


def test_short_private_text_is_removed() -> None:
    assert redact("<private>x") == "(redacted:private)"


# --- speed ------------------------------------------------------------------------------------

MEGABYTE = 1_000_000
SLOW = {
    "slashes": "/",
    "colons": ":",
    "mails": "a@",
    "key beginnings": "-----BEG" + "IN ",
    "whole key beginnings": "-----BEG" + "IN PRIVATE KEY----- ",
    "web tokens": "eyJ.",
    "web tokens, joined": "eyJ-",
    "web tokens, long": "eyJaaaaaaaa",
    "schemes": "://",
    "users": "://a:",
    "private tags": "<private ",
    "private tags, whole": "<private>",
    "aws": "aws ",
    "aws keys": "aws key ",
    "model keys": "sk-a",
    "model keys, joined": "xsk-",
    "slack": "xox-",
    "sendgrid": "SG.",
    "gitlab": "glagent-",
    "words": "a",
    "digits": "1",
    "spaces": " ",
    "bearer": "bearer ",
    "pypi": "pypi-",
}


@pytest.mark.parametrize("name", SLOW)
def test_no_text_makes_masking_slow(name: str) -> None:
    """Four times the text may take four times the time, but not sixteen times."""

    def seconds(length: int) -> float:
        text = prefix + SLOW[name] * (length // len(SLOW[name]))
        return cpu_seconds(lambda: redact(text))

    for prefix in ("", "sk- eyJ.x AKIA https://a:b@c aws_key "):
        redact(prefix)
        assert is_fast(lambda: seconds(40_000) < 6 * seconds(10_000) + 0.05), prefix


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_megabyte_of_any_text_is_masked_within_seconds(name: str) -> None:
    def seconds(length: int) -> float:
        text = SLOW[name] * (length // len(SLOW[name]))
        return cpu_seconds(lambda: redact(text))

    def is_within_limits() -> bool:
        small, large = seconds(MEGABYTE // 4), seconds(MEGABYTE)
        # The second is half of it on a machine that does nothing else.
        return large < 3 and large < 6 * small + 0.15

    assert is_fast(is_within_limits)


# --- end to end -------------------------------------------------------------------------------

NAMES = [name for name in SECRETS if SECRETS[name][2] == "{}" and name != "Slack webhook"]


def tokens(count: int, seed: int) -> list[str]:
    chosen = random.Random(seed).sample(NAMES, count)
    return [example(name) for name in chosen]


def everything_stored(fleet: Fleet) -> bytes:
    stored = b"".join(path.read_bytes() for path in fleet.home.glob("fleet.db*"))
    for text in ("briefings", "outbox_events"):
        assert text.encode() in stored
    return stored + fleet.log().encode()


def leaked(fleet: Fleet, secrets: list[str]) -> list[str]:
    stored = everything_stored(fleet)
    return [secret for secret in secrets if secret.encode() in stored]


def stop(fleet: Fleet, project: Path, event: str = "Stop", **more: Any) -> dict[str, Any]:
    call = payload("Stop") | {"cwd": str(project), "transcript_path": ""} | more
    hook = {"Stop": "stop", "StopFailure": "stop_failure", "Notification": "notification"}[event]
    fleet.hook(hook, call, project=project)
    fleet.drain()
    return call


def escaped(token: str) -> str:
    """The token as an escaped YAML scalar, in which no pattern recognizes it."""
    return '"' + "".join(f"\\x{ord(char):02x}" for char in token) + '"'


def test_no_secret_in_a_message_is_stored(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api")
    secrets = [example(name) for name in SECRETS]
    lines = [SECRETS[name][2].format(secret) for name, secret in zip(SECRETS, secrets, strict=True)]
    block = "\n".join(f'  - "see {line.replace(chr(34), chr(39))}"' for line in lines)
    message = f"```briefing\n---\nstatus: blocked\nblockers:\n{block}\n---\n\n## Next steps\n\n" + "".join(f"- {line}\n" for line in lines) + "```\n"  # fmt: skip
    stop(fleet, repository, last_assistant_message=message, session_id="s1")
    stop(fleet, repository, last_assistant_message="\n".join(lines), session_id="s2")
    assert fleet.quarantine() == {}
    assert fleet.rows("SELECT count(*) FROM briefings") == [(2,)]
    assert leaked(fleet, secrets) == []
    ((stored,),) = fleet.rows("SELECT blockers_json FROM briefings WHERE session_id = 's1'")
    assert len(json.loads(stored)) == len(lines)


def test_no_private_text_or_key_in_a_message_is_stored(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api")
    texts = ["plan <private>acquire initech</private> done", "key:\n" + key_block(body="MIIinitech")]  # fmt: skip
    for number, text in enumerate(texts):
        stop(fleet, repository, last_assistant_message=text, session_id=f"s{number}")
    assert leaked(fleet, ["acquire initech", "MIIinitech"]) == []


def test_no_secret_in_a_status_file_is_stored(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api")
    secrets = tokens(6, 1)
    text = (
        f"---\nstatus: blocked\nsummary: needs {secrets[0]}\ntask_id: {secrets[1]}\n"
        f"branch: x/{secrets[2]}\nbase_commit: {secrets[3]}\n{secrets[4]}: x\n---\n\n"
        f"## Blockers\n\n- <private>initech</private>\n- {secrets[5]}\n"
    )
    (repository / ".claude").mkdir()
    (repository / ".claude" / "status.v5.s1.md").write_text(text)
    stop(fleet, repository, session_id="s1")
    assert fleet.rows("SELECT source FROM turns") == [("status_file",)]
    assert leaked(fleet, [*secrets, "initech"]) == []


FIELDS = (
    *("status", "summary", "task_id", "impact_level", "broadcast_level", "doc_drift_risk"),
    *("base_commit", "head_commit", "branch", "started_at", "ended_at"),
)


def test_no_secret_that_yaml_escapes_is_stored(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api")
    secrets = {name: "gh" + "p_" + f"{number:02d}aB" * 9 for number, name in enumerate(FIELDS)}
    lists = {
        name: "gh" + "s_" + f"{number:02d}xY" * 9
        for number, name in enumerate(("blockers", "next_steps", "docs_touched", "files_touched"))
    }
    front = "".join(f"{name}: {escaped(secret)}\n" for name, secret in secrets.items())
    front += "".join(f"{name}: [{escaped(secret)}]\n" for name, secret in lists.items())
    message = f"```briefing\n---\n{front}---\n```\n"
    stop(fleet, repository, last_assistant_message=message)
    assert fleet.quarantine() == {}
    ((warnings,),) = fleet.rows("SELECT warnings_json FROM turns")
    assert len(json.loads(warnings)) >= 4
    found = leaked(fleet, [*secrets.values(), *lists.values()])
    assert [name for name, s in (secrets | lists).items() if s in found] == []


def test_no_secret_in_names_of_files_and_branches_is_stored(fleet: Fleet) -> None:
    secrets = tokens(6, 2)
    secrets = [re.sub(r"[^\w.-]", "-", secret).rstrip(".") for secret in secrets]
    repository = make_repository(
        fleet.folder / "api",
        f"https://bot:{secrets[0]}@git.example.org/o/api.git",
        **{
            f"docs/{secrets[1]}.md": "see app.py",
            f"docs/b-{secrets[2]}.md": "see app.py",
            f"{secrets[3]}.py": "x",
        },
    )
    git(repository, "checkout", "-qb", f"topic/{secrets[4]}")
    session = Session(fleet, repository, "s1").asks()
    for name in ("app.py", f"{secrets[3]}.py", f"{secrets[5]}/SKILL.md"):
        session.edits(name)
    session.runs("git add -A; git commit -qm second").stops()
    kinds = [kind for kind, _ in fleet.events()]
    assert "doc_drift_warning" in kinds and "skill_updated" in kinds
    assert leaked(fleet, secrets) == []


def test_no_secret_in_other_events_is_stored(fleet: Fleet) -> None:
    repository = make_repository(fleet.folder / "api")
    secrets = tokens(5, 3)
    notification = payload("Notification-permission_prompt") | {"message": f"run curl {secrets[0]}?"}  # fmt: skip
    fleet.hook("notification", notification, project=repository)
    failure = payload("StopFailure-unknown") | {
        "error": secrets[1],
        "last_assistant_message": f"API Error: 401 {secrets[2]}",
        "transcript_path": "",
    }
    fleet.hook("stop_failure", failure, project=repository)
    start = payload("SessionStart-startup") | {"source": secrets[3], "session_id": "new"}
    fleet.hook("session_start", start, project=repository)
    fleet.drain()
    assert fleet.quarantine() == {}
    assert {"error", "session_blocked", "session_started"} <= {kind for kind, _ in fleet.events()}
    assert leaked(fleet, secrets) == []


def test_no_secret_in_a_quarantined_entry_is_stored(fleet: Fleet) -> None:
    secrets = tokens(4, 4)
    repository = make_repository(fleet.folder / "api")
    stop(fleet, repository)
    for broken in (
        secrets[0].encode(),
        json.dumps([secrets[1]]).encode(),
        json.dumps({"session_id": {secrets[2]: secrets[2]}, secrets[2]: 1}).encode(),
    ):
        fleet.hook("stop", broken, project=repository)
    damaged = fleet.home / "spool" / "new" / "09999999999999999999.Stop.s.1-1"
    damaged.write_text(f"fleet-spool 1\nevent Stop\nreceived {secrets[3]}\nproject x\ncwd x\npayload 0\n\n")  # fmt: skip
    fleet.drain()
    assert len(fleet.quarantine()) == 4
    assert leaked(fleet, secrets) == []


NAMED_SECRET = chars(ALNUM, 12).map(lambda text: "x7" + text)


@pytest.mark.parametrize(
    "written",
    [
        "DB_PASSWORD={}",
        "password: {}",
        '{{"password": "{}"}}',
        "API_KEY={}",
        'client_secret = "{}"',
        "https://example.org/?access_token={}&page=1",
        "X-Api-Key: {}",
        "mysql --password={} shop",
        "CLOUDFLARE_API_TOKEN={}",
    ],
)
@given(secret=NAMED_SECRET)
@settings(max_examples=20, deadline=None)
def test_value_with_a_secrets_name_is_masked(written: str, secret: str) -> None:
    masked = redact(f"I set {written.format(secret)} in the file.")
    assert secret not in masked and masked.endswith(" in the file.")
    assert redact(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "the token: a refresh token",
        "token = request.headers['x-token-1']",
        "password: ${DB_PASSWORD_1}",
        "secret: ~/keys/key1.pem",
        "max_tokens=100000 and token_count: 12345678",
        "the password = None until step 2",
        "sk-scikit-learn-contrib-package-name-is-long",
    ],
)
def test_value_that_is_not_a_secret_stays_whatever_its_name(text: str) -> None:
    assert redact(text) == text


def test_nested_private_text_is_hidden_to_the_outer_end() -> None:
    assert redact("a <private>b <private>c</private> d</private> e") == "a (redacted:private) e"
    assert redact("a <private>b <private>c</private> d") == "a (redacted:private)"
