"""Markdown to a Briefing: YAML front matter, then sections for what it leaves out.

Tolerant by rule: a value that is not allowed is dropped with a warning and the rest is kept;
nothing that a model writes makes a briefing unreadable. Nothing is derived here: a field that was
not written is None.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleet_lib import clock
from fleet_lib.compiled import compiled
from fleet_lib.lazy import lazy
from fleet_lib.records import Record
from fleet_lib.turn.prose import plain
from fleet_lib.turn.sections import markdown, may_have_sections, sections

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

    from fleet_lib.levels import BroadcastLevel, DocDriftRisk, ImpactLevel, Status

RAW_LIMIT = 200_000  # characters kept of raw_markdown
ITEMS_LIMIT = 200
ITEM_LIMIT = 1_000  # characters
SUMMARY_LIMIT = 500
_WORD_LIMIT = 200  # characters of an id, a branch, a commit
_FRONT_MATTER_LIMIT = 100_000
_YAML_DEPTH = 20


class Briefing(Record):
    """What one turn's words say. None means that it was not written."""

    status: Status | None = None
    title: str | None = None
    summary: str | None = None
    task_id: str | None = None
    impact_level: ImpactLevel | None = None
    broadcast_level: BroadcastLevel | None = None
    doc_drift_risk: DocDriftRisk | None = None
    base_commit: str | None = None
    head_commit: str | None = None
    branch: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    blockers: tuple[str, ...] | None = None
    next_steps: tuple[str, ...] | None = None
    docs_touched: tuple[str, ...] | None = None
    files_touched: tuple[str, ...] | None = None
    raw_markdown: str = ""
    warnings: tuple[str, ...] = ()


_ENUMS: dict[str, tuple[str, ...]] = {
    "status": ("completed", "blocked", "failed", "waiting_for_input"),
    "impact_level": ("trivial", "minor", "moderate", "major"),
    "broadcast_level": ("silent", "mention", "highlight"),
    "doc_drift_risk": ("low", "medium", "high"),
}
LISTS = ("blockers", "next_steps", "docs_touched", "files_touched")
_PATH_LISTS = ("docs_touched", "files_touched")
_TIMES = ("started_at", "ended_at")
_TEXTS = ("title", "summary", "task_id", "base_commit", "head_commit", "branch")
_KNOWN = (*_ENUMS, *LISTS, *_TIMES, *_TEXTS)
# At the moment a turn ends these say nothing: the original system's workers wrote them in between.
_NOT_A_STATUS = ("working", "idle")
_NOTHING = lazy(
    r"(?i)(?:|~|-+|–|—|\[\]|\{\}|null|nil|n/?a|none(?: (?:yet|so far|currently|known|left|remaining"
    r"|needed|required|at (?:this|the) (?:time|moment)))?|none[ ]?[-–—.,;:(] ?(?!of\b).*"
    r"|nothing(?: (?:yet|left|to do|else|further|blocking|remaining|outstanding|open|pending))?"
    r"|no (?:(?:known|open|current|remaining|further|outstanding|more|immediate) )*"
    r"(?:blockers?|issues?|next steps?|steps"
    r"|actions?|work|items|tasks|follow[ -]?ups?)(?: (?:left|needed|required|remaining|remain))?"
    r"|keine?|ninguno|aucun|нет|无|なし|없음)[.!。]?"
)
# What a program writes into a summary before it has one: the original system's status files hold
# the first four.
_PLACEHOLDER = lazy(
    r"(?i)[\W_]*(?:session (?:is )?in progress|session (?:complete|completed|started|ended)"
    r"|ai analysis unavailable|to be filled\b[^.]{0,40}|no (?:notes|summary|briefing)(?: yet)?"
    r"|(?:work )?in progress|tbd|todo|wip|placeholder|fill (?:this )?in|summary(?: goes)? here"
    r")?[\W_]*"
)

_FENCE_HINT = lazy(r"(?im)^[ \t>*+\-\d.]*(?:`{3,}|~{3,})[ \t]*briefing\b")
_FRONT_MATTER = lazy(r"(?ms)\A\s*---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*$")
_KEY_LINE = lazy(r"^([A-Za-z][A-Za-z_ -]{0,40}?)[ \t]{0,4}:(?:[ \t](.*))?$")


