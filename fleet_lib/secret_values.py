"""Whether a value looks like a secret, or like a word, a placeholder or a piece of program."""

import itertools

from fleet_lib.compiled import compiled

# What stands where a secret will be.
_PLACEHOLDER = (
    r"(?i)your|example|placeholder|change[-_]?me|replace|redacted|dummy|insert[-_]|x{5}|\*{3}|\.{3}|…"
    r"|<|\{\{|process\.env|environ|getenv|secrets?\.|vault:|op://|arn:|123456789|abcdef|todo"
    r"|^(?:none|null|true|false|undefined|string|required|optional|hidden|masked|password|passwd"
    r"|secret|token|user|username|admin|root|pass|pw|pwd|test|xxx+|foo|bar|sample|secretpassword)\W*$"
)
_REFERENCE = (
    r"[/~@#]|\.{1,2}/|https?:|\$\{|\$\(|\$[A-Za-z_]\w*$|%[A-Za-z_]\w*%$|[A-Za-z]:\\|--|sha(?:1|256|384|512)[-:]"
    r"|file:|env:|data:|urn:|-{2,}|\\"
)
_LETTERS = r"(?:[A-Z]?[a-z]+(?:[A-Z][a-z]+){0,8}|[A-Z]+[a-z]{0,30})"
_PART = (
    rf"(?:{_LETTERS}[0-9]{{0,4}}|[0-9]{{1,4}}[A-Za-z]?[a-z]*|[0-9]+|[A-Za-z][a-z]+[0-9]{{1,5}}[A-Za-z][a-z]+"
    r"|[A-Z]?[a-z]{1,2}[0-9]{1,2}[a-z]{1,2})"
)
# Words and small numbers, joined as in names of files, branches and variables: no generator of
# secrets writes like that.
_WORDS = rf"{_PART}(?:[-_./:+@=,\[\]]{{1,2}}{_PART}){{0,30}}[-_./:]?"
_ONE_WORD = r"[A-Za-z]+[0-9]{2,}"
_CHAIN = r"[A-Za-z_$][\w$]*(?:(?:\?\.|\.|::|->)[A-Za-z_$][\w$]*)+"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ]?[0-9:.]*Z?)?|[0-9.,:%]+[A-Za-z]{0,3}"
_MADE_UP = r"[A-Za-z]{3,}[0-9]{2,}[!?]{0,2}|\w*[!@#$%^&*]\w+"
_SYMBOLS = "!@#$%^&*+=?~"
# A variable of a shell or a word that stands for the password.
_STAND_IN = (
    r"(?i)\$\{?\w+\}?|\$\([^)]*\)|\{+[^}]*\}+|\[[^\]]*\]|%\w+%|\*+|x+|\.+|…|your\S*"
    r"|pass(?:word|wd)?|pwd|pw|secret|token|\(+|.*(?:\$\{|\[\^|\\s).*"
)
# Ids that look like tokens, by what they begin with.
_IDS = frozenset(
    "toolu srvtoolu mcptoolu msg req call resp run step thread asst file batch session sess conv chatcmpl cmpl"
    " gen rs fc ws vs ft ftjob modelcompl org user usr proj project wrkspc workspace team dpl prj icfg build"
    " pi cus prod price sub in evt ch acct pm seti cs txn po ba card tok src si il ii plink re_ prctbn"
    " sha sha1 sha256 sha512 md5 blake2 blake3 id uid uuid ref rev commit trace span container image task job"
    " event node item note page block doc agent mem node_modules chunk index main vendor app assets bundle"
    " cache layer snap vol vpc subnet sg ami eni rtb igw arn bafy qm ipfs cid tx txid hash integrity etag"
    " nonce boundary webkitformboundary part dc sk_id pk_id key_id kid ak_id pull comment discussion pr gid"
    " test fixture data lb slot tmp temp".split()
)
_TELLING = frozenset(
    "live prod key keys secret token tok pat sk rk api oauth at rt priv private auth access refresh bearer"
    " whsec hook webhook svc service sa bot admin master deploy ci user_token".split()
)


def is_placeholder(value: str) -> bool:
    return (
        compiled(_PLACEHOLDER).search(value) is not None
        or compiled(_REFERENCE).match(value) is not None
    )


def is_random(value: str) -> bool:
    """Letters and digits so mixed that no word or name can be meant."""
    return is_mixed(value) and not compiled(_WORDS).fullmatch(value)


def is_mixed(value: str) -> bool:
    """Both letters and digits, and no placeholder, date or reference to where the value is."""
    return (
        compiled(r"[0-9]").search(value) is not None
        and compiled(r"[^\W0-9_]").search(value) is not None
        and not is_placeholder(value)
        and not compiled(_DATE).fullmatch(value)
        and not (compiled(_CHAIN).fullmatch(value) and compiled(_WORDS).fullmatch(value))
    )


def is_password(value: str) -> bool:
    """What stands beside the word "password" and can hardly be anything else."""
    if len(value) < 8:
        return len(value) >= 6 and is_random(value) and not value.islower()
    if is_mixed(value):
        return True
    inner = value.strip("!?*+=~")
    return (
        any(char in _SYMBOLS for char in inner)
        and inner.lower() != inner
        and inner.upper() != inner
        and inner.isascii()
        and not compiled(r"[=|&]{2}|=>|\(|\w=\w").search(value)
        and not is_placeholder(value)
    )


def is_said(value: str) -> bool:
    """A password in the middle of a sentence: "is SHA-256" and "is base64-encoded" are none."""
    return is_password(value) and (
        is_random(value) or compiled(_MADE_UP).fullmatch(value) is not None
    )


def is_key(value: str) -> bool:
    """What stands beside the word "token", "key" or "secret" and is no name of one."""
    if len(value) < 8:
        return False
    if is_mixed(value):
        return (
            not compiled(_WORDS).fullmatch(value)
            or compiled(_ONE_WORD).fullmatch(value) is not None
        )
    return len(value) >= 24 and value.isascii() and _switches(value) * 5 >= len(value) * 2


def is_strewn(value: str) -> bool:
    """A long value whose small letters, capitals and digits change as only chance makes them."""
    digits = sum("0" <= char <= "9" for char in value)
    return (
        digits >= 3
        and any("A" <= char <= "Z" for char in value)
        and any("a" <= char <= "z" for char in value)
        and _switches(value) * 3 >= len(value)
        and not is_placeholder(value)
    )


def _switches(value: str) -> int:
    """How often the value changes between small letters, capitals and digits."""
    kinds = [
        "a" if "a" <= char <= "z" else "A" if "A" <= char <= "Z" else "0" if char.isdigit() else "-"
        for char in value
    ]
    if "-" in kinds and not value.replace("-", "").replace("_", "").isalnum():
        return 0
    return sum(left != right for left, right in itertools.pairwise(kinds))


def is_stand_in(value: str) -> bool:
    """What a manual writes where the password will be."""
    return compiled(_STAND_IN).fullmatch(value) is not None


def is_token(prefix: str, tail: str) -> bool:
    """After the prefix of no known kind of id, what only chance writes."""
    parts = compiled(r"[_-]").split(prefix.lower())
    if (
        parts[0] in _IDS
        or parts[-1] in _IDS
        or tail.startswith("01")
        or is_placeholder(f"{prefix}_{tail}")
    ):
        return False
    if is_strewn(tail):
        return len(tail) >= 24 or not _TELLING.isdisjoint(parts)
    return (
        not _TELLING.isdisjoint(parts)
        and len(parts) > 1
        and len(tail) >= 24
        and sum(char.isdigit() for char in tail) >= 4
        and is_random(tail)
    )
