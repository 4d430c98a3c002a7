"""The words with which a sentence asks its reader for something, in many languages.

Tables of regular expressions, matched against one sentence in lower case, in which `¤` stands for
code, an address or a quotation. What a match means for a message is decided in `asks.py`.
"""

import re
from collections.abc import Iterable

HIDDEN = "¤"


def _any(*patterns: str | Iterable[str]) -> re.Pattern[str]:
    flat: list[str] = []
    for pattern in patterns:
        flat += [pattern] if isinstance(pattern, str) else pattern
    return re.compile("|".join(f"(?:{pattern})" for pattern in flat))


# Where an imperative may begin: at the sentence's beginning, or after a mark or one of these words.
_START = r"(?:^\W*|[,;:—–(] ?| - |\b(?:please|just|simply|then|kindly|or|so|and please) )"
_TELL = r"(?:tell|give|show|send|paste|share|report|drop|let me know|confirm|reply|post|copy)"
_GO_ON = r"(?:proceed|go ahead|continue|start|begin|move (?:on|forward)|implement|execute|merge|push|commit)"

# --- questions that want a decision, not an answer that the text gives itself -------------------

_DECISIONS = (
    # English
    r"\b(?:do|would|could|can|will|did|have|are|were|don't|wouldn't) (?:you|u|y'all)\b",
    r"\b(?:should|shall|may|can|could|do|did|must|might|am|would|will|have|are) (?:i|we)\b",
    r"\byou(?:'d| would)? (?:like|want|prefer|rather|mean|need)\b",
    r"^\W*(?:so |or |and |also,? |then |otherwise,? )*(?:want|wanna|need|care for|like) (?:me|us|it|to|this|that|the|an?|both|all|any)\b",
    r"^\W*(?:is it |is that |would it be |is this |are you )?(?:ok|okay|o\.k\.|alright|all right|fine|good|cool|safe|happy) (?:to|if|for|with|by)\b",
    r"\b(?:sound|sounds|look|looks|seem|seems|work|works)(?: [a-z]+)?(?: (?:good|right|ok|okay|reasonable|fair|correct|fine|like a plan|accurate|acceptable))(?: to you| so far)?\W*$",
    r"\bmake(?:s)? sense\b|\b(?:does|do|is|are) (?:this|that|these|those|it)\b.{0,60}\b(?:work|match|look|sound|fit|align|right|correct|expected|what you|you|ok|okay|acceptable|cover)\b",
    r"^\W*(?:are we |all )?(?:ready|good|clear|set) (?:to|for)\b",
    r"\b(?:you|your|you're|you've|you'd|you'll)\b|\bis (?:that|this|it) (?:a (?:concern|problem)|intend|intentional|desired|on purpose)",
    r"\b(?:right|correct|as (?:i )?described|agreed)\?\W*$|\bproceed\b|\bgo ahead\b|\bthoughts\?|\bgo\?$|\bagree(?:d)?\b|\bapprove(?:d)?\?",
    r"\b(?:shall|should(?! there be)|prefer|preference|preferences|rather)\b",
    r"\bwhich (?:one|ones|option|options|approach|way|of these|of the|would|do|should|version|path|direction|project|file|branch|task)\b",
    r"\byour (?:call|preference|choice|thoughts|take|opinion|decision|goal|use case|priority|intent|environment|name|email)\b",
    r"^\W*(?:what|how) about\b|\bany (?:preference|objection|concern|thoughts|feedback)",
    r"^\W*(?:and |or |also,? )?what (?:are|is|was|were|did|do|does|would|error|kind|type|should|specific|happens when)\b.{0,80}\byou\b",
    # German, Dutch, Swedish, Danish, Norwegian
    r"\b(?:soll|sollen|sollte|sollten|darf|dürfen|kann|können) (?:ich|wir|das|der|die|es)\b|\b(?:möchtest|möchten|willst|wollen|magst|brauchst|hast|bist|kannst|könntest|können|könnten|würdest|bevorzugst|bevorzugen|meinst|meinen) (?:du|sie|ihr)\b",
    r"\b(?:passt|reicht|ist|klingt|wäre) (?:das|dir|ihnen|es)\b|^\W*(?:welche|welchen|welches|welcher|einverstanden|wie soll|was soll|wo soll)",
    r"\b(?:zal|moet|mag|kan) ik\b|\b(?:wil|kun|kan|heb|bedoel) (?:je|jij|u)\b|\bakkoord\b|^\W*welke\b",
    r"\b(?:ska|kan|får|bör) jag\b|\b(?:vill|kan|har|menar) du\b|\b(?:skal|kan|må) jeg\b|\b(?:vil|kan|har) du\b|^\W*(?:vilken|vilket|hvilken|hvilket)\b",
    # French, Spanish, Portuguese, Italian
    r"\b(?:veux|voulez|souhaites|souhaitez|préfères|préférez|peux|pouvez|pourrais|pourriez|aimerais|aimeriez|as|avez|confirmes|confirmez)[- ](?:tu|vous)\b|\b(?:tu|vous) (?:veux|voulez|préfères|préférez|souhaitez|souhaites|confirmes|confirmez|valides|validez)\b|\bdois-je\b|\bje (?:continue|procède|lance|fais|peux|commence|passe|corrige|pousse|commite)|\bon (?:continue|fait|lance|part|passe)\b|\b(?:quel|quelle|quels|quelles|laquelle|lequel)\b|ça te (?:va|convient)|cela (?:te|vous) convient|d'accord|puis-je",
    r"\b(?:quieres|quiere|deseas|desea|prefieres|prefiere|procedo|sigo|continúo|continuo|debo|debería|puedo|podrías|puedes|te parece|le parece|lo hago|avanzo|empiezo|hago|cuál|cuáles|estás de acuerdo|confirmas|tienes)\b",
    r"\b(?:quer|queres|você quer|deseja|prefere|preferes|posso|devo|deveria|pode|poderia|prossigo|continuo|sigo|qual|quais|confirma|concorda|faz sentido|vamos)\b",
    r"\b(?:vuoi|vuole|volete|preferisci|preferisce|procedo|devo|posso|puoi|può|potresti|continuo|quale|quali|va bene|confermi|sei d'accordo)\b",
    # Polish, Czech, Turkish, Romanian, Hungarian, Finnish
    r"\b(?:czy|chcesz|chciałbyś|wolisz|mam|mogę|który|która|które|chceš|chcete|mám|mohu|můžu|který|která|které)\b",
    r"\b(?:ister misin|ister misiniz|istiyor musun|devam ed|edeyim mi|eyim mi|ayım mi|ayım mı|hangi|uygun mu|onaylıyor)",
    r"\b(?:vrei|doriți|preferi|să continui|care)\b|\b(?:szeretnéd|akarod|folytassam|melyik|melyiket)\b|\b(?:haluatko|jatkanko|teenkö|kumpi|sopiiko)\b",
    r"\b(?:apakah|haruskah|mau|bolehkah|yang mana)\b|\b(?:bạn có|có muốn|tôi có nên|nên)\b",
)  # fmt: skip
DECISION = _any(_DECISIONS)

