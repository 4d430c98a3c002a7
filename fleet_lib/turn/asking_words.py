"""The words with which a sentence asks its reader for something, in many languages.

Tables of regular expressions, matched against one sentence in lower case, in which `¤` stands for
code, an address or a quotation. What a match means for a message is decided in `asks.py`.
"""

from collections.abc import Iterable

from fleet_lib.lazy import AnyOf
from fleet_lib.turn import asking_languages as languages

HIDDEN = "¤"


def _any(*patterns: str | Iterable[str]) -> AnyOf:
    flat: list[str] = []
    for pattern in patterns:
        flat += [pattern] if isinstance(pattern, str) else pattern
    return AnyOf(flat)


# Where an imperative may begin: at the sentence's beginning, or after a mark or one of these words.
_START = r"(?:^\W*|[,;:—–(] ?| - |\b(?:please|just|simply|then|kindly|or|so|and please) )"
_GO_ON = r"(?:proceed|go ahead|continue|start|begin|move (?:on|forward)|implement|execute)"

# --- questions that want a decision, not an answer that the text gives itself -------------------

_DECISIONS = (
    # English
    r"\b(?:do|would|could|can|will|did|have|are|were|don't|wouldn't) (?:you|u|y'all)\b",
    r"\b(?:should|shall|may|can|could|do|did|must|might|am|would|will|have|are) (?:i|we)\b",
    r"\byou(?:'d| would)? (?:like|want|prefer|rather|mean|need)\b",
    (
        rf"(?:^\W*|[—–:;,{HIDDEN}] ?)(?:so |or |and |also,? |then |otherwise,? )*"
        r"(?:want|wanna|need|care for"
        r"|like) (?:me|us|it|to|this|that|the|an?|both|all|any)\b"
    ),
    (
        r"^\W*(?:is it |is that |would it be |is this |are you )?(?:ok|okay|o\.k\.|alright"
        r"|all right|fine|good|cool|safe|happy) (?:to|if|for|with|by)\b"
    ),
    (
        r"\b(?:sound|sounds|look|looks|seem|seems|work|works)(?: [a-z]+)?(?: (?:good|right"
        r"|ok|okay|reasonable|fair|correct|fine|like a plan|accurate|acceptable))(?: to you"
        r"| so far)?\W*$"
    ),
    r"\bmake(?:s)? sense\b",
    (
        r"\b(?:does|do|is|are) (?:this|that|these|those|it)\b.{0,60}\b(?:work|match|look"
        r"|sound|fit|align|right|correct|expected|what you|you|ok|okay|acceptable|cover)\b"
    ),
    r"^\W*(?:are we |all )?(?:ready|good|clear|set) (?:to|for)\b",
    r"\bis (?:that|this|it) (?:a (?:concern|problem)|intend|intentional|desired|on purpose)",
    r"\b(?:right|correct|as (?:i )?described|agreed)\?\W*$|\bproceed\b|\bgo ahead\b",
    r"\bthoughts\?|\bgo\?$|\bagree(?:d)?\b|\bapprove(?:d)?\?",
    r"\b(?:shall|should(?! there be)|prefer|preference|preferences|rather)\b",
    (
        r"\bwhich (?:one|ones|option|options|approach|way|of these|of the|would|do|should"
        r"|version|path|direction|project|file|branch|task)\b"
    ),
    r"^\W*(?:so |and |or )?which\b.{1,60}\byou\b",
    (
        r"\byour (?:call|preference|choice|thoughts|take|opinion|decision|goal|use case"
        r"|priority|intent|environment|name|email)\b"
    ),
    r"^\W*(?:what|how) about\b|\bany (?:preference|objection|concern|thoughts|feedback)",
    (
        r"^\W*(?:and |or |also,? )?what (?:are|is|was|were|did|do|does|would|error|kind|type"
        r"|should|specific|happens when)\b.{0,80}\byou\b"
    ),
    *languages.DECISIONS,
)
DECISION = _any(_DECISIONS)

# A question that is put to the reader, if its paragraph does not go on.
TO_YOU = _any(r"\b(?:you|your|you're|you've|you'd|you'll)\b")

