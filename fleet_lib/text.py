"""Other people's words as one harmless line, and how long a text is. Hot path: nothing is imported."""

# Counted as printable, and seen by nobody but a model: variation selectors, joiners, fillers.
_INVISIBLE = dict.fromkeys(
    (
        *(*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x180B, 0x180E)),
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
    )
)


def clean(value: object, limit: int) -> str:
    """Somebody's words as one harmless line: no control or invisible characters, no terminal
    escapes, no tag that could be opened or closed, at most `limit` characters."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    text = text[: limit * 8 + 200]
    if "\x1b" in text or "\x9b" in text:
        text = _without_escapes(text)
    if not text.isprintable():
        text = "".join([char if char.isprintable() else " " for char in text])
    if not text.isascii():
        text = text.translate(_INVISIBLE)
    text = " ".join(text.split()).replace("<", "‹").replace(">", "›")
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _without_escapes(text: str) -> str:
    """Terminal escape sequences out: ESC [ … final byte, ESC ] … BEL or ESC \\, ESC and one more."""
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
    """Characters of the lines joined, as Claude Code counts them: UTF-16 units."""
    beyond = [char for line in lines if not line.isascii() for char in line if char > "\uffff"]
    return sum([len(line) + 1 for line in lines]) + len(beyond)