# Questions that ask for a reason: most often the text that follows answers them.
WHY = _any(
    r"^\W*(?:but |and |so )?(?:why|how come|so what|what changed|what(?:'s| is) (?:new|next|changed|different|this|it)|how (?:does|do|did|is|it|to)|what (?:does|do) (?:this|that|it|these) (?:mean|do|give|buy)|what you)\b",
    r"^\W*(?:warum|wieso|weshalb|waarom|varför|hvorfor|pourquoi|¿?por qué|por que|perché|dlaczego|proč|neden|niçin|mengapa|kenapa|tại sao|почему|зачем|чому|γιατί|לָמָה|למה|لماذا|چرا|क्यों)\b",
    r"^\W*(?:为什么|為什麼|为何|なぜ|どうして|왜)",
)

# --- questions that are only polite -------------------------------------------------------------

COURTESY = _any(
    r"\banything else\b|\bwhat else\b|\bany (?:other |further |more |additional |follow[- ]?up )?(?:questions|changes|issues|adjustments|edits|tweaks|requests|comments)\b",
    r"\bis there (?:anything|something) (?:else|more|further|i can|you(?:'d| would)? (?:like|want|need))|\banything (?:more|further|you(?:'d| would)? (?:like|want))\b",
    r"\bdo(?:es)? (?:this|that|it) (?:help|answer|clarify|clear)\b|\bhope (?:this|that) helps\b",
    r"\b(?:more|further|additional) questions\b|\bneed (?:any )?(?:more |further )?(?:help|assistance)\b",
    r"\bsonst noch\b|\bnoch etwas\b|\bnoch fragen\b|\bweitere (?:fragen|wünsche)\b|\bnog iets\b|\bnog vragen\b|\bverder nog\b|\bnågot (?:annat|mer|ytterligare)\b|\bnoe (?:annet|mer)\b|\bandet\?",
    r"\bautre chose\b|\bd'autres questions\b|\balgo más\b|\balguna otra\b|\balgo mais\b|\bmais alguma\b|\b(?:qualcos'|c'è |serve )?altro\?|\baltre domande\b",
    r"\bcoś jeszcze\b|\bješt?ě něco\b|\bještě něco\b|\bbaşka (?:bir|soru|sorunuz)|\baltceva\b|\bmég valami\b|\bjotain muuta\b|\bada (?:lagi|yang lain|pertanyaan)\b|\bcòn gì\b|\bgì (?:khác|nữa)\b",
    r"(?:что-нибудь|что-то|чем-нибудь|чем-то|вопросы) ещ[её]|ещ[её] (?:что|чем|вопрос|какие)|щось ще|ще щось|чимось ще|κάτι άλλο|άλλες ερωτήσεις|עוד משהו|משהו נוסף|شيء آخر|أي أسئلة|چیز دیگری|سوال دیگری|कुछ और|อะไรอีก|อะไรเพิ่ม",
    r"(?:还有|還有|其他|其它|别的|別的).{0,12}(?:吗|嗎|么|呢|什么|什麼|问题|問題|需要|帮)|还需要.{0,8}(?:帮|其他|别的|什么)|有什么.{0,4}(?:可以|能).{0,4}帮|(?:他|ほか|外)に(?:も)?(?:何か|ご|ある|質問|必要|お)|何か(?:他|ほか)|더 (?:필요|도와|궁금|추가로)|다른 (?:도움|필요|질문|것)",
)  # fmt: skip