def find_block(message: str) -> str | None:
    """The content of the last fenced block with the info string `briefing`, or None."""
    message = message.lstrip("\ufeff")
    if not _FENCE_HINT.search(message):
        return None
    blocks = [
        token.content
        for token in markdown.parse(message)
        if token.type == "fence" and token.info.split()[:1] and _is_briefing_info(token.info)
    ]
    return blocks[-1] if blocks else None


def parse(text: str, *, bare_front_matter: bool = True) -> Briefing:
    """The briefing that a block, a status file or a message holds. Never raises for any text.

    Front matter may lack its dashes in a text that is meant to be a briefing; in a message, a first
    line such as "Branch: main was merged" is prose.
    """
    warnings: list[str] = []
    front, body = split_front_matter(text.replace("\r\n", "\n"), bare_front_matter)
    values = _front_matter_values(front, warnings) if front is not None else {}
    fields: dict[str, Any] = {}
    for key, value in values.items():
        name = _field_name(key)
        if name in _KNOWN and (read := _read_field(name, value, warnings)) is not None:
            fields[name] = read
    if may_have_sections(body):
        fields = _sections(body) | fields
    return Briefing(**fields, raw_markdown=limited(text), warnings=tuple(warnings))


def limited(text: str) -> str:
    """The text as raw_markdown may hold it."""
    return text if len(text) <= RAW_LIMIT else text[:RAW_LIMIT] + "\n… (cut)"