# Questions that ask for a reason: most often the text that follows answers them.
WHY = _any(
    (
        r"^\W*(?:but |and |so )?(?:why|how come|so what|what changed|what(?:'s| is) (?:new"
        r"|next|changed|different|this|it)|how (?:does|do|did|is|it|to)|what (?:does"
        r"|do) (?:this|that|it|these) (?:mean|do|give|buy)|what you)\b"
    ),
    *languages.REASONS,
)

# --- questions that are only polite -------------------------------------------------------------

COURTESY = _any(
    r"\banything else\b|\bwhat else\b",
    (
        r"\bany (?:other |further |more |additional |follow[- ]?up )?(?:questions|changes"
        r"|issues|adjustments|edits|tweaks|requests|comments)\b"
    ),
    (
        r"\bis there (?:anything|something) (?:else|more|further|i can|you(?:'d"
        r"| would)? (?:like|want|need))"
    ),
    r"\banything (?:more|further|you(?:'d| would)? (?:like|want))\b",
    r"\bdo(?:es)? (?:this|that|it) (?:help|answer|clarify|clear)\b|\bhope (?:this|that) helps\b",
    r"\b(?:more|further|additional) questions\b",
    r"\bneed (?:any )?(?:more |further )?(?:help|assistance)\b",
    *languages.COURTESIES,
)

# A decision that is asked for beside a courtesy: "Shall I merge it, or is there anything else?"
PLAIN_DECISION = _any(
    (
        r"\b(?:want me to|(?:should|shall) (?:i|we)|do you want|would you like (?:me )?to"
        r"|ready to)\b(?!.*\bhelp (?:you )?with anything)"
    ),
)

# A menu: keys in brackets before what they stand for.
MENU = _any(
    r"\b(?:select|choose|pick)\b[^.?!]{0,30}:? ?\[\w{1,8}\]",
    r"\[\w{1,8}\][^\[\]]{2,80}\[\w{1,8}\] ?\w",
    r"^\W*\[(?!x\])[a-z0-9#]{1,8}(?: [a-z0-9#]{1,12})?\] ?[\w—–-]",
)

# An offer or an invitation that leaves nothing open.
INVITATION = _any(
    (
        r"\blet me know if (?:you(?:'d|'ve|'re| would| have| need| want| like| run"
        r"| encounter| hit| see| notice| spot| find| get| experience| face| come| are"
        r"| still need| prefer to| disagree| ever| think of| do)|there(?:'s| is| are)"
        r"|anything|any\b|something|i (?:should (?:also|adjust|change|tweak|expand)|missed"
        r"|can|got|misunderstood|'ve)|further|more|questions|changes|this (?:needs|helps)"
        r"|that (?:helps|needs|answers)|it needs)"
    ),
    (
        r"\b(?:if|should|when|whenever) you(?:'d|'re|'ve| would| ever| later)? (?:rather"
        r"|want|wish|need|like|have|prefer|run|encounter|hit|see|get|find|notice"
        r"|change)\b.{0,160}\b(?:let me know|just (?:ask|say|tell|let)|tell me|say so"
        r"|feel free|ping me|happy to|i can|i could|i'd|i'll)\b"
    ),
    (
        r"^\W*(?:but |and |or |otherwise,? )?if you(?:'d|'re|'ve| would| ever| still"
        r"| also)? (?!approve|agree|confirm|are (?:happy|ok|okay|good|fine|ready)|happy|ok\b"
        r"|okay|good|fine|ready)\w+.{0,300}\b(?:say|send|tell|let|ask|i'll|i can|i will"
        r"|i could|we can|we could|happy|just|it's|ping|give)\b(?!.*\b(?:proceed|go ahead)\b)"
    ),
    r"\bif\b.{0,100}\b(?:anything|something)\b.{0,60}\b(?:send|tell|let|ping|share)\b",
    (
        r"\b(?:nothing|none|no (?:action|input)|not|doesn't|don't|never) (?:\w+ )?(?:need"
        r"|needs|needed|require|requires) your\b"
    ),
    (
        r"\b(?:your|the|for) (?:next|further|new) (?:instruction|instructions|task|tasks"
        r"|request|step|assignment)\b"
    ),
    r"\bsay the word if you\b|\bworth your call\b",
    r"\bfeel free\b|\bhappy to\b|\bglad to\b|\bdon't hesitate\b|\bjust ask\b",
    r"\blet me know how (?:it|this|that) (?:goes|works out)",
    r"\b(?:if|in case) (?:anything|something|there'?s|any)\b.{0,80}\blet me know\b",
    r"\blet me know should\b",
    *languages.INVITATIONS,
)

