"""The one sentence that stands for a message: the first one that says something. No model is
needed. Of a message that asks, the question stands for it (`asks.py`)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fleet_lib.turn.prose import HIDDEN, Block, Sentence, first_blocks, plain, sentences

_WORDS = 2  # that a sentence needs to say something, outside code and addresses
_ITEM_WORDS = 3
_LEAD_WORDS = 3  # that a sentence needs which leads to a list
_CHARACTERS = 4  # that it needs in a script that writes no spaces

_COLONS = (":", "：")
_EMPHASIS = re.compile(r"(?P<mark>\*\*|__)(?:(?!(?P=mark)).)+(?P=mark):?")
_SYMBOLS = re.compile(r"^[\s\u2190-\u2bff\ufe0e\ufe0f\U0001f000-\U0001faff•·▪*_>|=-]+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
_SECTION = re.compile(
    r"(?:(?:a|an|the|final|executive|quick|brief|short|implementation|overall|session|task|work"
    r"|changes?|review|in|test|my|pr|fix)[ :]+)*"
    r"(?:summary|tl;?\s?dr|recap|bottom line|resumen|zusammenfassung|kurzfassung|résumé|resumo|riepilogo|sintesi"
    r"|samenvatting|podsumowanie|shrnutí|özet|sammanfattning|sammendrag|резюме|итоги?|підсумок|σύνοψη|ملخص|总结|總結|摘要|概要|小结|まとめ|要約|요약)"
    r"(?: (?:of|de|der|des|du|do|di|van|dei|delle) .*|[ :：—–-].*)?",
)

# A sentence that only acknowledges or cheers.
_ACKNOWLEDGES = re.compile(
    r"(?:(?:oh|ok|okay|yes|yep|yeah|no|sure|great|good|perfect|excellent|awesome|wonderful|fantastic|nice|amazing|beautiful|brilliant"
    r"|done|all done|all set|all good|all clear|all green|all passing|got it|understood|absolutely|exactly|correct|right|agreed|confirmed|of course"
    r"|certainly|indeed|fixed|updated|committed|pushed|finished|complete|completed|success|ready|alright|all right|cool|found it|much better|better|all clean|clean|passes|passing|good to go|works|thanks|thank you|welcome|hi|hello|hey"
    r"|no problem|my pleasure|fair|true|interesting|noted|makes sense|sounds good|looks good|well done|merged|deployed|reverted|removed|added|resolved|shipped|there it is|there we go|here we go|wow|hm+|ah+|sorry|both|congratulations"
    r"|(?:and |it |that |this |everything |all |the (?:task|work|job|implementation|fix|feature|change|build|project) |task |implementation |work |your (?:task|request) )?(?:is|are|has|have|has been|have been|was|were|'s|that's|it's)(?: all| now| fully| been)* (?:done|complete|completed|finished|ready|set|it|all|good|great|fixed|working|in place|implemented|up to date)"
    r"|everything (?:works|looks good|passes|is green|passed)|that's it|it works|you're (?:absolutely |completely |totally |quite )?(?:right|welcome|correct)|i (?:agree|see|understand|apologi[sz]e)|my (?:mistake|apologies|bad)"
    r"|(?:task|implementation|work|phase|step|migration|review|refactoring|all tasks|setup|build|installation) (?:complete|completed|done|finished|successful)"
    r"|(?:successfully )?(?:done|completed|implemented|finished)(?: successfully)?"
    r"|listo|hecho|perfecto|entendido|claro|vale|terminado|completado|de acuerdo|genial|excelente|fertig|erledigt|perfekt|alles klar|verstanden|super|gut|prima|gerne|terminé|parfait|c'est fait|compris|voilà|d'accord|très bien|bien sûr|oui"
    r"|pronto|feito|perfeito|certo|concluído|ótimo|sim|fatto|perfetto|capito|ecco fatto|ottimo|certo|sì|klaar|gedaan|perfect|begrepen|klart|färdigt|ferdig|færdig|gotowe|zrobione|rozumiem|świetnie|hotovo|tamam|tamamlandı|bitti|harika"
    r"|готово|отлично|понял|понятно|сделано|хорошо|да|конечно|принято|всё готово|все готово|έτοιμο|έγινε|τέλεια|تم|حسنا|حسناً|ممتاز"
    r"|(?:已|都|全部)*(?:已)?(?:完成|搞定|处理好|修好)(?:了|啦)?|好的?|好了|明白了?|没问题|完美|太好了|收到|了解|可以|是的|对|完了(?:です|しました)?|了解(?:です|しました)|承知(?:しました)?|できました|はい|わかりました|完成しました|修正しました|네|예|좋습니다|완료(?:했습니다|되었습니다|입니다)?|알겠습니다|끝났습니다)"
    r"(?: (?:question|questions|catch|point|points|call|idea|news|find|job|work|progress|thinking|observation|insight|now|again|here|everything|then|too|great|for (?:you|the .{1,40})|with (?:that|this|it)|successfully|about that|it|to (?:go|ship)))?"
    r"[, ]*){1,4}",
)

# A sentence that only says what comes, or tells of the work itself.
_ANNOUNCES = re.compile(
    r"(?:(?:ok|okay|alright|great|good|perfect|excellent|now|so|first|next|and|then|right|yes|done|sure|finally)[,.! —–-]+)*"
    r"(?:let me\b|let's (?:look|see|check|start|walk|go|break|dive|review|verify|trace|think|do)\b|now let\b|now i (?:have|understand|see|can see|know|get|fully)\b|now i'(?:ll|m|ve)\b"
    r"|i (?:now )?(?:have|see|understand|got)(?: now)? (?:the|a|everything|enough|all)\b.{0,30}\b(?:picture|understanding|view|context|information|info|need|details|idea)\b"
    r"|i'(?:ll|m going to) (?:now|start|begin|first|create|check|look|read|explain|summari[sz]e|walk|provide|give|break|go|present|outline|lay|write|take|analy[sz]e|review|compile|put|help|proceed|continue)\b"
    r"|i(?:'ve| have)? (?:now )?(?:completed|finished|reviewed|analy[sz]ed|read|looked|examined|gone|gathered|explored|checked|studied|investigated)\b(?!.{0,200}(?: and |, |: | but |; | — ))"
    r"|here(?:'s|’s| is| are|'re|s)\b[^:]{0,160}:?$|here you go\b|here it is\b|below (?:is|are)\b|(?:the )?following (?:is|are|changes)\b|see (?:below|above)\b|as follows\b|to summari[sz]e\b[^,:]{0,20}$|in summary$|looking at\b[^,]{0,100}$"
    r"|(?:this|that|it) (?:is|was) (?:a|an) (?:good|great|excellent|interesting|important|fair|valid|really good|very good)\b.{0,20}\b(?:question|point|catch|idea|observation)\b|(?:that's|that is) (?:a|an) (?:good|great|excellent|interesting|fair|valid|really good|very good)\b.{0,24}$|(?:good|great|excellent) (?:question|point|catch|idea|call|observation|thinking)\b.{0,20}$"
    r"|(?:aquí|aqui) (?:está|tienes|tiene|va|van|están|estão|vai)\b.{0,120}$|a continuación\b|voy a\b|déjame\b|vamos a (?:ver|revisar)\b|ahora (?:tengo|entiendo|voy)\b|hier (?:ist|sind)\b.{0,120}$|lass mich\b|jetzt (?:habe ich|verstehe ich)\b|im folgenden\b|voici\b.{0,120}$|je vais\b|laisse(?:z)?-moi\b|maintenant (?:j'ai|je)\b"
    r"|a seguir\b|vou\b|deixe-me\b|segue(?:m)?\b.{0,80}$|agora (?:tenho|entendo|vou)\b|ecco\b.{0,100}$|di seguito\b|lascia(?:mi)?\b|ora (?:ho|capisco)\b|hier(?:onder)? (?:is|zijn|staat|volgt)\b.{0,100}$|laat me\b|oto\b.{0,100}$|poniżej\b|zde je\b"
    r"|вот\b.{0,120}$|ниже\b|давай(?:те)? \b|сейчас я\b|теперь (?:у меня|я|понятно|вижу)\b|εδώ είναι\b|ορίστε\b|إليك\b|فيما يلي\b|هذا ملخص"
    r"|(?:以下|下面|如下)(?:是|为|的|は|の|に)?|让我|讓我|我来|我先|现在我|現在我|现在(?:我)?(?:已经)?(?:了解|明白|清楚)|(?:总结|汇总|小结)(?:如下|一下)|これから|では、?|それでは|まとめ(?:ます|ると|です)|다음은|아래는|요약(?:하면|입니다)|이제 )"
)
_LEADS_ONLY = re.compile(
    r"(?:i(?:'ve| have)? )?(?:just )?(?:made|did|found|changed|fixed|added|updated|implemented|have|see|completed|applied|addressed|identified)? ?"
    r"(?:a few|these|this|the (?:following|changes?|key|main|fix|result|results|problem|issue|flow|idea|rest)|some|several|all|both|one|two|three|four|five|six|seven|eight|\d+|key|main|other|more|my)\b[^,;]{0,24}:$"
    r"|(?:summary|overview|list|breakdown|based|regarding|for|to|options|next steps|notes?|example)\b.{0,60}:$"
)
# A sentence about a check, or about what will be done: it stands for a message that says no more.
_SAYS_LITTLE = re.compile(
    r"(?:(?:and |great! |perfect! )?(?:all|the|every|both|\d[\d,/.]*)? ?(?:of the )?(?:\d[\d,/.]* )?(?:\(\d+\) )?(?:unit |integration |e2e |existing |new |backend |frontend |typescript |type ?script |rust )*(?:tests?|checks?|build|lint|linter|linting|type ?checks?|ci|compilation|everything|suite)(?: suite)?(?: and [a-z ]{1,30}| \+ [a-z]+|, [a-z ]{1,20})? (?:still |now |all |also )*(?:pass(?:es|ed|ing)?|(?:is|are|looks?|comes back|went|came back|compiles?) (?:all )?(?:pass\w*|green|clean|good|successful|fine|ok)|succeed(?:s|ed)?|compiles?|completed successfully|works|looks good|green)\b.{0,60}"
    r"|(?:clean build|build (?:succeeded|passes|is clean)|no errors|0 errors|zero errors|lint (?:clean|passes)|(?:the )?working tree(?: is)? clean|所有测试.{0,10}通过.{0,6}|测试(?:全部)?通过.{0,6}|すべてのテストが.{0,12}|모든 테스트.{0,12}|todos los tests pasan.{0,20}|alle tests.{0,30}|tous les tests.{0,30}|все тесты.{0,20}).{0,40}"
    r"|i'll\b.{0,200}|i will\b.{0,200}|i'm going to\b.{0,200}|the (?:implementation|fix|feature|refactoring|migration|task|work|plan|change|review|code|documentation|design|setup) (?:is|has been)(?: now| fully)? (?:complete|done|finished|ready|in place|implemented|working|completed|live)\b.{0,40}"
    r"|.{0,40}\b(?:is|are) (?:now )?(?:complete|ready for (?:review|use|commit))\b.{0,30})[.!]*$"
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sentence that may stand for the message."""

    text: str
    key: str  # in lower case, without code and addresses
    is_item: bool = False


