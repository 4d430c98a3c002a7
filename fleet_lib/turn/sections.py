"""The sections of a markdown text that name a field of a briefing: below a heading, or behind a
bold lead such as `**Next steps:**`. What stands in them is text here; briefing_parser.py makes
values of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fleet_lib.compiled import compiled
from fleet_lib.lazy import lazy
from fleet_lib.records import MutableRecord, field
from fleet_lib.turn.blocks import BlockParser
from fleet_lib.turn.prose import plain

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.turn.blocks import Block as Token

_BEFORE = (
    r"(?:(?:the|your|my|our|any|recommended|suggested|possible|proposed|immediate|optional"
    r"|potential|further|future|other|logical|natural|key|concrete|remaining|outstanding|open"
    r"|current|known|main|only|new|up) )*"
)
_AFTER = r"(?: (?:for|from|if|after|before|on|in|to|with|at|of|when|you)\b.*)?"
_WORK = (
    r"(?:(?: [\w-]+){0,2}"
    r" (?:work|tasks?|items?|steps?|issues?|to ?dos?|actions?|points?|decisions?))"
)
_STEPS = (
    rf"{_BEFORE}(?:next(?: (?:steps?|up|actions?|tasks?))?|action items|to ?dos?(?: list)?"
    r"|follow ?ups?(?: (?:work|tasks?|items?|actions?|needed|required))?"
    rf"|(?:remaining|outstanding|pending|deferred|open){_WORK}){_AFTER}"
    r"|(?:still )?(?:remaining|outstanding|pending|deferred)"
    rf"|what(?:'s| is) (?:left|next|remaining|still open){_AFTER}|what (?:still )?remains"
    r"|(?:still )?(?:left|open) to do|still (?:to do|open|left|needed|missing)|left for later"
    r"|to be done|unfinished(?: work)?|for (?:next time|later|tomorrow|the next session)"
    r"|not (?:yet )?done(?: yet)?"
    r"|what (?:to do|comes)(?: from here)? next|what (?:you|i|we)(?:'ll| still)? (?:need|have) to do"
    r"(?: next)?|what still (?:needs|has to|must)\b.*"
    rf"|(?:\w+ (?:more )?things?(?: still)?(?: left| to do| open)|loose ends(?: left)?){_AFTER}"
    r"|follow ?ups? (?:now |still )?(?:queued|deferred|pending|open|not done)\b.*"
    r"|nächste schritte|noch offen|noch zu tun|was noch fehlt|offene (?:punkte|aufgaben)"
    r"|próximos pa(?:sos|ssos)|(?:lo )?(?:que )?(?:queda )?pendientes?(?: \w+){0,2}|lo que falta"
    r"|decisiones pendientes|pendências|o que falta|prochaines étapes|(?:ce qui )?reste à faire"
    r"|prossimi passi|cosa resta|следующие шаги|дальнейшие шаги|что дальше|что осталось"
    r"|下一步(?:计划|行动|操作)?|接下来(?:的步骤)?|待办(?:事项)?|后续(?:步骤|工作)"
    r"|(?:剩余|未完成)的?(?:工作|任务|事项)|次のステップ|今後の(?:作業|タスク|予定)"
    r"|残りの?(?:作業|タスク)|다음 단계|남은 (?:작업|할 일)|향후 작업"
)
_BLOCKERS = (
    rf"{_BEFORE}(?:blockers?|blocking(?: (?:issues?|questions?|items?))?){_AFTER}"
    r"|(?:still |currently )?blocked(?: (?:on|by))?|waiting on"
    r"|what(?:'s| is) blocking(?: (?:me|us|this|it))?"
    r"|blockiert(?: durch)?|bloqueos|bloqueadores|bloqué par|阻塞(?:项|问题)?|ブロッカー|블로커"
)
_NAMES = {
    "summary": lazy(r"summary"),
    "blockers": lazy(_BLOCKERS),
    "next_steps": lazy(_STEPS),
    "docs_touched": lazy(r"docs touched"),
    "files_touched": lazy(r"files touched"),
}
# A line that may be such a heading or lead: most texts have none, and parsing markdown is slow.
_WORDS = (
    r"(?:next|remain|what.{0,4}s|block|follow.?up|to.?dos?\b|still|left|open|outstanding|pending"
    r"|deferred|waiting on|action items|summary|(?:docs|files).touched|not (?:yet )?done"
    r"|be done|to do|unfinished|loose ends|later|tomorrow|schritte|offen|zu tun|fehlt|próximos"
    r"|pendiente|pendência|falta|prochaines|à faire|prossimi|resta|шаги|дальше|осталось|bloque"
    r"|bloqué|下一步|接下来|待办|后续|剩余|未完成|阻塞|次の|今後|残り|ブロッカ|다음|남은|향후|블로커)"
)
_HINT = lazy(
    rf"(?im)^(?:[ \t>]{{0,8}}(?:[-*+] )?#[^\n]{{0,60}}?{_WORDS}"
    rf"|[^\n]{{0,16}}?(?:\*\*|__)[^\n]{{0,40}}?{_WORDS}"
    r"|(?=[^\n]{1,90}(?:[:：](?:[ \t*_]|</\w{1,6}>){0,4}$|\n[ >]{0,6}(?:==|--)))"
    rf"[^\n]{{0,50}}?{_WORDS})"
)
_NAME_LIMIT = 80  # characters of a heading or lead that can be a field's name
_NUMBER = lazy(
    r"^(?:(?:step|part|phase) )?(?:\d{1,3}(?:\.\d{1,3})*(?:[.):]\s*|\W*\s+|[\ufe0f\u20e3]+\s*)"
    r"|(?:[a-z]|[ivx]{1,4})(?:[.)]\s*|\s+[-–—]))"
)
_SHORTCODE = lazy(r":[a-z0-9_+-]{2,30}:")
_LEAD = lazy(
    r"^[^\w*`]{0,12}(?:\d{1,2}[.)]\s*)?(\*{2,3}|__)(?P<name>(?:(?!\1)[^\n]){1,80})\1"
    r"(?P<mark>[ \t]*[:：]|[ \t]+[-–—](?=[ \t]))?[ \t]*(?P<rest>.*)$"
)
_ASIDE = lazy(r"\([^()]{1,80}\)[ \t]*([:：]?)[ \t]*(.*)$")
_TABLE_RULE = lazy(r"[ \t]*\|?[ \t:|-]*-[ \t:|-]*$")
_SENTENCE_END = lazy(r"[.!?。！？؟…][^\w`]*$")
_ITEMS = ("item", "row")


class Section(MutableRecord):
    """A field's section. `items` are raw markdown, one for each item of a list or line of text."""

    name: str
    level: int  # of its heading, _LEAD_LEVEL for a lead
    items: list[str] = field(default_factory=list)
    has_list: bool = False
    paragraph: int = -1  # of the text that a lead took: it takes one paragraph, or one list