# --- requests that need no mark -----------------------------------------------------------------

_REQUESTS = (
    (
        r"\blet (?:me|us) know (?:what|which|how|where|who|when|once|whether|after"
        r"|as soon as|your|and (?:i|we)|by|here|the|about|on|either|with)\b"
    ),
    (
        r"\blet (?:me|us) know if (?:that|this|it|the|these|those|everything|i should|i can"
        r"|we should|we can|you (?:approve|agree|accept|can (?:see|reproduce|confirm)"
        r"|want (?:me )?to|want the|prefer|still (?:see|get)|'d (?:like|prefer) (?:me )?to"
        r"|would (?:like|prefer) (?:me )?to))\b(?! (?:helps|needs|answers))"
    ),
    r"\b(?:once|when|after|as soon as|until|tell me when|then)\b.{0,160}\blet (?:me|us) know\b",
    (
        r"^\W*(?:try|run|test|restart|check|refresh|reload|open"
        r"|please)\b.{0,200}\b(?:let (?:me|us) know|tell me|report back)\b"
    ),
    rf"{_START}(?:tell|show) (?:me|us)\b(?! (?:if you (?:need|want|have)))",
    r"\band (?:then )?(?:tell|show|send|give) me\b|\bcome back (?:and|with|here)\b",
    rf"{_START}report back\b",
    r"^\W*(?:just |please )?say (?:which|what|whether|how|where|when)\b",
    rf"{_START}(?:give|send|drop|hand|feed|point) (?:me|us)\b",
    (
        rf"{_START}(?:paste|share|send|post|upload|attach|provide) (?:it|them|the|your|that"
        rf"|those|any|a|an|me|here|what|both|your)\b.{{0,120}}(?:here|output|error|log|logs"
        rf"|result|results|screenshot|url|link|key|id|token|back|chat|below|details|content"
        rf"|contents|text|file|message|i'll|so i|and i|trace|response)\b"
    ),
    (
        r"^(?!\W*(?:i|i'll|we|it|the|this|that|they)\b).*\band (?:then )?(?:paste|share"
        r"|send|post|copy) (?:me |back )?(?:it|them|the|your"
        r"|that|any|what)\b"
    ),
    (
        rf"{_START}(?:reply|respond|answer) (?:with|to|yes|no|in|either|by|{HIDDEN}|the|each"
        rf"|these|these|below|here|a|[0-9])"
    ),
    (
        rf"(?:^\W*|, |\b(?:please|just|simply|then|or|and) )(?:type|say|enter) (?:{HIDDEN}"
        rf"|yes|no|go|ok|the word|continue|proceed|so and|[a-e0-9](?=\W*$| or | to ))"
    ),
    r"^\W*(?:just )?say the word (?:and|when|once)\b|\bsay the word\b(?!.*\bif you)",
    r"\bgive (?:me|us) (?:the|a|your) (?:go|green|word|ok|nod|thumbs|signal|approval|sign)",
    (
        rf"{_START}(?:choose|pick|select) (?:one|an? (?:option|number|letter|path|direction)"
        rf"|which|from|between|your|a number|any|whichever|the (?:one|option)|{HIDDEN}"
        rf"|[a-d0-9]\b)"
    ),
    r"(?:^\W*|\b(?:please|just|kindly) )(?:confirm|clarify|specify|advise|decide|approve)\b",
    (
        r"\bplease (?:also |just |first |then |do |either |carefully )*(?:confirm|provide"
        r"|share|paste|send|tell|let me|let us|choose|pick|select|specify|clarify|advise"
        r"|answer|reply|respond|approve|decide|upload|attach|describe|explain|give|indicate"
        r"|state|point me|show|list|name|type|report|authorize|authorise|grant|allow|accept"
        r"|authenticate|log ?in|sign in|elaborate|supply|submit|complete|fill|resend"
        r"|rephrase|copy|help me|review and|advise)\b"
    ),
    # Waiting for the reader
    (
        r"\b(?:wait|waiting|waits|hold|holding|holds|standing by|paused|pausing|stopping|stopped"
        r"|stop|stops|blocked)(?: here| now| only| there| further work| then)?"
        r" (?:for|on|until|pending|awaiting) you(?:r)?\b|\bawait(?:ing|s)? you(?:r)?\b"
    ),
    (
        r"(?:^\W*|\bi'?m |\bi am |\bcurrently |\bnow |\bstill "
        r"|\bgate:\W*)(?:wait(?:ing)?|hold(?:ing)?"
        r"|standing by|paused|pausing|stopp(?:ed|ing)|await(?:ing)?)(?: here| now)?"
        r"(?: for| on| until| pending)? (?:(?:the )?user|human|explicit|(?:a |the "
        r"|an )?(?:go(?:-ahead)?"
        r"|green light|ok|decision|reply|response|answer|sign-?off)|approval|confirmation"
        r"|(?:further )?instructions|direction)\b(?! (?:of|from the) )"
    ),
    r"\b(?:wait|hold|paus|stopp|stand)(?:ing|ed)?\b[^.?!]{0,60}\buntil you\b",
    r"\b(?:until|till) you (?:call|say|decide|confirm|tell|pick|choose|approve|answer|reply)\b",
    r"^\W*(?:i'm |we're |all )?ready to\b.{0,60}\bwhen(?:ever)? you are\b",
    (
        r"\bi'?(?:ll| will| am going to)? (?:wait|hold off|hold|pause|stop"
        r"|stand by)\b.{0,60}\b(?:for|until|till|before)\b.{0,40}\b(?:you|your|approval"
        r"|confirmation|go|ok|answer|reply|response|feedback|decision)\b"
    ),
    (
        r"\b(?:need|needs|require|requires|requiring|want|would like) your (?:explicit "
        r"|final |quick |manual )?(?:approval|decision|input|call|review|confirmation|go"
        r"|answer|answers|ok|okay|help|permission|sign|feedback|guidance|direction|choice"
        r"|judgment|judgement|permissions|attention|action|consent|clarification|take|steer"
        r"|eyes|authorization)\b"
    ),
    (
        r"\bi(?:'ll| will|'d)?(?: still| just| also| first)? need(?:s)? (?:you to|your"
        r"|the following|more (?:info|information|details|context)|some (?:info|information"
        r"|details|context|clarification)|to know|a (?:bit more|few|decision|little more"
        r"|clear|specific)|clarification|permission|approval|from you)\b"
    ),
    r"\b(?:from you|on your (?:side|end))\s*:?$",
    r"\bquestions? (?:for you|to you|before)\b.{0,40}:?$|\bdecisions? (?:for you|needed)\b",
    (
        r"\bneed(?:s)? (?:a |an )?(?:decision|answer|answers|input|approval|call"
        r"|reply) from you\b"
    ),
    (
        r"(?:\bover to you|(?:^|[—–;,:(.] ?|\bis |\bit's |\bentirely "
        r"|\bproduct )your (?:call|move|turn|choice|decision)\b(?! (?:sites|site|stack"
        r"|graph))|\bup to you|\bball(?:'s| is) in your court|\bblocked on you"
        r"|^\W*(?:ready when you are|you decide|you choose|pick one|choose one)\W*$"
        r"|\bon your (?:go|signal|word|mark|command))"
    ),
    (
        r"\b(?:with|after|upon|on|subject to|pending|given) your (?:go|go-ahead|approval|ok"
        r"|okay|permission|confirmation|blessing|sign-?off|answer|answers|reply|review"
        r"|response|input)\b"
    ),
    (
        r"^\W*(?:once|when|after|as soon as) (?:you|you've|you have|you're|that's|that is"
        r"|i have your|i get your|approved|confirmed)\b.{0,160}(?:, |— |– )(?:then )?(?:i'll"
        r"|i will|i can|we can|we'll|let me|tell|reply|come back|say)\b"
    ),
    (
        r"\b(?:i'll|i will|i can|i'd|we'll|we can)\b.{0,120}\b(?:once|as soon as|after"
        r"|the moment|when|only if|until) (?:you|i have your|i get your|i hear from you|that's|your"
        r"|approved|confirmed)\b"
    ),
    (
        r"\b(?:i|we|i'm|we're)(?: am| are)? (?:can't|cannot|can not|couldn't|unable to"
        r"|not able to) (?:proceed"
        r"|continue|go on|go further|start|move forward|do anything|complete"
        r"|make)\b.{0,80}\b(?:without|until|unless)\b"
    ),
    r"\bi (?:don't|do not) (?:have|see) (?:the )?(?:permission|permissions|access)\b",
    r"\bpermission (?:is needed|is required|needed|denied|was denied|request)\b",
    (
        r"\bbefore i (?:proceed|continue|start|begin|write|touch|go|implement|make|do|change"
        r"|dive|move|commit|push|merge|apply|run|delete|build|execute)\b.{0,80}:$"
    ),
    (
        r"\b(?:would you like|do you want|should i|shall i|would you prefer|want me to"
        r"|can you|could you|which (?:one|option|approach|of these)|what would you"
        r"|how would you like|are you|please|did you mean)\b[^?.!]{0,200}:$"
    ),
    (
        rf"^\W*(?:[\w ]{{1,30}}: ?)?(?:so |or |and )?(?:should|shall) (?:i|we|it|the|this"
        rf"|that|these|they|{HIDDEN})\b[^?.!]{{0,100}}:$"
    ),
    (
        r"\bready to (?:proceed|continue|start|begin|implement|execute|move on"
        r"|go)\b.{0,60}\b(?:when|once|as soon as) you\b"
    ),
    (
        r"^\W*(?:so |also,? )?(?:would you like me to|do you want me to|should i|shall i"
        r"|want me to|would you like to|which (?:one|option|approach|of these) (?:do|would"
        r"|should)|do you want to|how would you like|what would you like"
        r"|(?:can|could|would|will) you(?! see\b))\b"
    ),
    *languages.REQUESTS,
)
REQUEST = _any(_REQUESTS)