def summary_of(message: str) -> str:
    """The first sentence that says something, without markup: of the section "Summary" if there is
    one. "" for a message without words."""
    blocks = first_blocks(message)
    section = next((index for index, block in enumerate(blocks) if _is_summary(block)), None)
    parts = [blocks] if section is None else [blocks[section + 1 :], blocks]
    for part in parts:
        if said := _first_that_says(list(_candidates(part))):
            return said
    return _fallback(blocks)


def _first_that_says(candidates: list[_Candidate]) -> str | None:
    little = None
    for candidate in candidates:
        if not _says(candidate):
            continue
        if not _SAYS_LITTLE.fullmatch(candidate.key):
            return candidate.text
        little = little or candidate.text
    return little


def _fallback(blocks: list[Block]) -> str:
    """What there is in a message in which no sentence says something: an acknowledgement, a
    heading, an announcement without its colon."""
    candidates = list(_candidates(blocks))
    words = [one.text for one in candidates if not one.text.endswith(_COLONS)]
    if candidates and _acknowledges(candidates[0]):
        words.insert(0, " ".join(words[:2]))
    else:
        titles = (block.text for block in blocks if _is_heading(block) and not _is_summary(block))
        words = [*(plain(title) for title in titles), *words]
    words += [one.text for one in candidates]
    words += [plain(block.text) for block in blocks if block.kind in ("table", "quote")]
    line = next((word for word in words if any(char.isalnum() for char in word)), "")
    return _SYMBOLS.sub("", " ".join(line.split())).strip("|#: ：")


