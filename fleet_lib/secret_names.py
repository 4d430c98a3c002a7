"""What only a name makes a secret: "password: …", `API_KEY=…`, "the token is …", a cell of a table.

The last word of a name is searched for, then what stands before it and after it is looked at, so
the cost grows with the number of such words and not with the length of the text. The shapes are
tried on a copy of the text without markup; `raw` says where there was markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

from fleet_lib.compiled import compiled
from fleet_lib.records import Record
from fleet_lib.secret_values import is_key, is_password, is_random, is_said

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re

Span = tuple[int, int]


class _Name(Record):
    word: str  # the last word of the name, in small letters
    is_password: bool
    before: str = ""  # an expression; without it, the word alone is no name


_PASSWORDS = (
    *"password passwd passwort passcode passphrase pwd kennwort contraseña contrasena senha".split(),
    *"wachtwoord lösenord passord adgangskode salasana hasło heslo jelszó şifre parola".split(),
    *"пароль пароля паролем 密码 密碼 口令 パスワード 비밀번호 암호 รหัสผ่าน पासवर्ड סיסמה".split(),
    *("mot de passe", "palavra-passe", "mật khẩu", "كلمة المرور", "κωδικός"),
)
_SECRETS = (
    *"secret token credential credentials authorization geheimnis secreto segredo jeton".split(),
    *"apikey accesskey secretkey privatekey authkey connectionstring key_base".split(),
    *"токен токена секрет 密钥 密鑰 秘钥 令牌 トークン シークレット 秘密鍵 apiキー 토큰 시크릿".split(),
    *("clé d'api", "clé api", "clave secreta", "clave de api", "clave api", "chave secreta"),
    *("chave de api", "chave da api", "chave api", "chiave api", "chiave segreta", "ключ api"),
    *("api 키", "api키", "clé secrète"),
)
# "key" is the end of many words. These before it make it a secret one.
_BEFORE_KEY = (
    r"(?:api|app|application|access|secret|private|signing|signature|encryption|decryption|master|auth"
    r"|authentication|account|shared|service|licen[cs]e|webhook|deploy|subscription|admin|root|bot"
    r"|hmac|jwt|cookie|host|ingest|integration|installation|recovery|unseal|preshared|pre-shared"
    r"|activation|consumer|project|personal|server|functions?|sdk|security|session|maps|restricted"
    r"|openai|anthropic|gemini|stripe|sendgrid|cohere|mistral|datadog|azure|aws|google|ssh|wallet"
    r"|geheime[rns]?)[ _.-]{0,2}\Z"
)
_BEFORE_ENVIRONMENT_KEY = (
    r"(?<!public)(?<!pub)(?<!primary)(?<!foreign)(?<!cache)(?<!sort)(?<!partition)(?<!query)"
    r"(?<!idempotency)(?<!unique)(?<!routing)(?<!group)(?<!object)(?<!row)(?<!map)(?<!state)"
    r"(?<!dedup)(?<!lock)(?<!hash)(?<!registry)(?<!index)(?<!publishable)(?<=[a-z0-9])_\Z"
)
_BEFORE_SHORT = r"(?:[a-z0-9][_.-]|(?<![a-z])(?:db|smtp|mail|user|admin|root|ftp)|(?:^|[\s\"'`({,;|*&?])-{0,2})\Z"
_NAMES = (
    *(_Name(word, True) for word in _PASSWORDS),
    *(_Name(word, False) for word in _SECRETS),
    _Name("pass", True, _BEFORE_SHORT),
    _Name("clave", True),
    _Name("key", False, _BEFORE_KEY),
    _Name("schlüssel", False, r"(?:api|geheimer|privater|zugangs|zugriffs)[ -]?\Z"),
    _Name("ключ", False, r"(?:api|секретный|приватный|закрытый)[ -]?\Z"),
)
_LOGINS = (
    *"login credentials creds zugangsdaten логин username user benutzer benutzername usuario".split(),
    *"usuário utilisateur identifiant account 账号 用户名 アカウント".split(),
)
_MNEMONICS = ("mnemonic", "seed phrase", "seed_phrase", "recovery phrase", "seed words")


def _by_beginning(names: Iterable[_Name]) -> dict[str, list[_Name]]:
    """The words by their first three letters; those that have fewer under ""."""
    table: dict[str, list[_Name]] = {"": []}
    for name in names:
        table.setdefault(name.word[:3] if len(name.word) >= 3 else "", []).append(name)
    return table


_BY_BEGINNING = _by_beginning(_NAMES)
_LOGINS_BY_BEGINNING = _by_beginning(_Name(word, True) for word in _LOGINS)

_LOOKED_AT = 100  # characters of a value; what is random there is random
_GAP = r"[ \t]{0,12}"
# The value's last sign is looked at later: a full stop may end the sentence.
_VALUE = (
    r"(?P<value>[^\s\"'`,;<>(){}\[\]&|=：。，、；（）「」]"
    r"[^\s\"'`,;<>{}\[\]&|。，、；（）「」]{3,400})"
)
_SUFFIX = (
    r"s?(?:[_-](?:base|value|prod|production|dev|staging|test|live|new|old|primary|secondary|main"
    r"|backup|default|string|v?[0-9]{1,2}))?[0-9]?"
)
# "(temporary)", "for the admin user"
_ASIDE = (
    r"(?:[ \t]{0,3}\([^()\n]{0,60}\)"
    r"|[ \t]{1,4}(?:for|of|to|in|on|für|von|para|de|del|da|do|pour|per|di|для)[ \t][^:=\n|;]{0,50}?)?"
)
_SIGN = (
    r"[\])]{0,2}[ \t]{0,2}(?:[:=：＝]{1,2}=?>?|:=|=>|->|→|⇒|\||>"
    r"|,?[ \t]{1,3}value[ \t]{0,4}[:=]|\n[ \t]{0,20}value[ \t]{0,4}[:=])"
)
_IS = (
    r"(?:is|was|to|will be|ist|lautet|es|est|é|è|jest|является|это|equals"
    r"|(?:(?:is|was|has been|have been|wurde|now)[ \t])?(?:now[ \t])?(?:re)?(?:set|changed|rotated)[ \t]to"
    r"|wurde auf)(?:[ \t](?:now|set to|changed to|still|jetzt|ahora|maintenant))?[ \t]{0,3}:?"
)
_QUOTED = (
    rf"{_SUFFIX}[\"'`*]{{0,3}}[ \t]{{0,8}}[:=]{{1,2}}>?[ \t]{{0,8}}(?P<quote>[\"'`])"
    r"(?P<value>[^\"'`\n]{8,200})(?P=quote)"
)
_ASSIGNED = rf"{_SUFFIX}{_GAP}{_ASIDE}{_GAP}{_SIGN}{_GAP}{_VALUE}"
_SAID = rf"{_SUFFIX}{_ASIDE}[ \t]{{1,4}}(?:{_IS}|[—–-]|--)[ \t]{{1,4}}{_VALUE}"
_SAID_EAST = rf"{_GAP}(?:是|为|為|は|が|는|은|을|를|：|—|–){_GAP}{_VALUE}"
_BELOW = (
    rf"{_SUFFIX}{_ASIDE}[ \t]{{0,4}}(?:{_IS})?[:：]?[ \t]{{0,60}}(?:\n[ \t>]{{0,60}}){{1,3}}"
    r"(?P<value>[^\s\"'`,;<>(){}\[\]&|=：][^\s\"'`<>]{3,400})[ \t]{0,60}(?:\n|\Z)"
)
_BESIDE = rf"{_SUFFIX}(?:[ \t]{{1,12}}|[ \t]{{0,4}},[ \t]{{1,4}}){_VALUE}"
_OPTION = rf"[ \t]{{1,4}}{_VALUE}"
_BEFORE_OPTION = r"(?<![\w-])(?:--?[a-z0-9][a-z0-9-]{0,40}|--)\Z"
# "`…` is the password", "with `…` as the API key"
_AS = (
    r"[`\"']{1,2}[*_]{0,2}[ \t]{1,3}"
    r"(?:is|as|ist|als|est|es|como|comme)[ \t](?:[\w'’]{1,12}[ \t_-]){0,4}\Z"
)
_BEFORE_AS = rf"(?P<value>[^\s`\"'*]{{8,200}}){_AS}"
_APP_PASSWORD = rf"{_SUFFIX}[^a-z\n]{{0,12}}(?:is )?[^a-z\n]{{0,6}}(?P<value>(?:[a-z]{{4}} ){{3}}[a-z]{{4}})(?![a-z])"
_PAIR = (
    r"s?[ \t]{0,6}[:：=|]?[ \t]{1,8}[\w.@+-]{2,60}"
    r"(?:[ \t]{1,4}(?:/|\||-|–|—|and|und|y|et|e|и)[ \t]{1,4}|[ \t]{0,3}:(?!//)[ \t]{0,3})"
    rf"{_VALUE}"
)
_PHRASE = (
    r"[^a-z\n]{0,6}(?:is|phrase|words)?[\s:=\"'`*]{1,16}"
    r"(?P<value>(?:[a-z]{3,8}[ \t\n,]{1,3}){11,23}[a-z]{3,8})(?![a-z])"
)


def find(raw: str, plain: str, lowered: str, beginnings: Set[str]) -> Iterator[Span]:
    """Where the values are that a name calls a secret.

    `plain` is `raw` without markup, `lowered` is `plain` in small letters, and all three have the
    same length. `beginnings` are all strings of three letters in `lowered`.
    """
    found = False
    for name in _in_text(_BY_BEGINNING, lowered, beginnings):
        for start, end in _places(name.word, lowered):
            if _is_name(name, raw, lowered, start, end):
                found = True
                yield from _values(name, raw, plain, start, end)
    for login in _in_text(_LOGINS_BY_BEGINNING, lowered, beginnings):
        for _, end in _places(login.word, lowered):
            yield from _accepted(compiled(_PAIR).match(plain, end), plain, _is_login_password)
    for words in _MNEMONICS:
        if words[:3] in beginnings:
            for _, end in _places(words, lowered):
                if phrase := compiled(_PHRASE).match(plain, end):
                    yield phrase.span("value")
    if found:
        yield from _cells(raw)
        if "kind" in lowered:
            yield from _kubernetes(raw)


def _in_text(
    table: Mapping[str, Sequence[_Name]], text: str, beginnings: Set[str]
) -> Iterator[_Name]:
    """The words of a table that may be in a text with these strings of three letters."""
    for beginning in table.keys() & beginnings:
        yield from table[beginning]
    if not text.isascii():  # as no word of fewer letters is
        yield from table[""]


def _places(word: str, text: str) -> Iterator[Span]:
    start = text.find(word)
    while start >= 0:
        yield start, start + len(word)
        start = text.find(word, start + len(word))


def _is_name(name: _Name, raw: str, lowered: str, start: int, end: int) -> bool:
    after = lowered[end : end + 1]
    if after.isascii() and after.isalpha() and after != "s":
        return False
    before = (lowered, max(0, start - 30), start)
    if name.word == "pass" and raw[start:end] == "PASS" and lowered[start - 1 : start] != "_":
        return False  # the result of a test
    if name.word == "secret" and raw[start - 1 : start] == ":":
        return False  # the name of a resource
    if name.word == "token" and lowered.endswith("publickey", 0, start):
        return False  # of an assembly of .NET
    if not name.before:
        return True
    if compiled(name.before).search(*before):
        is_joined = raw[start - 1 : start].isalpha() and name.word == "key"
        return not is_joined or raw[start:end] != "key"
    is_environment = name.word == "key" and raw[start:end] == "KEY"
    return is_environment and compiled(_BEFORE_ENVIRONMENT_KEY).search(*before) is not None


def _values(name: _Name, raw: str, plain: str, start: int, end: int) -> Iterator[Span]:
    """The value that belongs to the name, in the first shape that holds one."""
    accept = is_password if name.is_password else is_key
    said = is_said if name.is_password else _is_said_key
    quoted = compiled(_QUOTED).match(raw, end)
    if quoted and " " in quoted["value"] and any(map(is_password, quoted["value"].split())):
        yield quoted.span("value")
        return
    shapes: list[tuple[re.Match[str] | None, Callable[[str], bool]]] = [
        (compiled(_ASSIGNED).match(plain, end), accept),
        (compiled(_SAID).match(plain, end), said),
    ]
    # The looks ahead are cheap, the expressions are not.
    if not plain[end : end + 14].isascii():
        shapes.append((compiled(_SAID_EAST).match(plain, end), said))
    if "\n" in plain[end : end + 250]:
        shapes.append((compiled(_BELOW).match(plain, end), said))
    if (beside := compiled(_BESIDE).match(plain, end)) and raw[
        beside.start("value") - 1
    ] in "`\"'*":
        shapes.append((beside, is_random))
    if compiled(_BEFORE_OPTION).search(plain, max(0, start - 44), start):
        shapes.append((compiled(_OPTION).match(plain, end), accept))
    for match, is_secret in shapes:
        for span in _accepted(match, plain, is_secret):
            yield span
            return
    if name.is_password and (words := compiled(_APP_PASSWORD).match(plain, end)):
        yield words.span("value")
    elif compiled(_AS).search(raw, max(0, start - 70), start):
        before = compiled(_BEFORE_AS).search(raw, max(0, start - 270), start)
        if before and is_random(before["value"]):
            yield before.span("value")


def _accepted(
    match: re.Match[str] | None, plain: str, is_secret: Callable[[str], bool]
) -> Iterator[Span]:
    """The place of the match's value, without the sign that ends the sentence; a call is no value."""
    if match is None:
        return
    bare = match["value"].rstrip(".:,?)。")
    start = match.start("value")
    is_call = bare.count("(") > bare.count(")") or plain[
        match.end("value") : match.end("value") + 1
    ] in (
        "(",
        "[",
        "{",
    )
    if not is_call and is_secret(bare[:_LOOKED_AT]):
        yield start, start + len(bare)