# A decision that is asked for beside a courtesy: "Shall I merge it, or is there anything else?"
PLAIN_DECISION = _any(
    r"\b(?:want me to|(?:should|shall) (?:i|we)|do you want|would you like (?:me )?to|ready to)\b(?!.*\bhelp (?:you )?with anything)"
)

# A menu: keys in brackets before what they stand for.
MENU = _any(
    r"\b(?:select|choose|pick)\b[^.?!]{0,30}:? ?\[\w{1,8}\]",
    r"\[\w{1,8}\][^\[\]]{2,80}\[\w{1,8}\] ?\w",
    r"^\W*\[(?!x\])[a-z0-9#]{1,8}(?: [a-z0-9#]{1,12})?\] ?[\w—–-]",
)

# An offer or an invitation that leaves nothing open.
INVITATION = _any(
    r"\blet me know if (?:you(?:'d|'ve|'re| would| have| need| want| like| run| encounter| hit| see| notice| spot| find| get| experience| face| come| are| still need| prefer to| disagree| ever| think of| do)|there(?:'s| is| are)|anything|any\b|something|i (?:should (?:also|adjust|change|tweak|expand)|missed|can|got|misunderstood|'ve)|further|more|questions|changes|this (?:needs|helps)|that (?:helps|needs|answers)|it needs)",
    r"\b(?:if|should|when|whenever) you(?:'d|'re|'ve| would| ever| later)? (?:rather|want|wish|need|like|have|prefer|run|encounter|hit|see|get|find|notice|change)\b.{0,160}\b(?:let me know|just (?:ask|say|tell|let)|tell me|say so|feel free|ping me|happy to|i can|i could|i'd|i'll)\b",
    r"^\W*(?:but |and |or |otherwise,? )?if you(?:'d|'re|'ve| would| ever| still| also)? (?!approve|agree|confirm|are (?:happy|ok|okay|good|fine|ready)|happy|ok\b|okay|good|fine|ready)\w+.{0,300}\b(?:say|send|tell|let|ask|i'll|i can|i will|i could|we can|we could|happy|just|it's|ping|give)\b(?!.*\b(?:proceed|go ahead)\b)",
    r"\bif\b.{0,100}\b(?:anything|something)\b.{0,60}\b(?:send|tell|let|ping|share)\b|\b(?:nothing|none|no (?:action|input)|not|doesn't|don't|never) (?:\w+ )?(?:need|needs|needed|require|requires) your\b",
    r"\bsay the word if you\b|\bworth your call\b",
    r"\bfeel free\b|\bhappy to\b|\bglad to\b|\bdon't hesitate\b|\bjust ask\b|\blet me know how (?:it|this|that) (?:goes|works out)",
    r"\b(?:if|in case) (?:anything|something|there'?s|any)\b.{0,80}\blet me know\b|\blet me know should\b",
    r"\b(?:sag|sagen sie|gib|lass).{0,40}\b(?:wenn|falls) (?:du|sie|noch|etwas|weitere|fragen|was)\b.{0,40}\b(?:brauchst|brauchen|möchtest|möchten|hast|haben|fragen|anders|änder)|\bmeld(?:e|en)\b|\blaat.{0,12}weten als\b|\bsäg till om\b|\bsi (?:tu|vous|besoin|nécessaire|quelque).{0,80}\b(?:n'hésite|dis|dites|fais|faites)|\bn'hésite|\bno dudes\b|\bno dude\b|\bsi (?:necesitas|quieres|tienes|deseas|hay|prefieres).{0,80}\b(?:avísa|avisa|dime|dímelo|házmelo|puedo)|\bavísame si (?:necesitas|quieres|tienes|hay|algo|deseas)|\bdime si (?:necesitas|quieres (?:algo|que (?:ajust|cambi|agreg))|tienes|hay|algo)|\bse (?:precisar|quiser|tiver|houver|desejar|algo).{0,80}\b(?:avise|diga|me|posso)|\b(?:avise|diga)(?:-me)? se (?:precisar|quiser|tiver|houver|algo)|\bse (?:vuoi|hai|serve|ti serve|qualcosa|desideri).{0,80}\b(?:dimmi|fammi|posso)|\bfammi sapere se (?:hai|vuoi|serve|c'è|qualcosa)|\bnon esitare\b",
    r"если (?:нужно|надо|что|будут|появятся|хотите|хочешь|захоч|понадоб|потреб|возник|есть).{0,80}|якщо (?:потрібно|щось|будуть|хоч).{0,80}|\bjeśli (?:chcesz|potrzeb|coś|masz).{0,80}|\bpokud (?:chce|potřeb|něco|máte).{0,80}|\beğer .{0,80}(?:istersen|isterseniz|olursa)|\b(?:istersen|isterseniz)\b",
    r"(?:如有|如果(?:你|您)?(?:还|還)?(?:有|需要|想|要|发现|遇到|觉得|希望)|若(?:有|需)|有任何|需要的话|有问题|有疑问|随时|隨時)|(?:ありましたら|あれば|必要であれば|必要なら|不明|ご希望|よろしければ|気軽|いつでも)|(?:있으시?면|필요하(?:시)?면|원하(?:시)?면|언제든)|إذا (?:كان|كنت|أردت|احتجت|رغبت)|αν (?:θέλεις|χρειάζ|θες|έχεις|κάτι)|यदि|अगर|หาก|ถ้า|nếu (?:bạn|cần|có|muốn)|jika (?:ada|anda|perlu|ingin|kamu)|kalau (?:ada|mau|perlu)",
)  # fmt: skip

