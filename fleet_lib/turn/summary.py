"""The one sentence that stands for a message: the first one that says something. No model is
needed. Of a message that asks, the question stands for it (`asks.py`)."""

from collections.abc import Iterator, Sequence

from fleet_lib.compiled import compiled
from fleet_lib.lazy import lazy
from fleet_lib.records import Record
from fleet_lib.turn import summary_words as words
from fleet_lib.turn.prose import HIDDEN, Block, Sentence, first_blocks, plain, sentences

_WORDS = 2  # that a sentence needs to say something, outside code and addresses
_ITEM_WORDS = 3
_LEAD_WORDS = 3  # that a sentence needs which leads to a list; code counts as a word
_LONE_LEAD_WORDS = 5  # that it needs to stand for itself, before a table or code
_CHARACTERS = 4  # that it needs in a script that writes no spaces

_KEY_LIMIT = 1_000  # characters of a sentence that are looked at
_COLONS = (":", "：")
_EMPHASIS = lazy(r"(?P<mark>\*\*|__)(?:(?!(?P=mark)).)+(?P=mark):?")
_SYMBOLS = lazy(r"^[\s\u2190-\u2bff\ufe0e\ufe0f\U0001f000-\U0001faff•·▪*_>|=-]+")
_WORD = lazy(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_UNSPACED = lazy(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")


class _Candidate(Record):
    """A sentence that may stand for the message."""

    text: str
    key: str  # in lower case, without code and addresses
    is_item: bool = False
    has_code: bool = False


def summary_of(message: str) -> str:
    """The first sentence that says something, without markup: of the section "Summary" if there is
    one. "" for a message without words."""
    blocks = first_blocks(message)
    section = next((index for index, block in enumerate(blocks) if _is_summary(block)), None)
    parts = [blocks] if section is None else [blocks[section + 1 :], blocks]
    for part in parts:
        if said := _first_that_says(_candidates(part)):
            return said
    return _fallback(blocks)


def _first_that_says(candidates: Iterator[_Candidate]) -> str | None:
    little = None
    for candidate in candidates:
        if not _says(candidate):
            continue
        if not words.SAYS_LITTLE.fullmatch(candidate.key):
            return candidate.text
        little = little or candidate.text
    return little


def _fallback(blocks: Sequence[Block]) -> str:
    """What there is in a message in which no sentence says something: an acknowledgement, a
    heading, an announcement without its colon."""
    candidates = list(_candidates(blocks))
    lines = [one.text for one in candidates if not one.text.endswith(_COLONS)]
    if candidates and _acknowledges(candidates[0]):
        lines.insert(0, " ".join(lines[:2]))
    else:
        titles = (block.text for block in blocks if _is_heading(block) and not _is_summary(block))
        lines = [*(plain(title) for title in titles), *lines]
    lines += [one.text for one in candidates]
    lines += [plain(block.text) for block in blocks if block.kind in ("table", "quote")]
    line = next((line for line in lines if any(char.isalnum() for char in line)), "")
    return _SYMBOLS.sub("", " ".join(line.split())).strip("|#: ：")


def _candidates(blocks: Sequence[Block]) -> Iterator[_Candidate]:
    """The sentences of paragraphs and lists, in order. One that leads to a list has the list's
    first sentence with it; one that leads to something else stands for itself."""
    lead = None
    for block in blocks:
        if _is_heading(block) or block.kind not in ("paragraph", "item"):
            yield from _alone(lead)
            lead = None
            continue
        for sentence in sentences(block.text):
            text = _SYMBOLS.sub("", " ".join(sentence.text.split()))
            is_item = block.kind == "item"
            candidate = _Candidate(text, _key(sentence), is_item, HIDDEN in sentence.masked)
            if lead and is_item and text and not text.endswith(_COLONS):
                yield _Candidate(f"{lead.text} {text}", lead.key)
            elif not is_item:
                yield from _alone(lead)
            lead = candidate if _leads(candidate) else None
            yield candidate
    yield from _alone(lead)


def _leads(candidate: _Candidate) -> bool:
    """Whether a sentence that ends in a colon says something of its own."""
    key = candidate.key
    is_lead = candidate.text.endswith(_COLONS) and not words.ANNOUNCES.match(key)
    count = _word_count(key) + candidate.has_code
    return is_lead and count >= _LEAD_WORDS and not words.LEADS_ONLY.match(key)


def _alone(lead: _Candidate | None) -> Iterator[_Candidate]:
    """A sentence that leads to something that is no sentence, if it says enough without it."""
    is_enough = lead and _word_count(lead.key) >= _LONE_LEAD_WORDS
    if lead and is_enough and not words.DANGLES.search(lead.key):
        yield _Candidate(lead.text.rstrip(":： "), lead.key.rstrip(":： "))


def _acknowledges(candidate: _Candidate) -> bool:
    return bool(words.ACKNOWLEDGES.fullmatch(candidate.key.strip(" .!,…。！✓✅🎉")))


def _says(candidate: _Candidate) -> bool:
    """Whether a sentence says something of the work."""
    text, key = candidate.text, candidate.key
    if text.endswith(_COLONS) or words.ANNOUNCES.match(key) or _acknowledges(candidate):
        return False
    if len(_UNSPACED.findall(key)) >= _CHARACTERS:
        return True
    return len(_WORD.findall(key)) >= (_ITEM_WORDS if candidate.is_item else _WORDS)


def _word_count(key: str) -> int:
    """A word of a script that writes no spaces has two characters, more or less."""
    return len(_WORD.findall(key)) + len(_UNSPACED.findall(key)) // 2


def _key(sentence: Sentence) -> str:
    text = sentence.masked[:_KEY_LIMIT].replace(HIDDEN, "").lower().replace("’", "'")
    return _SYMBOLS.sub("", " ".join(text.split()))


def _is_heading(block: Block) -> bool:
    """A heading, or a line in bold letters that stands for one."""
    if block.kind == "heading":
        return True
    text = block.text.strip()
    return (
        block.kind == "paragraph" and bool(_EMPHASIS.fullmatch(text)) and text[-3] not in ".!?。！"
    )


def _is_summary(block: Block) -> bool:
    if block.kind != "heading":
        return False
    name = " ".join(sentence.masked for sentence in sentences(block.text)).lower()
    name = compiled(r"^[\W\d]+").sub("", name)
    return bool(words.SECTION.fullmatch(" ".join(name.split()).strip(" :：.!")))