def _is_said_key(value: str) -> bool:
    return len(value) >= 8 and is_random(value)


def _is_login_password(value: str) -> bool:
    return _is_said_key(value) and is_password(value)


# --- tables -------------------------------------------------------------------------------------

_RULE = r"(?m)^[ \t>]{0,12}\|?[ \t]{0,8}:?-{2}[-:| \t]{0,2000}$"
_HEADING = (
    r"(?i)(?:[\w-]{1,20}[ _-]){0,3}(?:password|passwd|passwort|kennwort|pwd|pass|passphrase|secret|token"
    r"|contraseña|senha|mot de passe|пароль|密码|密碼|パスワード|비밀번호|密钥|令牌|credentials?"
    r"|(?:api|access|secret|private|auth)[ _-]?key)(?:[ _-](?:value|key))?(?:[ ]\([^()]{0,30}\))?"
)


def _cells(raw: str) -> Iterator[Span]:
    """The cells under a heading that names a secret."""
    for rule in compiled(_RULE).finditer(raw):
        if "|" not in rule[0]:
            continue
        heading = raw[raw.rfind("\n", 0, max(0, rule.start() - 1)) + 1 : rule.start()]
        columns = [
            number
            for number, cell in enumerate(heading.split("|"))
            if compiled(_HEADING).fullmatch(cell.strip("*`_ \t\n"))
        ]
        start = rule.end() + 1
        while columns and start < len(raw):
            end = raw.find("\n", start) + 1 or len(raw)
            if "|" not in raw[start:end] or compiled(_RULE).match(raw, start, end):
                break
            yield from _row(raw[start:end], start, columns)
            start = end