def folded(text: str, limit: int) -> str:
    """The text as one line of at most `limit` characters. Unlike `text.one_line` it keeps escapes
    and invisible characters: the database has the words as they were written, and they are cleaned
    when they are shown."""
    line = " ".join(text[: limit * 8].split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def is_placeholder(text: str) -> bool:
    """Whether a text stands where a summary or a note is still to come, or says that there is
    none."""
    is_short = len(text) < 200
    text = text.strip(" \t*_`+-")
    return is_short and bool(_PLACEHOLDER.fullmatch(text) or _NOTHING.fullmatch(text))


def _is_briefing_info(info: str) -> bool:
    return info.split()[0].lower() == "briefing"


# --- front matter -----------------------------------------------------------------------------


def split_front_matter(text: str, bare: bool) -> tuple[str | None, str]:
    """(front matter, body). With `bare`, one that forgets its dashes but has a known key counts."""
    text = text.lstrip("\ufeff")
    if match := _FRONT_MATTER.match(text[:_FRONT_MATTER_LIMIT]):
        return match[1], text[match.end() :]
    start = compiled(r"\s*---[ \t]*\r?\n").match(text)
    rest = text[start.end() :] if start else text.lstrip()
    # Never closed: it ends at the first empty line or heading.
    end = compiled(r"(?m)^(?:[ \t]*$|#{1,6}[ \t])").search(rest)
    cut = end.start() if end else len(rest)
    keys = [_KEY_LINE.match(line.rstrip()) for line in rest[:cut][:_FRONT_MATTER_LIMIT].split("\n")]
    if (bare or start) and keys[0] and any(k and _field_name(k[1]) in _KNOWN for k in keys):
        return rest[:cut][:_FRONT_MATTER_LIMIT], rest[cut:]
    return None, text


def _front_matter_values(front: str, warnings: list[str]) -> dict[str, Any]:
    import yaml  # here, since few turns have front matter

    try:
        loaded = _load_yaml(front)
        if isinstance(loaded, dict):
            return loaded
        if loaded not in (None, ""):
            warnings.append("the front matter is not a mapping")
        return {}
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        warnings.append(f"the front matter is not valid YAML ({_reason(error)}): read key by key")
    values: dict[str, Any] = {}
    for key, first, chunk in _top_level_chunks(front):
        try:
            loaded = _load_yaml(chunk)
            values[key] = loaded[key] if isinstance(loaded, dict) and key in loaded else first
        except (ValueError, OverflowError, RecursionError):
            warnings.append(f"{key}: refused")
        except yaml.YAMLError:
            values[key] = first  # most often an unquoted colon in plain words
    return values


def _load_yaml(text: str) -> Any:
    """YAML whose scalars are all strings: an all-digit short SHA must not become a number.

    Raises yaml.YAMLError; ValueError for what is refused: aliases (a few hundred bytes of them
    expand without end) and deep nesting.
    """
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("YAML aliases are refused")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _YAML_DEPTH:
                raise ValueError("nested too deeply")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return yaml.load(text, Loader=loader)  # noqa: S506 (BaseLoader makes strings, lists and dicts only)


def _top_level_chunks(front: str) -> Iterator[tuple[str, str, str]]:
    """(key, rest of its line, all of its lines) of each top-level key."""
    key, first, lines = "", "", list[str]()
    for line in front.splitlines():
        match = _KEY_LINE.match(line)
        if match:
            if key:
                yield key, first, "\n".join(lines)
            key, first, lines = match[1], (match[2] or "").strip(), [line]
        else:
            lines.append(line)
    if key:
        yield key, first, "\n".join(lines)


def _field_name(key: object) -> str:
    """`nextSteps`, `next-steps` and `Next steps` are all next_steps."""
    snake = compiled(r"(?<=[a-z])(?=[A-Z])").sub("_", str(key))
    return compiled(r"[\s_-]+").sub("_", snake.strip()).lower()


def _read_field(name: str, value: Any, warnings: list[str]) -> Any:
    if name in LISTS:
        return _items(name, value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        warnings.append(f"{name}: not a text")
        return None
    value = value.strip()
    if _NOTHING.fullmatch(value) or (name in ("title", "summary") and is_placeholder(value)):
        return None
    if name in _ENUMS:
        word = compiled(r"[\s-]+").sub("_", value.lower())
        if word in _ENUMS[name]:
            return word
        if not (name == "status" and word in _NOT_A_STATUS):
            allowed = ", ".join(_ENUMS[name])
            warnings.append(f"{name}: {folded(value, 60)!r} is not one of {allowed}")
        return None
    if name in _TIMES:
        try:
            return clock.normal(value)
        except (ValueError, OverflowError):
            warnings.append(f"{name}: {folded(value, 60)!r} is not an ISO 8601 time")
            return None
    return folded(value, SUMMARY_LIMIT if name == "summary" else _WORD_LIMIT)


def _items(name: str, value: Any) -> tuple[str, ...] | None:
    """The items that say something; None where none does, as if the list was not written."""
    if isinstance(value, str):
        value = value.splitlines() if "\n" in value else [value]
        if name in _PATH_LISTS:
            value = [part for line in value for part in line.split(",")]
        value = [compiled(r"^\s*[-*+]\s+").sub("", line) for line in value]
    elif isinstance(value, dict):
        value = [value]
    texts = (_item_text(item) for item in list(value)[:ITEMS_LIMIT])
    items = (folded(text, ITEM_LIMIT) for text in texts)
    return tuple(item for item in items if not _NOTHING.fullmatch(item)) or None


def _item_text(item: Any) -> str:
    if isinstance(item, dict):  # `- waiting: for the credentials`
        return "; ".join(f"{key}: {_item_text(value)}" for key, value in item.items())
    if isinstance(item, list):
        return ", ".join(_item_text(part) for part in item)
    return str(item)


def _reason(error: Exception) -> str:
    problem = getattr(error, "problem", None) or str(error)
    mark = getattr(error, "problem_mark", None)
    return folded(f"{problem} in line {mark.line + 1}" if mark else str(problem), 120)


# --- sections ---------------------------------------------------------------------------------


def _sections(body: str) -> dict[str, Any]:
    """{field: value} of what the sections say; several sections of one field are one list."""
    summary, items = "", dict[str, list[str]]()
    for section in sections(body):
        if section.name == "summary":
            words = folded(plain(" ".join(section.items)), SUMMARY_LIMIT)
            summary = summary or ("" if is_placeholder(words) else words)
        else:
            items.setdefault(section.name, []).extend(section.items)
    found = {name: _section_items(name, texts) for name, texts in items.items()}
    return {name: value for name, value in {"summary": summary, **found}.items() if value}


def _section_items(name: str, items: list[str]) -> tuple[str, ...] | None:
    if name in _PATH_LISTS:
        return _items(name, [_path_in(item) for item in items])
    words = (compiled(r"^\[[ xX]\]\s+").sub("", plain(item).strip()) for item in items)
    # "**Remaining:** 7" is a count, and what is ticked off is no step.
    return _items(name, [w for w in words if any(map(str.isalpha, w)) and w[0] not in "✅☑✔"])


def _path_in(item: str) -> str:
    """The path that a list item is about: its first code span, else what stands before a dash."""
    item = " ".join(item[:4096].split())
    fence = item[: len(item) - len(item.lstrip("`"))]
    if fence and (end := item.find(fence, len(fence))) > 0:
        return item[len(fence) : end].strip()
    return compiled(r" [-–—(]|: ").split(plain(item), maxsplit=1)[0]
