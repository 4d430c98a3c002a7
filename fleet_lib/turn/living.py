"""Which documents of a repository describe it as it is now, by their paths alone.

A plan, a decision, a changelog or a dated note tells what was true when it was written. It is not
out of date because the code went on, so nothing warns of it. Pure functions over paths."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from fleet_lib.lazy import lazy
from fleet_lib.records import Record

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["living", "dated", "record"]

# `dated`: a record as far as its name says; git may know that it was changed long afterwards.
_DATED = lazy(
    r"""(?ix)
    (?<!\d)(?:19|20)\d\d ([-_.]?) (?:0[1-9]|1[0-2]) \1 (?:0[1-9]|[12]\d|3[01]) (?:\d{4}|\d{6})? (?!\d)
    | (?<!\d)(?:19|20)\d\d[-_.](?:0?[1-9]|1[0-2])(?![\d.])                # 2025-03
    | (?<!\d)\d\d([-_.])\d\d\2(?:19|20)\d\d(?!\d)                         # 01-03-2025
    | (?:^|/)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?=[-_])         # 250301-notes
    | (?:^|/)(?:19|20)\d\d(?=/)                                           # docs/2025/03/
    | (?<![a-z0-9])(?:19|20)\d\d(?![a-z0-9])                              # roadmap-2025
    | (?<![a-z0-9])(?:19|20)\d\d[-_]?(?:q[1-4]|w\d\d)(?![a-z0-9])
    | (?<![a-z0-9])q[1-4][-_]?(?:19|20)\d\d(?![a-z0-9])
    """
)
_VERSION = lazy(r"(?i)(?:v|version-)?\d+\.\d+(?:\.\d+)+(?:[-.].*)?")  # of a folder
_VERSION_NAME = lazy(r"(?i)(?:v|version-?|release-)?\d+\.\d+(?:\.[\dx]+)*")  # of a file

# A folder of these holds other people's code, or data that tests read.
_FOREIGN = lazy(
    r"node_modules|bower_components|vendor|vendors|vendored|third_?party|3rd_?party|pods"
    r"|site_packages|venv|dist|(?:test_?)?fixtures?|test_?data|cassettes"
)
# The part after one of these is the name of a thing, and says nothing about a document.
_NAMES_FOLLOW = lazy(
    r"src|source|lib|libs|pkg|pkgs|internal|cmd|app|apps|packages|crates|modules|plugins|services"
    r"|components|features|projects|tools|examples"
)
_DOCS = lazy(r"docs?|documentation|wiki|handbook|website|content")
# Instructions and manuals have the names of what they are about: `commands/plan.md`.
_INSTRUCTIONS = lazy(r"skills|commands|agents|subagents|rules|prompts|templates")
_MANUALS = lazy(
    r"workflows|hooks|cli|cli_reference|references?|guides?|concepts|tutorials?|how_?tos?|runbooks?"
    r"|handbook|standards|patterns"
)
_BESIDE_CODE = lazy(r"readme|claude|agents|gemini|contributing|skill")
_TUTORIALS = lazy(
    r"tutorials?|guides?|lessons?|courses?|chapters?|books?|learn|manual|handbook|workshops?"
    r"|exercises?|labs?"
)

_ASKED = lazy(r"(?i)(?:^|/)docs?/(?:.*/)?prompts/")  # what was asked of an agent once

# What a folder of records is called, and the last word of such a name: `implementation-plans`.
_RECORD_FOLDER = lazy(
    r"(?:\w+_)?(?:m?adrs?|decisions?|decision_(?:records?|log)|rfcs?|peps|keps|prds?|proposals?"
    r"|plans?|planning|specs?|openspec|archived?|archives|changelogs?|changelog_d|changes_d"
    r"|changesets?|newsfragments?|release_notes|retros?|retrospectives?|meetings?|meeting_notes"
    r"|minutes|post_?mortems?|incidents?|journals?|reports?|audits?|hand_?offs?|hand_?overs?"
    r"|brainstorms?|roadmaps?|stand_?ups?|reviews?|results|newsletters?)"
    r"|attic|old|obsolete|deprecated|superseded|outdated|historical|history|changes|news|releases"
    r"|whats_?new|blogs?|posts|done|complete|completed|finished|closed|shipped|sessions?"
    r"|session_(?:notes|logs?|summaries)|logs?|dev_?logs?|work_?logs?|diary|daily|weekly|backlogs?"
    r"|todos?|tickets|epics|sprints?|milestones|phases|investigations?|transcripts|research|ideas"
    r"|analys[ei]s|improvements|progress|evidence|enhancements|implemented|rejected|versioned_docs"
    r"|scratch|(?:phase|sprint|milestone|wave)_?\d+(?:_\w+)?"
)
_CHANGES = lazy(r"change_?logs?(?:_\w+)?|(?:\w+_)?(?:whats_?new|release_notes|patch_notes)")
_RECORD_NAME = lazy(
    # The whole name,
    r"changes|(?:(?:project|version|release|revision)_)?history|news|releases|progress|done|completed"
    r"|adr|rfc|research|newsletter|(?:project|implementation)_status"
    r"|(?:dev|work|decision|session|daily|progress|build|activity|project)_?logs?"
    r"|(?:release|meeting|session|stand_?up|sprint|retro|call|interview|review|progress)_notes?"
    # its end,
    r"|(?:\w+_)?(?:plans?|specs?|prd|roadmap|to_?dos?|retro|retrospective|post_?mortem|proposal"
    r"|decisions|minutes|journal|diary|hand_?off|hand_?over|investigation|findings)"
    r"|\w+_(?:reports?|summary|audit|checkpoint|completed|done|adr|rfc)"
    r"|(?!(?:auto|tab|shell|code|command|word)_)\w+_complete"
    # its beginning,
    r"|(?:adr|rfc|prd|retro|retrospective|post_?mortem|meeting|minutes|stand_?up|archived|to_?do)_\w+"
    # or any part of it.
    r"|(?:\w+_)?(?:backlog|work_queue"
    r"|(?:implementation|execution|migration|refactor(?:ing)?|roll_?out|test|project|release"
    r"|development|work)_plan"
    r"|(?:phase|sprint|milestone|iteration|session|wave|task|ticket|issue|bug)_?\d+)(?:_\w+)?"
)
# Names that are records where they are shouted: what an assistant leaves behind a piece of work.
_LEFT_BEHIND = lazy(
    r"STATUS|PLAN_\w+|\w+_(?:ANALYSIS|REVIEW|FIX|FIXES|IMPROVEMENTS|CHANGES|UPDATES?|RESULTS?"
    r"|RESOLUTION|ASSESSMENT|STATUS|PROGRESS|CLEANUP|IMPLEMENTED)"
)
_NUMBER = lazy(r"0\d\d|\d{3,}")
# Words after which a number belongs to the subject: `error-404.md`, `iso-8601.md`.
_NUMBERED_SUBJECT = lazy(
    r"errors?|http|https|iso|iec|ieee|en|din|port|code|status|sha|aes|utf|md|windows|server|studio"
    r"|office|rtx|gtx"
)
_CODE = lazy(
    r"(?i)\.(?:[cm]?[jt]sx?|py|pyi|go|rs|rb|java|kts?|scala|cs|fs|c|cc|cpp|h|hpp|m|mm|swift|php|pl|lua"
    r"|ex|exs|erl|hs|ml|clj|dart|zig|sh|bash|ps1|vue|svelte|sql|tf|nix)$"
)

_MARKS = lazy(r"[^A-Za-z0-9]+")
_DECISION = lazy(r"(?:adr|rfc)0?\d+(?:_|$)")
_HUMP = lazy(r"(?<=[a-z])(?=[A-Z])")
_NO_WORD = lazy(r"[\W_]+")


class _Says(Record):
    """What one folder's name, or a whole path, says about the documents in it."""

    is_foreign: bool
    is_of_records: bool
    is_instruction: bool
    is_manual: bool
    is_tutorial: bool
    is_numbered: bool


