"""Unit files, lists of words and environment files: how systemd reads them. PURE.

Promises: lines are joined, and words split and unescaped, where systemd does it. Must not: know a directive. Sources:
systemd.syntax(7), systemd.service(5) (COMMAND LINES), systemd.exec(5) (EnvironmentFile=).
"""

import re

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")         # of a variable; systemd leaves out all others
_ENDS = re.compile("\r\n|\n\r|[\r\n\0]")
_BLANK = " \t"
_SEPARATOR = re.compile(r"\\?;(?=[ \t]|$)")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " ", "\\": "\\",
            '"': '"', "'": "'"}
_NUMBERS = re.compile("x(?P<byte>[0-9a-fA-F]{2})|(?P<octal>[0-7]{3})|u(?P<short>[0-9a-fA-F]{4})"
                      "|U(?P<long>[0-9a-fA-F]{8})")
_VARIABLE = re.compile(rf'^({NAME.pattern})="((?:[^"\\]|\\.)*)"$', re.MULTILINE | re.DOTALL)


def lines(text: str) -> list[str]:
    """The lines of a unit file, those that a backslash ends joined with the next. Comments are none, also between such
    lines; an empty line is no more than that.
    """
    found: list[str] = []
    begun = ""
    for line in _ENDS.split(text):
        if line.lstrip(_BLANK).startswith(("#", ";")):
            continue
        begun += line
        if (len(begun) - len(begun.rstrip("\\"))) % 2:
            begun = begun[:-1] + " "
        else:
            found.append(begun)
            begun = ""
    return [line.strip(_BLANK) for line in (*found, begun) if line.strip(_BLANK)]


def words(text: str, command: bool = False) -> list[str]:
    """Words with blanks between; quotes and C's escapes may be anywhere in them. In a `command` a `;` that stands alone
    begins another one, and `\\;` is its word. Raises ValueError for what systemd does not take, and for that.
    """
    found: list[str] = []
    at = 0
    while at < len(text):
        separator = _SEPARATOR.match(text, at) if command else None
        if text[at] in _BLANK:
            at += 1
        elif separator is None:
            word, at = _word(text, at)
            found.append(word)
        elif separator[0] == ";":
            raise ValueError("`;` begins a second command (one expected)")
        else:
            found.append(";")
            at = separator.end()
    return found


def _word(text: str, at: int) -> tuple[str, int]:
    """The word from `at` on, and the place behind it."""
    word = bytearray()
    quote = ""
    while at < len(text) and (quote or text[at] not in _BLANK):
        letter = text[at]
        at += 1
        if letter == "\\":
            escaped, at = _escape(text, at)
            word += escaped
        elif letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        else:
            word += letter.encode()
    if quote:
        raise ValueError(f"a quote is not closed ({quote} expected)")
    try:
        return word.decode(), at
    except UnicodeDecodeError:
        raise ValueError("escapes make a word that is not UTF-8") from None


def _escape(text: str, at: int) -> tuple[bytes, int]:
    """What stands behind a backslash, and the place behind it."""
    letter = text[at:at + 1]
    if letter in _ESCAPES:
        return _ESCAPES[letter].encode(), at + 1
    number = _NUMBERS.match(text, at)
    if number is None:
        raise ValueError(f"cannot read \\{letter} (an escape of systemd.syntax(7) expected)")
    code = int(number[number.lastgroup or 0], 8 if number["octal"] else 16)
    if not 0 < code <= (0x10ffff if number["short"] or number["long"] else 255):
        raise ValueError(f"cannot read \\{number[0]} (a character expected)")
    return (chr(code).encode() if number["short"] or number["long"] else bytes([code])), number.end()


def assignment(name: str, value: str) -> str:
    """A line of an environment file: in double quotes, where a backslash and a quote alone need a backslash, and all
    else is as it stands, tabs and newlines, too. Raises ValueError, without the value, for what systemd does not take.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"environment: systemd takes no variable {name!r} (letters, digits and _ expected)")
    if any((ord(letter) < 32 and letter not in "\t\n") or ord(letter) == 127 for letter in value):
        raise ValueError(f"environment: {name} has a control character, which systemd does not take")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"environment: {name} is not UTF-8, which systemd expects") from None
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"\n'


def variables(text: str) -> list[tuple[str, str]]:
    """The variables of an environment file that has such lines alone."""
    return [(name, re.sub(r"\\([\\\"])", r"\1", value)) for name, value in _VARIABLE.findall(text)]