# Requests to do something, which may be no more than advice.
ACTION = _any(
    (
        r"\bplease (?:also |just |first |then )*(?:run|start|restart|open|install|check"
        r"|verify|try|test|execute|review|retry|make sure|ensure|go|enter|switch|enable"
        r"|launch|exit|create|add|set|update|reload|refresh|close|re-?run|delete|remove|fix"
        r"|configure|use|save|look)\b"
    ),
)

# Requests that no condition makes an invitation.
FIRM = _any(
    rf"\blet (?:me|us) know if you(?:'d like| would like| want)(?: me)? to {_GO_ON}\b",
    r"^\W*(?:just )?say the word (?:and|when|once)\b",
    r"[—–;,-] your call\W*$|\b(?:await|awaiting|waiting (?:for|on)) your\b"
    r"(?! (?:next|further|new)\b)",
    r"\bplease\b.{1,120}\band i(?:'ll| will)\b",
    (
        r"\blet (?:me|us) know\b.{0,120}\bbefore (?:i|we) (?:start|begin|proceed|continue|go"
        r"|move|write|commit|push|merge|build|implement|deploy|run)\b"
    ),
    r"^\W*(?:reply|respond|answer) with\b",
)

# What a reader is to tell or to hand over.
TO_ME = _any(
    r"\b(?:let|tell|send|show|give|ping|paste|mir|moi)\b.{0,40}\b(?:me|us|here|know)\b|我",
    *languages.TO_ME,
)

# Words that no English question of some length does without.
ENGLISH = frozenset(
    "a about an and any are as at be been but by can could did do does done for from had has have"
    " how i if in into is it its me more my need new next no not of on one only or other our out"
    " should so than that the their them then there these they this those to up us was we were what"
    " when where which who why will with would you your".split()
)

# What makes such a request advice.
ADVICE = _any(
    (
        r"\bplease (?:also |just |first |then )*(?:note|see|refer|be aware|keep|remember"
        r"|consider|read|find|feel|bear|ignore|allow (?:a|some|up)|give it)\b"
    ),
    r"\bto (?:see|pick up|apply|load|activate|view|get) (?:the|your|them|it|these|this|all)\b",
    r"\b(?:take|takes|taking) effect\b|\bfor (?:the )?changes\b",
    r"请(?:注意|参考|参阅|查看|查阅|见|放心|参照|记得|确保)|注意してください|ご覧ください|ご注意|참고해",
)

# A sentence that is a question without a question mark.
UNMARKED = _any(languages.UNMARKED)