class _Part(_Says):
    """The name of one folder."""

    is_of_documents: bool
    is_before_a_name: bool  # the part after it is the name of a thing


class _Folder(_Says):
    """The path of a folder."""

    is_dated: bool


class _Name(Record):
    """What a document's own name says about it."""

    is_beside_code: bool  # if code is in its folder
    is_changelog: bool
    is_of_a_record: bool
    is_numbered: bool
    is_dated: bool


def kind_of(path: str, code_folders: Collection[str] = ()) -> Kind:
    """What a document is. `code_folders` are the folders that hold source code directly."""
    folder_path, _, file = path.rpartition("/")
    folder, name = _folder(folder_path), _name(file)
    if folder.is_foreign:
        return "record"
    if name.is_beside_code and folder_path in code_folders:
        return "living"  # about the code that it lies with, whatever the folder is called
    if folder.is_of_records or name.is_changelog:
        return "record"
    if name.is_of_a_record and not (folder.is_instruction or folder.is_manual):
        return "record"
    if folder.is_dated or name.is_dated:
        return "dated"
    is_numbered = folder.is_numbered or name.is_numbered
    return "record" if is_numbered and not folder.is_tutorial else "living"


def may_be_living(path: str) -> bool:
    """Whether it is, or would be if source code lay beside it. A dated one may be."""
    return kind_of(path, {path.rpartition("/")[0]}) != "record"