class _Part(MutableRecord):
    """A heading, a rule, a line of text, an item of a list with all that is nested in it, or a row
    of a table."""

    kind: str  # heading|rule|text|item|row
    text: str = ""
    level: int = 0  # of a heading
    paragraph: int = 0
    nested: list[str] = field(default_factory=list)  # the items of the lists in an item

    @property
    def whole(self) -> str:
        return " ".join([self.text, *self.nested])


_LEAD_LEVEL = 7  # below any heading


# Blocks are all that is needed here.
markdown = BlockParser()


def may_have_sections(text: str) -> bool:
    """False for a text that certainly has no section. Cheap."""
    return _HINT.search(text) is not None


def sections(text: str) -> list[Section]:
    """The sections that name a field, in order. What looks like one in code or HTML is none."""
    found: list[Section] = []
    current: Section | None = None
    parts = list(_parts(markdown.parse(text)))
    for index, part in enumerate(parts):
        name, rest = _named(parts, index)
        if name and part.kind == "item":  # `- **Remaining:** the docs` stands for itself
            found.append(Section(name, _LEAD_LEVEL, [rest, *part.nested] if rest else part.nested))
        elif name:
            level = part.level or _LEAD_LEVEL
            current = Section(name, level, [rest] if rest else [])
            current.paragraph = part.paragraph if rest else -1
            found.append(current)
        elif current and not _add(current, part):
            current = None
    return found


def _named(parts: Sequence[_Part], index: int) -> tuple[str | None, str]:
    """(the field that a heading or lead names, what follows on a lead's own line)."""
    part = parts[index]
    if part.kind == "heading":
        return _field(part.text), ""
    if part.kind in ("rule", "row"):
        return None, ""
    if lead := _LEAD.match(part.text):
        name, rest = lead["name"].strip(), lead["rest"].strip()
        if aside := _ASIDE.match(rest):  # `**Next steps** (pick one):`
            name, rest = f"{name}{':' if aside[1] else ''}", aside[2]
        is_marked = bool(lead["mark"]) or name.endswith((":", "："))
        # In prose a bold word is a bold word.
        is_lead = is_marked or (not rest and part.kind == "text")
        return (_field(name), rest) if is_lead else (None, "")
    has_list = bool(part.nested) or (part.kind == "text" and _begins_list(parts, index + 1))
    if has_list and _announces(part.text):
        return _field(part.text), ""
    return None, ""