def _row(line: str, start: int, columns: list[int]) -> Iterator[Span]:
    for number, cell in enumerate(line.split("|")):
        value = cell.strip("*`\"' \t\r\n")
        if number in columns and is_said(value):
            place = start + cell.index(value)
            yield place, place + len(value)
        start += len(cell) + 1


# --- Kubernetes ---------------------------------------------------------------------------------

_MANIFEST = r"(?m)^[ \t>]{0,20}[\"']?kind[\"']?:[ \t]{0,4}[\"']?Secret[\"']?[ \t]{0,8}$"
_DATA = (
    r"(?m)^[ \t>]{0,20}(?:data|stringData):[ \t]{0,8}\n"
    r"(?P<lines>(?:[ \t>]{1,20}[\w.\"'-]{1,80}:[ \t][^\n]{1,20000}(?:\n|\Z)){1,100})"
)
_ENTRY = r"(?m)^[ \t>]{1,20}[\w.\"'-]{1,80}:[ \t]{1,4}[\"']?(?P<value>[^\s\"'{}$<|>][^\s\"'{}$<]{3,20000})"


def _kubernetes(raw: str) -> Iterator[Span]:
    """The values of a manifest of kind Secret."""
    for manifest in compiled(_MANIFEST).finditer(raw):
        start = raw.rfind("\n---", 0, manifest.start()) + 1
        end = raw.find("\n---", manifest.end())
        start = max(start, manifest.start() - 4000)
        end = min(manifest.end() + 40_000, len(raw) if end < 0 else end)
        for data in compiled(_DATA).finditer(raw, start, end):
            for entry in compiled(_ENTRY).finditer(data["lines"]):
                offset = data.start("lines")
                yield offset + entry.start("value"), offset + entry.end("value")