def _candidates(blocks: list[Block]) -> Iterator[_Candidate]:
    """The sentences of paragraphs and lists, in order. One that leads to a list has the list's
    first sentence with it."""
    lead = None
    for block in blocks:
        if _is_heading(block) or block.kind not in ("paragraph", "item"):
            lead = None
            continue
        for sentence in sentences(block.text):
            text = _SYMBOLS.sub("", " ".join(sentence.text.split()))
            candidate = _Candidate(text, _key(sentence), block.kind == "item")
            if lead and candidate.is_item and text and not text.endswith(_COLONS):
                yield _Candidate(f"{lead.text} {text}", lead.key)
            lead = candidate if _leads(candidate) else None
            yield candidate


def _leads(candidate: _Candidate) -> bool:
    """Whether a sentence that ends in a colon says something of its own."""
    key = candidate.key
    is_lead = candidate.text.endswith(_COLONS) and not _ANNOUNCES.match(key)
    return is_lead and len(_WORD.findall(key)) >= _LEAD_WORDS and not _LEADS_ONLY.match(key)


def _acknowledges(candidate: _Candidate) -> bool:
    return bool(_ACKNOWLEDGES.fullmatch(candidate.key.strip(" .!,…✓✅🎉")))


def _says(candidate: _Candidate) -> bool:
    """Whether a sentence says something of the work."""
    text, key = candidate.text, candidate.key
    if text.endswith(_COLONS) or _ANNOUNCES.match(key) or _acknowledges(candidate):
        return False
    if len(_UNSPACED.findall(key)) >= _CHARACTERS:
        return True
    return len(_WORD.findall(key)) >= (_ITEM_WORDS if candidate.is_item else _WORDS)


def _key(sentence: Sentence) -> str:
    words = sentence.masked.replace(HIDDEN, "").lower().replace("’", "'")
    return _SYMBOLS.sub("", " ".join(words.split()))


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
    name = re.sub(r"^[\W\d]+", "", name)
    return bool(_SECTION.fullmatch(" ".join(name.split()).strip(" :：.!")))
