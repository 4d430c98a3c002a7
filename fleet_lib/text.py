"""Other people's words as one harmless line, and how long a text is. Hot path."""

# `str.isprintable` accepts these, but no reader except a model sees them: variation selectors,
# joiners, fillers.
_INVISIBLE = dict.fromkeys(
    (
        *(*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x180B, 0x180E)),
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0x1D159),
    )
)
# What a model reads as the sign of a tag, too.
_LOOK_ALIKES = {
    **dict.fromkeys((0xFF1C, 0xFE64, 0x2039, 0x27E8, 0x2329, 0x3008, 0x1438, 0x02C2, 0x276E), "‹"),
    **dict.fromkeys((0xFF1E, 0xFE65, 0x203A, 0x27E9, 0x232A, 0x3009, 0x1433, 0x02C3, 0x276F), "›"),
}
_ENTITIES = ("lt", "gt", "amp", "#")  # how the sign, or its entity, is spelled in HTML


def one_line(value: object, limit: int) -> str:
    """The value as one line of at most `limit` characters, without control or invisible characters
    and terminal escapes."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    if len(text) <= limit and text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()  # most are such: this takes a third of the time
    text = text[: limit * 8 + 200]
    if "\x1b" in text or "\x9b" in text:
        text = _without_escapes(text)
    if not text.isprintable():
        text = "".join([char if char.isprintable() else " " for char in text])
    if not text.isascii():
        text = text.translate(_INVISIBLE)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def clean(value: object, limit: int) -> str:
    """`one_line` in which no tag can be opened or closed."""
    text = one_line(value, limit).replace("<", "‹").replace(">", "›")
    if not text.isascii():
        text = text.translate(_LOOK_ALIKES)
    return one_line(_without_entities(text), limit) if "&" in text else text


def printable(text: str) -> str:
    """A text of several lines without control or invisible characters and terminal escapes."""
    text = text.replace("\r\n", "\n")
    if "\x1b" in text or "\x9b" in text:
        text = _without_escapes(text)
    return "\n".join([_printable_line(line) for line in text.split("\n")])


def _printable_line(line: str) -> str:
    if not line.isprintable():
        line = "".join([char if char.isprintable() or char == "\t" else " " for char in line])
    return line if line.isascii() else line.translate(_INVISIBLE)


def _without_entities(text: str) -> str:
    """The text with a blank in whatever may be an entity of a tag's sign."""
    first, *others = text.split("&")
    return first + "".join(
        ["& " + part if part[:3].lower().startswith(_ENTITIES) else "&" + part for part in others]
    )


def _without_escapes(text: str) -> str:
    """The text without terminal escapes: ESC [ up to its final byte, ESC ] up to BEL or ESC \\, and
    ESC with any one other character."""
    out = []
    position, end = 0, len(text)
    while position < end:
        char = text[position]
        position += 1
        if char == "\x9b":
            introducer = "["
        elif char != "\x1b":
            out.append(char)
            continue
        else:
            introducer = text[position : position + 1]
            position += 1
        if introducer == "[":
            while position < end and not "@" <= text[position] <= "~":
                position += 1
            position += 1
        elif introducer in ("]", "P", "^", "_"):
            while position < end and text[position] not in "\x07\x1b\x9c":
                position += 1
            position += 2 if text[position : position + 1] == "\x1b" else 1
    return "".join(out)


def size(lines: "list[str]") -> int:
    """Characters of the joined lines as Claude Code counts them: UTF-16 code units."""
    return sum([1 + (len(line) if line.isascii() else _code_units(line)) for line in lines])


def _code_units(line: str) -> int:
    return len(line.encode("utf-16", "surrogatepass")) // 2 - 1  # less the byte order mark


def storable(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot hold, and without NUL, at which SQLite's
    functions stop."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