def _field(heading: str) -> str | None:
    """The field that a heading's or lead's words name: without numbers, emoji and markup."""
    if len(heading) > _NAME_LIMIT:
        return None
    words = _SHORTCODE.sub("", plain(heading).lower().replace("’", "'"))
    words = compiled(r"\([^()]*\)\W*$").sub("", words.strip(" :：.*_"))
    words = compiled(r"^[^\w(]+|[^\w)]+$").sub("", words)
    words = compiled(r"^\W+").sub("", _NUMBER.sub("", words))
    words = compiled(r"[\s_‐-]+").sub(" ", words)
    return next((name for name, known in _NAMES.items() if known.fullmatch(words)), None)


def _add(section: Section, part: _Part) -> bool:
    """Add a part to the open section. False: the section ended before it."""
    is_summary = section.name == "summary"  # of which every word counts, up to the next heading
    if part.kind == "heading":
        return part.level > section.level and not is_summary
    if part.kind == "rule":
        return False
    is_lead = section.level == _LEAD_LEVEL
    if part.kind in _ITEMS:
        if is_lead and section.items and not section.has_list and _announces(section.items[-1]):
            section.items.pop()
        section.items.append(part.whole)
        section.has_list = True
        return True
    lead = _LEAD.match(part.text)
    is_label = bool(lead) and not (lead and lead["rest"])
    if is_lead:
        is_same = part.paragraph == section.paragraph
        if lead or section.has_list or (section.paragraph >= 0 and not is_same):
            return False
        section.paragraph = part.paragraph
        if is_same and section.items and len(section.items) == 1:
            section.items[0] += f" {part.text}"  # a line that was wrapped
            return True
    # After a list, a sentence tells how things stand, or speaks to the reader.
    is_closing = section.has_list and _SENTENCE_END.search(part.text)
    if is_summary or not (is_label or is_closing or _announces(part.text)):
        section.items.append(part.text)
    return True


def _begins_list(parts: Sequence[_Part], index: int) -> bool:
    return index < len(parts) and parts[index].kind in _ITEMS


def _announces(text: str) -> bool:
    return plain(text).rstrip(" *_").endswith((":", "："))


def _parts(tokens: list[Token]) -> Iterator[_Part]:
    depth = base = paragraph = 0
    item: _Part | None = None
    heading = 0
    for token in tokens:
        if token.type == "heading_open":
            heading, base = int(token.tag[1:]), depth
            if item:
                yield item
            item = None
        elif token.type == "list_item_open":
            depth += 1
            if depth == base + 1:
                item = _Part("item", paragraph=paragraph)
            elif item:
                item.nested.append("")
        elif token.type == "list_item_close":
            depth -= 1
            base = min(base, depth)  # the heading itself may stand in an item that ends here
            if depth == base and item:
                yield item
                item = None
        elif token.type == "hr" and depth == base:
            yield _Part("rule")
        elif token.type == "inline" and heading:
            yield _Part("heading", token.content, heading)
            heading = 0
        elif token.type == "inline":
            paragraph += 1
            if item and item.nested:
                item.nested[-1] = f"{item.nested[-1]} {token.content}"
            elif item:
                # A lead right below an item, without an empty line, is still no part of it.
                lines = token.content.splitlines()
                found = (n for n, line in enumerate(lines) if n and _is_lead(line))
                end = next(found, len(lines))
                item.text = " ".join([item.text, *lines[:end]]).lstrip()
                if end < len(lines):
                    yield item
                    item = None
                    yield from _lines(lines[end:], paragraph)
            else:
                yield from _lines(token.content.splitlines(), paragraph)
    if item:
        yield item


def _is_lead(line: str) -> bool:
    lead = _LEAD.match(line)
    is_marked = lead and (lead["mark"] or lead["name"].rstrip().endswith((":", "：")))
    return bool(lead and (is_marked or not lead["rest"]))


def _lines(lines: list[str], paragraph: int) -> Iterator[_Part]:
    """A paragraph's lines; the rows of a table, which is a paragraph to CommonMark, are items."""
    is_table = False
    for number, line in enumerate(lines):
        is_rule = not any(char.isalnum() for char in line)
        if "|" in line and number + 1 < len(lines) and _TABLE_RULE.match(lines[number + 1]):
            is_table = True  # and this is its heading
        elif is_table and not is_rule:
            cells = (cell.strip() for cell in line.strip(" \t|").split("|"))
            words = " — ".join(cell for cell in cells if any(map(str.isalpha, cell)))
            yield _Part("row", words, paragraph=paragraph)
        elif not is_table:
            yield _Part("rule" if is_rule else "text", line, paragraph=paragraph)