# --- requests that need no mark -----------------------------------------------------------------

_REQUESTS = (
    r"\blet (?:me|us) know (?:what|which|how|where|who|when|once|whether|after|as soon as|your|and (?:i|we)|by|here|the|about|on|either|with)\b",
    r"\blet (?:me|us) know if (?:that|this|it|the|these|those|everything|i should|i can|we should|we can|you (?:approve|agree|accept|can (?:see|reproduce|confirm)|want (?:me )?to|want the|prefer|still (?:see|get)|'d (?:like|prefer) (?:me )?to|would (?:like|prefer) (?:me )?to))\b(?! (?:helps|needs|answers))",
    rf"\blet (?:me|us) know if you(?:'d like| would like| want)(?: me)? to {_GO_ON}\b",
    r"\b(?:once|when|after|as soon as|until|tell me when|then)\b.{0,160}\blet (?:me|us) know\b",
    r"^\W*(?:try|run|test|restart|check|refresh|reload|open|please)\b.{0,200}\b(?:let (?:me|us) know|tell me|report back)\b",
    rf"{_START}(?:tell|show) (?:me|us)\b(?! (?:if you (?:need|want|have)))",
    r"\band (?:then )?(?:tell|show|send|give) me\b|\bcome back (?:and|with|here)\b",
    rf"{_START}report back\b",
    rf"{_START}(?:give|send|drop|hand|feed|point) (?:me|us)\b|{_START}(?:paste|share|send|post|upload|attach|provide) (?:it|them|the|your|that|those|any|a|an|me|here|what|both|your)\b.{{0,120}}(?:here|output|error|log|logs|result|results|screenshot|url|link|key|id|token|back|chat|below|details|content|contents|text|file|message|i'll|so i|and i|trace|response)\b",
    r"\band (?:then )?(?:paste|share|send|post|copy) (?:me |back )?(?:it|them|the|your|that|any|what)\b",
    rf"{_START}(?:reply|respond|answer) (?:with|to|yes|no|in|either|by|{HIDDEN}|the|each|these|these|below|here|a|[0-9])",
    rf"(?:^\W*|, |\b(?:please|just|simply|then|or|and) )(?:type|say|enter) (?:{HIDDEN}|yes|no|go|ok|the word|continue|proceed|so and|[a-e0-9](?=\W*$| or | to ))",
    r"^\W*(?:just )?say the word (?:and|when|once)\b|\bsay the word\b(?!.*\bif you)|\bgive (?:me|us) (?:the|a|your) (?:go|green|word|ok|nod|thumbs|signal|approval|sign)",
    rf"{_START}(?:choose|pick|select) (?:one|an? (?:option|number|letter|path|direction)|which|from|between|your|a number|any|whichever|the (?:one|option)|{HIDDEN}|[a-d0-9]\b)",
    r"(?:^\W*|\b(?:please|just|kindly|then) )(?:confirm|clarify|specify|advise|decide|approve)\b",
    r"\bplease (?:also |just |first |then |do |either |carefully )*(?:confirm|provide|share|paste|send|tell|let me|let us|choose|pick|select|specify|clarify|advise|answer|reply|respond|approve|decide|upload|attach|describe|explain|give|indicate|state|point me|show|list|name|type|report|authorize|authorise|grant|allow|accept|authenticate|log ?in|sign in|elaborate|supply|submit|complete|fill|resend|rephrase|copy|help me|review and|advise)\b",
    # Waiting for the reader
    r"\b(?:wait|waiting|waits|hold|holding|holds|standing by|paused|pausing|stopping|stopped|stop|stops|blocked|pending)(?: here| now| only| there| further work| then)? ?(?:for|on|until|pending|awaiting)? (?:your|you|the user|user|human|explicit|a (?:go|decision|reply|response|human)|approval|confirmation|sign-?off|further instructions|instructions|direction|(?:the |an? )?(?:go-ahead|green light|go|ok|answer|reply|decision from))\b",
    r"\b(?:await|awaiting|awaits) (?:your|you|the user|user|further|approval|confirmation|instruction|instructions|(?:the |a )?(?:go|decision|reply|response|answer|sign-?off|green)|direction|review|human|explicit|input|next)",
    r"\bi'?(?:ll| will| am going to)? (?:wait|hold off|hold|pause|stop|stand by)\b.{0,60}\b(?:for|until|till|before)\b.{0,40}\b(?:you|your|approval|confirmation|go|ok|answer|reply|response|feedback|decision)\b",
    r"\b(?:need|needs|require|requires|requiring|want|would like) your (?:explicit |final |quick |manual )?(?:approval|decision|input|call|review|confirmation|go|answer|answers|ok|okay|help|permission|sign|feedback|guidance|direction|choice|judgment|judgement|permissions|attention|action|consent|clarification|take|steer|eyes|authorization)\b",
    r"\bi(?:'ll| will|'d)?(?: still| just| also| first)? need(?:s)? (?:you to|your|the following|more (?:info|information|details|context)|some (?:info|information|details|context|clarification)|to know|a (?:bit more|few|decision|little more|clear|specific)|clarification|permission|approval|from you)\b",
    r"\b(?:from you|on your (?:side|end))\s*:?$|\bquestions? (?:for you|to you|before)\b.{0,40}:?$|\bdecisions? (?:for you|needed)\b|\bneed(?:s)? (?:a |an )?(?:decision|answer|answers|input|approval|call|reply) from you\b",
    r"(?:\bover to you|(?:^|[—–;,:(.] ?|\bis |\bit's |\bentirely |\bproduct )your (?:call|move|turn|choice|decision)\b(?! (?:sites|site|stack|graph))|\bup to you|\bball(?:'s| is) in your court|\bblocked on you|^\W*(?:ready when you are|you decide|you choose|pick one|choose one)\W*$|\bon your (?:go|signal|word|mark|command))",
    r"\b(?:with|after|upon|on|subject to|pending|given) your (?:go|go-ahead|approval|ok|okay|permission|confirmation|blessing|sign-?off|answer|answers|reply|review|response|input)\b",
    r"^\W*(?:once|when|after|as soon as) (?:you|you've|you have|you're|that's|that is|i have your|i get your|approved|confirmed)\b.{0,160}(?:, |— |– )(?:then )?(?:i'll|i will|i can|we can|we'll|let me|tell|reply|come back|say)\b",
    r"\b(?:i'll|i will|i can|i'd|we'll|we can)\b.{0,120}\b(?:once|as soon as|after|the moment|when|only if|until) (?:you|i have your|i get your|i hear|that's|your|approved|confirmed)\b",
    r"\b(?:can't|cannot|can not|couldn't|won't|unable to|not able to) (?:proceed|continue|go on|go further|start|move forward|do anything|complete|make)\b.{0,80}\b(?:without|until|unless)\b",
    r"\bi (?:don't|do not) (?:have|see) (?:the )?(?:permission|permissions|access)\b|\bpermission (?:is needed|is required|needed|denied|was denied|request)\b",
    r"\bbefore i (?:proceed|continue|start|begin|write|touch|go|implement|make|do|change|dive|move|commit|push|merge|apply|run|delete|build|execute)\b.{0,80}:$",
    r"\b(?:would you like|do you want|should i|shall i|would you prefer|want me to|can you|could you|which (?:one|option|approach|of these)|what would you|how would you like|are you|please|did you mean)\b[^?.!]{0,200}:$",
    rf"^\W*(?:[\w ]{{1,30}}: ?)?(?:so |or |and )?(?:should|shall) (?:i|we|it|the|this|that|these|they|{HIDDEN})\b[^?.!]{{1,100}}:$|\bready to (?:proceed|continue|start|begin|implement|execute|move on|go)\b.{{0,60}}\b(?:when|whenever|once|as soon as) you\b",
    r"^\W*(?:so |also,? )?(?:would you like me to|do you want me to|should i|shall i|want me to|would you like to|which (?:one|option|approach|of these) (?:do|would|should)|do you want to|how would you like|what would you like|can you (?:confirm|share|tell|run|check|paste|provide|send)|could you (?:confirm|share|tell|run|check|paste|provide|send|please))\b",
    # German, Dutch, Nordic
    r"\bbitte (?:bestätig|wähl|teil|nenn|schick|antwort|sag|gib|geben sie|lass|entscheid|prüf|führ|start|kopier|füg|mach|beschreib|schreib|zeig|gebt|klär|freigeben|um (?:deine|ihre|freigabe|bestätigung|rückmeldung|antwort))",
    r"\b(?:ich )?(?:warte|wartet|warten) (?:auf|bis) (?:dein|deine|deinen|ihre|ihren|ihr|eure|freigabe|bestätigung|du|sie|rückmeldung|antwort)|\bsag(?:t|en sie)? (?:mir )?(?:einfach )?(?:bescheid, (?:sobald|wenn du (?:fertig|so ?weit|gespeichert|bereit)|ob|welche|was|wie)|mir|welche|ob|was|wie|kurz)|\b(?:sag|gib|geben sie|lass|lassen sie)\b.{0,30}\b(?:bescheid|rückmeldung|wissen)\b|\bantworte (?:mit|einfach)|\bdeine (?:entscheidung|wahl|freigabe)\b|\bbrauche (?:ich )?(?:deine|ihre|noch deine|noch ihre)|\bsobald (?:du|sie)\b.{0,100}\b(?:mache|fahre|starte|setze|kann|werde) ich\b",
    r"\blaat (?:het )?(?:me|mij|ons)?.{0,20}weten (?:welke|wat|of|wanneer|zodra|hoe|waar|als je (?:klaar|het))|\b(?:ik )?wacht op (?:je|jouw|uw|jullie)|\bbevestig\b|\bantwoord met\b|\bgeef (?:aan|me)\b|\bgraag (?:je|jouw|uw)\b|\blaat het me weten$|\bzodra je\b.{0,80}\blaat\b",
    r"\blåt mig veta (?:vilken|vad|när|om du vill att jag (?:ska )?(?:fort|kör)|hur)|\bsäg till när\b|\bjag väntar på (?:ditt|din)|\bbekräfta\b|\bsvara med\b|\blad mig vide\b|\bla meg vite\b|\bjeg venter på\b|\bbekreft\b|\bbekræft\b",
    # French, Spanish, Portuguese, Italian
    r"\b(?:dis|dites)-(?:moi|nous)\b|\b(?:fais|faites)-moi (?:savoir|signe)\b|\bprév(?:iens|enez)-moi\b|\btiens-moi au courant\b|\bconfirme[zr]?(?:-moi)?\b.{0,80}(?:avant|pour que|si|que|\.|$)|\bmerci de (?:confirmer|me|préciser|valider|choisir|répondre|fournir|lancer|relancer|coller)|\bveuillez\b|\bj'attends (?:ton|ta|tes|votre|vos|que)|\ben attente d(?:e|u|') ?(?:ton|ta|votre|vos|feu vert)|\b(?:réponds|répondez) (?:par|avec|moi|simplement)|\b(?:choisis|choisissez)\b|\bdonne[zs]?-moi\b|\benvoie[zs]?-moi\b|\bcolle[zs]?\b.{0,60}\b(?:ici|sortie|résultat)|\bj'ai besoin (?:que (?:tu|vous)|de (?:ton|votre|ta))",
    r"\bdime\b|\bdígame\b|\bav[ií]s(?:a|ame|e|eme|arme) (?:cuando|en cuanto|si (?:quieres que (?:siga|continúe|proceda|avance)|procedo|sigo|funciona|te parece)|cuál|qué|cómo)|\bconf[ií]rma(?:me|lo)?\b|\bconfirme\b|\bpor favor,? (?:confirma|indica|elige|envía|comparte|ejecuta|proporciona|dime|revisa|responde|selecciona|escribe|pega|prueba|reinicia)|\b(?:espero|esperando|a la espera de|quedo a la espera de|aguardo) (?:tu|su|tus|tu|que (?:me|confirmes))|\bnecesito (?:que|tu|saber|su)\b|\b(?:responde|contesta|responda) (?:con|sí|no|a)\b|\b(?:elige|escoge|indica|indícame|pásame|mándame|envíame|pégame)\b|\bh[aá]zme(?:lo)? saber\b|\bcuando (?:lo )?(?:hayas|termines|tengas|esté|lo).{0,80}\b(?:avísa|avisa|dime)",
    r"\b(?:me (?:diga|diz|avise|avisa|informe|confirme|confirma|fala|manda|envie|passe|passa)|diga-me|diz-me|avise-me|avisa-me|confirme|confirma) (?!o funcionamento)|\bpor favor,? (?:confirme|confirma|escolha|envie|informe|execute|responda|forneça|verifique|compartilhe|indique|cole|rode)|\b(?:aguardo|aguardando|à espera d[eao]|esperando) (?:a |o |pela |pelo |por )?(?:sua|seu|tua|teu|você|confirmação|aprovação|resposta)|\bresponda (?:com|a)\b|\b(?:escolha|escolhe)\b|\bpreciso (?:que você|da sua|do seu|saber|que)\b|\bassim que (?:você|estiver|tiver|terminar)",
    r"\bdimmi\b|\bmi dica\b|\bfammi sapere (?:quando|quale|cosa|come|se (?:procedo|devo|va bene|posso|funziona))|\bconferma(?:mi)?\b(?:,| (?:se|che|per|prima|quale|e )|\.?$)|\b(?:attendo|aspetto|in attesa d(?:i|el|ella)) (?:la |il |un |una )?(?:tua|tuo|sua|suo|tue|conferma|risposta|via libera)|\brispondi (?:con|a)\b|\bscegli\b|\bper favore,? (?:conferma|indica|invia|esegui|scegli|rispondi)|\bho bisogno (?:che tu|della tua|del tuo)\b|\bavvisami\b|\bappena (?:hai|avrai)\b",
    # Slavic, Turkish, Hungarian, Romanian, Finnish, Greek
    r"(?:^|[\s,.:;—–«(-])(?:подтверди(?:те)?|сообщи(?:те)?|скажи(?:те)?|напиши(?:те)?|уточни(?:те)?|выбери(?:те)?|ответь(?:те)?|пришли(?:те)?|покажи(?:те)?|укажи(?:те)?|дай(?:те)? (?:знать|мне|добро|команду|отмашку)|запусти(?:те)? .{0,60}(?:пришли|покажи|скажи|сообщи|напиши)|реши(?:те)?|прошу|проверь(?:те)? и|попробуй(?:те)? .{0,60}(?:скажи|напиши|сообщи))(?=[\s,.:;!?—–-]|$)|жду (?:ваш|тво|подтвер|отв|реш|указ|коман|одобр|вас|тебя|от )|ожидаю (?:ваш|тво|подтвер|отв|реш|одобр)|нужн[оаы] (?:ваш|тво)|за (?:вами|тобой) (?:выбор|решение)|підтверд(?:и|іть)|повідом(?:те|ь)?|скаж(?:и|іть)|оберіть|вибери|чекаю (?:на )?(?:ваш|тво|підтвер)",
    r"\bdaj(?:cie)? (?:mi )?znać\b|\bpotwierdź\b|\bczekam na\b|\bodpowiedz\b|\bwybierz\b|\bpowiedz\b|\bnapisz\b|\bproszę (?:o|potwierd|wybr|pod)|\bdej(?:te)? (?:mi )?vědět\b|\bpotvrď(?:te)?\b|\bčekám na\b|\bvyber(?:te)?\b|\bodpověz|\břekni\b|\bprosím (?:potvr|vyber|o)",
    r"\b(?:onaylayın|onayla|onaylar|bildirin|bildir|söyle|söyleyin|haber ver|haber verin|yanıtla|yanıtlayın|seçin|belirtin|paylaşın|paylaş)\b|(?:onayınızı|onayını|yanıtınızı|cevabını|cevabınızı|kararını|kararınızı|talimat\w*) bekliyorum|\blütfen (?:onay|bildir|seç|söyle|payl|belirt|çalıştır|kontrol)",
    r"\b(?:erősítsd|erősítse) meg\b|\bszólj\b|\bvárom (?:a |az )|\b(?:confirmă|confirmați|spune-mi|spuneți-mi|anunță-mă|aștept)\b|\b(?:vahvista|kerro|ilmoita|odotan|valitse)\b",
    r"(?:^|[\s,.])(?:πες|πείτε) (?:μου)?|επιβεβαίωσ|επιβεβαιώστε|περιμένω (?:την|το|τη|να)|ενημέρωσ(?:ε|τε) με|ενημερώστε με|διάλεξε|διαλέξτε|επίλεξε|επιλέξτε|απάντησε|απαντήστε|παρακαλώ (?:επι|πες|πείτε|δώ|στεί|διά|απα|τρέξ)|στείλε μου|δώσε μου",
    # Chinese, Japanese, Korean
    r"(?:请|請|麻烦|麻煩|烦请|劳烦)(?:您|你|先|帮忙|再|帮我|先行)*(?:确认|確認|选择|選擇|告诉|告訴|告知|提供|回复|回覆|答复|决定|決定|批准|指示|说明一下|補充|补充|授权|授權|审批|審批|审核|審核|发送|發送|发给|粘贴|貼上|上传|上傳|输入|輸入|回答|给我|給我|指定|明确|澄清|反馈|同意|检查.{0,30}(?:告诉|反馈|回复)|运行.{0,60}(?:告诉|贴|发|粘)|重启.{0,40}(?:告诉|再试)|试.{0,30}(?:告诉|反馈))|(?:等待|等|静候|靜候|待)(?:您|你|用户)(?:的)?.{0,6}(?:确认|確認|指示|回复|回覆|批准|决定|決定|反馈|答复|选择|授权|同意|审核|审批|点头|开口|一句话|消息|意见|指令)|(?:告诉|告訴|通知)我|(?:需要|得)(?:您|你)(?:来|的|先|帮忙|提供|确认|決定|决定)|(?:由|看)(?:您|你)(?:来)?(?:决定|決定|选)|回复.{0,12}(?:即可|就|我)|(?:你|您)(?:来)?(?:定|决定|拍板|选)(?:一下|吧)?[。.!！]?$|(?:确认|同意|批准|可以|没问题)(?:后|之后|的话|了)?,?，?(?:我|就)(?:再|就|会|将|来|立即|马上|开始|继续)",
    r"(?:教えて|確認して|ご確認|選んで|選択して|お選び|返信して|返答して|お知らせ|知らせて|指示して|指示を|決めて|実行して|試して|送って|貼り付けて|貼って|共有して|入力して|お伝え|聞かせて|お聞かせ|回答して|ご回答|承認して|ご承認|提供して|ご提供|ご連絡|指定して|ご指定|言って|ご指示|ご判断|ご検討|ご教示|お願い|提示して|起動して)(?:ください|下さい|もらえ|いただけ|いただき|頂け|くださいませ|します|致します|いたします|ね|。|$)|(?:お待ちして|待って|待ちます|お待ちします|待機して)|(?:承認|確認|指示|返答|返信|回答|ご判断|判断|許可|go|ok)(?:待ち|を待)|(?:決まったら|よければ|良ければ|問題なければ|ok ?なら).{0,40}(?:ください|進め|始め|着手|実装|します)",
    r"(?:알려|확인해|선택해|답변해|답해|말씀해|결정해|골라|보내|공유해|입력해|지정해|승인해|허가해|붙여넣어|제공해|실행해|말해|판단해|회신해|정해)\s?(?:주세요|주십시오|줘|주시면|주실|주시기|달라)|(?:승인|확인|답변|지시|결정|응답|선택|입력|회신)(?:을|를)?\s?(?:기다리|대기|바랍니다|부탁|기다립)|(?:기다리겠|기다릴게|기다립니다)|부탁(?:드립|해)",
    # Arabic, Hebrew, Persian, Hindi, Thai, Vietnamese, Indonesian
    r"أخبرني|أخبرنا|أعلمني|يرجى (?:ال)?(?:تأكيد|تزويد|اختيار|إرسال|تحديد|الرد|إخبار|تشغيل|مراجعة|الموافقة)|(?:ال)?رجاء(?:ً)? (?:ال)?(?:تأكيد|اختيار|أكد|إرسال|تحديد|الرد|تشغيل)|من فضلك|(?:ب|في )?انتظار(?:ك| (?:رد|موافق|تأكيد|قرار|تعليمات))|أنتظر|تأكيدك|موافقتك|אנא (?:אשר|בחר|שלח|ספק|הגד|ציין)|תגיד לי|תאשר|אשר(?:י)? לי|ממתין ל|מחכה ל|לطفا|لطفاً|لطفا|به من بگو|اطلاع (?:دهید|بده)|منتظر|تأیید کن|कृपया .{0,60}(?:बताएं|बताइए|पुष्टि|चुनें|भेजें|दें|करें|जवाब)|मुझे बता|पुष्टि कर|(?:आपकी|आपके) .{0,30}(?:प्रतीक्षा|इंतज़ार|इंतजार)",
    r"(?:กรุณา|โปรด|ช่วย)(?:ยืนยัน|แจ้ง|เลือก|บอก|ส่ง|ระบุ|ตอบ|รัน|อนุมัติ)|บอก(?:ผม|ฉัน|หน่อย|เรา)|รอ(?:การ)?(?:ยืนยัน|อนุมัติ|คำตอบ|คุณ)|(?:vui lòng|xin|hãy|làm ơn) (?:xác nhận|cho|chọn|gửi|cung cấp|trả lời|chạy|kiểm tra và|phê duyệt)|cho (?:tôi|mình|em) biết|(?:đang )?chờ (?:bạn|xác nhận|phản hồi|anh|chị)|(?:mohon|tolong|silakan|harap) (?:konfirmasi|pilih|beri|kirim|berikan|jawab|tentukan|jalankan|balas|kabari|sebutkan|bagikan)|(?:beri ?tahu|kabari|katakan|kasih tahu) (?:saya|aku)|(?:menunggu|tunggu) (?:konfirmasi|persetujuan|jawaban|keputusan|arahan|instruksi|respon)",
)  # fmt: skip
REQUEST = _any(_REQUESTS)