def is_instruction(path: str) -> bool:
    """Whether the document tells an agent what to do, perhaps in any repository."""
    return _folder(path.rpartition("/")[0]).is_instruction


def code_folders(files: Sequence[str]) -> set[str]:
    """The folders that hold source code directly."""
    return {file.rpartition("/")[0] for file in files if _CODE.search(file)}


# A repository has few folders for its documents, the same names in many of them, and the same parts
# in most paths.
@lru_cache(maxsize=20_000)
def _folder(path: str) -> _Folder:
    parts = [_part(name) for name in path.split("/")] if path else []
    return _Folder(
        is_foreign=any(part.is_foreign for part in parts),
        is_of_records=any(part.is_of_records for part in _speaking(parts))
        or bool(_ASKED.search(path + "/")),
        is_instruction=any(part.is_instruction for part in parts),
        is_manual=any(part.is_manual for part in parts[-1:]),
        is_tutorial=any(part.is_tutorial for part in parts),
        is_numbered=any(part.is_numbered for part in parts),
        is_dated=bool(_DATED.search(path + "/")),
    )


@lru_cache(maxsize=20_000)
def _part(folder: str) -> _Part:
    name = _words(folder)
    return _Part(
        is_foreign=bool(_FOREIGN.fullmatch(name) or _VERSION.fullmatch(folder)),
        is_of_records=bool(_RECORD_FOLDER.fullmatch(name)),
        is_instruction=bool(_INSTRUCTIONS.fullmatch(name)),
        is_manual=bool(_MANUALS.fullmatch(name)),
        is_tutorial=bool(_TUTORIALS.fullmatch(name)),
        is_numbered=_is_numbered(name),
        is_of_documents=bool(_DOCS.fullmatch(name)),
        is_before_a_name=bool(_NAMES_FOLLOW.fullmatch(name)),
    )


@lru_cache(maxsize=20_000)
def _name(file: str) -> _Name:
    stem = file.rpartition(".")[0] or file
    name = _words(stem)
    shouted = _MARKS.sub("_", stem)
    return _Name(
        is_beside_code=bool(_BESIDE_CODE.fullmatch(name)),
        is_changelog=bool(_CHANGES.fullmatch(name) or _VERSION_NAME.fullmatch(stem)),
        is_of_a_record=bool(_RECORD_NAME.fullmatch(name) or _LEFT_BEHIND.fullmatch(shouted)),
        is_numbered=_is_numbered(name),
        is_dated=bool(_DATED.search(stem)),
    )


def _speaking(parts: Sequence[_Part]) -> list[_Part]:
    """The folders whose names say what kind of document they hold."""
    found: list[_Part] = []
    is_name = is_in_docs = False
    for part in parts:
        if not is_name:
            found.append(part)
        is_in_docs = is_in_docs or part.is_of_documents
        is_name = (part.is_before_a_name and not is_in_docs) or part.is_instruction
    return found


def _is_numbered(name: str) -> bool:
    """Whether the name has a number as issues, decisions and requests for comments have."""
    words = name.split("_")
    return bool(_DECISION.match(name)) or any(
        _NUMBER.fullmatch(word) and not (number and _NUMBERED_SUBJECT.fullmatch(words[number - 1]))
        for number, word in enumerate(words)
    )


def _words(name: str) -> str:
    """The name's words in lower case, joined by `_`."""
    apart = _HUMP.sub("_", name)
    return _NO_WORD.sub("_", apart).strip("_").lower()
