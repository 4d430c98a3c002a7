"""Whether a message asks its reader for something, and which sentence asks. No model is needed.

The paragraphs are walked from the end. A question that wants a decision ("Shall I …?"), or a
request, asks although its reason, a few choices, code or sources follow. Any other question asks
only as the last words, since a text answers most of its questions itself.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from fleet_lib.compiled import compiled
from fleet_lib.lazy import lazy
from fleet_lib.records import MutableRecord, Record, replace
from fleet_lib.turn import asking_words as words
from fleet_lib.turn.prose import HIDDEN, Block, Sentence, last_blocks, plain, sentences

_PARAGRAPHS_AFTER = 2  # that may follow a question which asks
_SENTENCES_AFTER = 4  # within its paragraph
_SECTIONS_AFTER = 1
_KEY_LIMIT = 400  # characters of a sentence's beginning, and of its end, that are looked at
_COLONS = (":", "：")
_FOREIGN_WORDS = 4  # without an English one among them
_CHOICES_LIMIT = 400  # characters of the choices that are shown with a question
_CHOICE_LIMIT = 90

_MARK = lazy(r"[?？؟⁇⁈⁉‽][!?！？…。.]*\W*\Z|¿")
_GREEK_MARK = lazy(r"[\u0370-\u03ff\u1f00-\u1fff][;\u037e]\W*\Z")
# What may stand after a question as a sentence of its own: a smiley, "(y/n)", "[Y/n]".
_HINT = lazy(
    r"(?i)\W*(?:\(?\[?(?:y(?:es)?\s?/\s?no?|j(?:a)?\s?/\s?n(?:ein)?|s[ií]?\s?/\s?no?"
    r"|o(?:ui)?\s?/\s?n(?:on)?|是\s?/\s?否)\]?\)?)?\W*\Z",
)
_CHOICE = lazy(r"(?i)\(?[a-h1-9][).:]\s|(?:or )?something else\b")
_GOES_ON = lazy(
    r"(?i)¿?(?:and(?:/or)?|or|for example|e\.g|such as|perhaps|maybe|und|oder|et|ou|y|o|e|of|или|아니면)\b"
    r"|还是|還是|比如|例如|それとも|たとえば",
)
_OTHER_SCRIPT = lazy(r"[^\x00-\u024f\u2000-\u2bff\ue000\ufe0f\U0001f000-\U0001faff]")
_FILE = lazy(r"\b[\w/-]{2,}\.[a-z]{1,4}\b")  # of a name that is no code, as in "merge.go"
_ASIDE = lazy(  # sources, signatures, and the like
    r"(?i)\W*(?:sources?|references?|links?|quellen|fuentes|fontes|fonti|bronnen|источники"
    r"|来源|參考|参考|出典|참고)\b.{0,40}(?::|：|\Z)"
    r"|\W*(?:co-authored-by|generated with|—\s*claude|-{1,2}\s*claude|best regards"
    r"|cheers|thanks)\b",
)
_QUESTIONS_AHEAD = lazy(
    r"\bquestions?\b|\bclarif|\bdecisions?\b|\bdecide\b|\bconfirm\b|\banswer"
    r"|\bneed to know\b|\bfrom you\b|\binput\b|\bunclear\b"
    r"|fragen|preguntas?|questions|perguntas|domande|vragen|вопрос|问题|確認|质問|質問|질문",
)


class _Asking(Record):
    """How a sentence asks."""

    text: str
    is_decision: bool  # or a request; else a question that may be the text's own
    is_choice: bool = False  # the question stands before it


class _After(MutableRecord):
    """What follows the block that is looked at."""

    paragraphs: int = 0
    sections: int = 0
    has_menu: bool = False
    has_choices: bool = False  # as paragraphs

    @property
    def is_nothing(self) -> bool:
        return not (self.paragraphs or self.sections)

    @property
    def is_near(self) -> bool:
        return self.paragraphs <= 1 and not self.sections

    @property
    def is_far(self) -> bool:
        return self.paragraphs > _PARAGRAPHS_AFTER or self.sections > _SECTIONS_AFTER


def question_of(message: str, surely: bool = False) -> str | None:
    """The sentence that asks the reader, with its choices where it only leads to them. None if the
    message asks nothing. `surely`: it is known that it asks, so any question will do."""
    blocks = last_blocks(message)
    return _near_the_end(blocks) or (_last_question(blocks) if surely else None)


def _last_question(blocks: Sequence[Block]) -> str | None:
    for block in reversed(blocks):
        if block.kind in ("paragraph", "item"):
            for sentence in reversed(sentences(block.text)):
                if asking := _asking(sentence, is_paragraph=True):
                    return asking.text
    return None


def _near_the_end(blocks: Sequence[Block]) -> str | None:
    after = _After()
    choice = None  # the last of some choices, if it looks like a question
    for index in range(len(blocks) - 1, -1, -1):
        block = blocks[index]
        if block.kind == "heading":
            asking = _asking_heading(blocks, index, after)
            after.sections += not _ASIDE.match(block.text)
        elif block.kind == "item":
            asking = _asking_item(blocks, index, after)
        elif block.kind == "paragraph":
            asking = _asking_paragraph(blocks, index, after)
            after.paragraphs += _counts(block) and not (asking and asking.is_choice)
            after.has_choices |= _is_choice(block)
        else:
            continue
        if asking and not asking.is_choice:
            return asking.text
        choice = choice or (asking.text if asking else None)
        after.has_menu = choice is not None
        if (choice and after.paragraphs and not asking) or after.is_far:
            break
    return choice


def _counts(block: Block) -> bool:
    """Whether a paragraph says something. A choice, sources, courtesy and a smiley do not."""
    if _ASIDE.match(block.text) or _is_choice(block):
        return False
    return any(
        not (_HINT.match(sentence.masked) or words.COURTESY.search(_key(sentence)))
        for sentence in sentences(block.text)
    )


def _is_choice(block: Block) -> bool:
    return bool(_CHOICE.match(plain(block.text)))


def _asking_paragraph(blocks: Sequence[Block], index: int, after: _After) -> _Asking | None:
    if after.is_nothing and (menu := _menu(blocks, index)):
        return menu
    choice = None
    count = 0  # sentences that follow in the paragraph
    found = sentences(blocks[index].text)
    is_choice = _is_choice(blocks[index])
    for place in range(len(found) - 1, -1, -1):
        sentence = found[place]
        if _HINT.match(sentence.masked):
            continue
        asking = _asking(sentence, is_paragraph=not is_choice, follows=count)
        if asking and asking.is_choice:
            choice = choice or asking
        elif asking and (asking.is_decision or after.has_choices) and count <= _SENTENCES_AFTER:
            whole = _with_question_before(asking.text, found[:place])
            return replace(asking, text=_with_choices(whole, blocks, index))
        elif asking and not count and after.is_nothing:
            asking = replace(asking, text=_with_question_before(asking.text, found[:place]))
            return asking if after.has_menu or _is_last(blocks, index) else choice
        elif not _CHOICE.match(sentence.text):
            count += not words.COURTESY.search(_key(sentence))
    return choice if after.is_nothing and _is_last(blocks, index) else None


def _asking_item(blocks: Sequence[Block], index: int, after: _After) -> _Asking | None:
    """An item of a list asks as a question, or as the last words with what the reader is to tell or
    to hand over: other requests in a list are notes on the work. A question that wants no decision
    must be the last words, or stand in a list that is announced as questions."""
    if after.is_nothing and (menu := _menu(blocks, index)):
        return menu
    is_end = after.is_nothing and _is_last(blocks, index)
    for count, sentence in enumerate(reversed(sentences(blocks[index].text))):
        if _HINT.match(sentence.masked):
            continue
        is_told = is_end and not count and words.TO_ME.search(_key(sentence))
        asking = _asking(sentence, is_paragraph=bool(is_told), follows=count)
        if asking is None or count > _SENTENCES_AFTER:
            continue
        if not after.sections and _are_questions_ahead(blocks, index):
            return asking
        is_last = not _is_item_of(blocks, index + 1, blocks[index].list_number)
        if asking.is_decision and (after.is_nothing or (is_last and after.is_near)):
            return replace(asking, text=_list_that_asks(blocks, index) or asking.text)
        if not count and is_end:
            return replace(asking, is_choice=True)
    return None


def _menu(blocks: Sequence[Block], index: int) -> _Asking | None:
    """The block as a menu of choices, if it is one."""
    found = sentences(blocks[index].text)
    key = " ".join(_key(sentence) for sentence in found)
    if not words.MENU.search(key):
        return None
    return _Asking(" ".join(_shown(sentence) for sentence in found), False, is_choice=True)


def _asking_heading(blocks: Sequence[Block], index: int, after: _After) -> _Asking | None:
    """A heading asks if it wants a decision and no paragraph follows that answers it."""
    if not after.paragraphs:
        for sentence in reversed(sentences(blocks[index].text)):
            asking = _asking(sentence, is_paragraph=False)
            if asking and asking.is_decision:
                return replace(asking, text=_with_choices(asking.text, blocks, index))
    return None


def _asking(sentence: Sentence, is_paragraph: bool, follows: int = 0) -> _Asking | None:
    """How a sentence asks, if it does. `follows`: sentences after it in its block."""
    key, shown = _key(sentence), _shown(sentence)
    if _has_mark(sentence):
        if words.COURTESY.search(key) and not words.PLAIN_DECISION.search(key):
            return None
        is_put = words.DECISION.search(key) or words.REQUEST.search(key) or _is_foreign(key)
        is_yours = not follows and words.TO_YOU.search(key)
        is_decision = bool(is_put or is_yours) and not words.WHY.search(key)
        return _Asking(shown, is_decision, bool(_CHOICE.match(shown)))
    if words.UNMARKED.search(key):
        return None if words.COURTESY.search(key) else _Asking(shown, is_decision=True)
    if not (is_paragraph and _requests(key)):
        return None
    return _Asking(shown, is_decision=True)


def _requests(key: str) -> bool:
    """Whether a sentence asks its reader for an act."""
    if words.FIRM.search(key):
        return True
    if words.INVITATION.search(key) or words.COURTESY.search(key):
        return False
    if words.REQUEST.search(key):
        return True
    return bool(words.ACTION.search(key)) and not words.ADVICE.search(key)


def _is_foreign(key: str) -> bool:
    """Whether a question is in another language than English. There, only the words for "why" are
    known well enough to tell its kinds apart."""
    if "¿" in key or _OTHER_SCRIPT.search(key):
        return True
    found = compiled(r"[^\W\d_]+").findall(key)
    return len(found) >= _FOREIGN_WORDS and words.ENGLISH.isdisjoint(found)


def _has_mark(sentence: Sentence) -> bool:
    masked = sentence.masked.replace(HIDDEN, "x")
    return bool(_MARK.search(masked) or _GREEK_MARK.search(masked))


def _key(sentence: Sentence) -> str:
    """A sentence as the tables of words read it."""
    return _key_of(sentence.masked)


@lru_cache(maxsize=16)  # it is asked several questions
def _key_of(masked: str) -> str:
    if len(masked) > 2 * _KEY_LIMIT:
        masked = f"{masked[:_KEY_LIMIT]} {masked[-_KEY_LIMIT:]}"
    folded = _FILE.sub(words.HIDDEN, " ".join(masked.lower().replace("’", "'").split()))
    return compiled(f"{HIDDEN}+").sub(words.HIDDEN, folded)


def _is_last(blocks: Sequence[Block], index: int) -> bool:
    """Whether nothing follows but rules and asides."""
    return all(
        block.kind in ("rule", "quote") or (block.kind == "paragraph" and not _counts(block))
        for block in blocks[index + 1 :]
    )


def _is_item_of(blocks: Sequence[Block], index: int, list_number: int) -> bool:
    return index < len(blocks) and blocks[index].list_number == list_number


def _are_questions_ahead(blocks: Sequence[Block], index: int) -> bool:
    """Whether the paragraph or heading before a list says that questions follow."""
    number = blocks[index].list_number
    for block in reversed(blocks[:index]):
        if block.list_number != number:
            return bool(_QUESTIONS_AHEAD.search(block.text.lower()))
    return False


def _with_choices(text: str, blocks: Sequence[Block], index: int) -> str:
    """A question that ends in a colon with the choices that follow it."""
    if not text.endswith(_COLONS):
        return text
    choices = [
        _shown(sentence)[:_CHOICE_LIMIT].rstrip(" .;,:")
        for sentence in _choices(blocks, index)
        if sentence.text.strip()
    ]
    line = "; ".join(choices)[:_CHOICES_LIMIT]
    return f"{text} {line}" if line else text.rstrip(":：").rstrip()


def _with_question_before(text: str, before: Sequence[Sentence]) -> str:
    """A question that goes on the one before it ("Or is it done?") with that one, and the question
    for a request that only stands behind it ("Shall I merge it? I need your key.")."""
    if text.endswith(_COLONS) or not (before and _has_mark(before[-1])):
        return text
    asking = _asking(before[-1], is_paragraph=True)
    if asking is None or words.WHY.search(_key(before[-1])):
        return text
    if _MARK.search(text):
        blank = "" if asking.text.endswith("？") else " "
        return f"{asking.text}{blank}{text}" if _GOES_ON.match(text) else text
    return asking.text


def _list_that_asks(blocks: Sequence[Block], index: int) -> str | None:
    """The line that leads to the list of an item, with the list's items, if the line asks."""
    number = blocks[index].list_number
    first = next(at for at, block in enumerate(blocks) if block.list_number == number)
    found = sentences(blocks[first - 1].text) if first else []
    if not (found and found[-1].text.endswith(_COLONS)):
        return None
    asking = _asking(found[-1], is_paragraph=True)
    return _with_choices(asking.text, blocks, first - 1) if asking else None


def _choices(blocks: Sequence[Block], index: int) -> Iterator[Sentence]:
    """What stands for choices after the lines that lead to them: the rest of their paragraph if it
    is marked so, the list or the marked paragraphs that follow."""
    yield from (one for one in sentences(blocks[index].text) if _CHOICE.match(one.text))
    for block in blocks[index + 1 :]:
        found = sentences(block.text)
        is_choice = block.kind == "item" or (found and _CHOICE.match(found[0].text))
        if not is_choice:
            break
        if block.depth <= 1:
            yield from found[:1]


def _shown(sentence: Sentence) -> str:
    """The sentence as one line, without what stands around it."""
    text = compiled(r"^\s*(?:[0-9]{1,3}[.)]\s+|[-*•>#]\s+)").sub(
        "", " ".join(sentence.text.split())
    )
    text = text.strip("*_` ").lstrip('"“‘').rstrip('"”’')
    if text.startswith("(") and text.endswith(")"):
        return text[1:-1].strip()
    return text.lstrip("(") if text.count("(") > text.count(")") else text