# Requests to do something, which may be no more than advice.
ACTION = _any(
    r"\bplease (?:also |just |first |then )*(?:run|start|restart|open|install|check|verify|try|test|execute|review|retry|make sure|ensure|go|enter|switch|enable|launch|exit|create|add|set|update|reload|refresh|close|re-?run|delete|remove|fix|configure|use|save|look)\b",
)

# Requests that no condition makes an invitation.
FIRM = _any(
    r"^\W*(?:just )?say the word (?:and|when|once)\b",
    r"[—–;,-] your call\W*$|\b(?:await|awaiting|waiting (?:for|on)) your\b|^\W*(?:reply|respond|answer) with\b",
)

# What makes such a request advice.
ADVICE = _any(
    r"\bplease (?:also |just |first |then )*(?:note|see|refer|be aware|keep|remember|consider|read|find|feel|bear|ignore|allow (?:a|some|up)|give it)\b",
    r"\bto (?:see|pick up|apply|load|activate|view|get) (?:the|your|them|it|these|this|all)\b|\b(?:take|takes|taking) effect\b|\bfor (?:the )?changes\b",
    r"请(?:注意|参考|参阅|查看|查阅|见|放心|参照|记得|确保)|注意してください|ご覧ください|ご注意|참고해",
)

# A sentence that is a question without a question mark.
UNMARKED = _any(
    r"(?:吗|嗎|么|呢|吧|好不好|行不行|对不对|可以不|没有)\s*[。.!！~…]*$(?<!什么)(?<!怎么)(?<!多么)(?<!这么)(?<!那么)(?<!要么)(?<!没有)(?<!吧)",
    r"^(?:那|那么|另外|接下来|所以|，|,)*(?:要不要|是否(?:需要|继续|要|可以|现在|同意|采用|按|应该)|需不需要|需要我|可否|能否|能不能).{0,80}[。.!！]*$",
    r"(?:です|ます|でしょう|ましょう|ません|ました|でいい|ていい|良い|よい|よろしい|いかがです|どうします|どれに|どちらに|のでしょう)か\s*[。.!！…]*$(?<!かどうか。)|(?:しよう|しましょう)か[。.]*$|どうする[。.]*$",
    r"(?:까요|나요|습니까|을까|할까|ㄹ까|인가요|는지요|건가요)\s*[.。!…]*$",
    r"(?:ไหม|มั้ย|หรือไม่|หรือเปล่า|หรือยัง)(?:ครับ|คะ|ค่ะ|นะ)?\s*[.!]*$",
    r"^\s*(?:هل|آیا)\s.{2,160}$",
)
