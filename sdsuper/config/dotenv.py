"""The grammar of environment files: `NAME=VALUE` lines, as dotenv files have them, and nothing that is executed.

Promises: strict, so that what is read differently elsewhere is mostly refused here; a problem names its line and no
part of it, for all of it may be a secret. Must not: read files or the environment (`known` asks for it).
"""

import re
from collections.abc import Callable
from typing import NamedTuple

_NAME = "[A-Za-z_][A-Za-z0-9_.-]*"
_HEAD = re.compile(rf"[ \t]*(?:export[ \t]+)?({_NAME})[ \t]*=([ \t]*)")
_EMPTY = re.compile(r"[ \t]*(?:#.*)?")
# what it begins with; a pattern for all the blanks before it would be tried at each of them
_COMMENT = re.compile(r"(?<=[ \t])#")
_SINGLE = re.compile(r"'([^']*)'")
# possessive: an open quote in a large file must not be tried in every possible way
_DOUBLE = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_REFERENCE = re.compile(r"\$\{(?:([A-Za-z_][A-Za-z0-9_.]*)(?::-([^}]*))?\})?")
_QUOTED_PART = re.compile(rf"{_REFERENCE.pattern}|\\.", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "$": "$", "`": "`"}

#: Characters that the references of one file may bring in: a few lines could ask for more than there is memory.
MOST_INSERTED = 1 << 20

#: The value of a variable by name; None where there is none.
Known = Callable[[str], str | None]


class Parsed(NamedTuple):
    """What a file says: values and lines by name; with `problems` (line, text) the values are not to be used."""

    file: str
    variables: dict[str, str]
    lines: dict[str, int]
    problems: list[tuple[int, str]]

    def __repr__(self) -> str:
        return f"Parsed({self.file}, {len(self.variables)} variables)"      # values are in no message


def parse(data: bytes, file: str, known: Known = lambda _name: "") -> Parsed:
    """Read the contents of `file`, which is only carried along.

    `${NAME}` is a variable of an earlier line, or what `known` says of it; None is a mistake.
    """
    found = Parsed(file, {}, {}, [])
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        found.problems.append((data.count(b"\n", 0, error.start) + 1, "is no text (UTF-8 expected)"))
        return found
    if "\0" in text:
        found.problems.append((text.count("\n", 0, text.index("\0")) + 1, "there is a NUL byte in the text"))
        return found
    room = MOST_INSERTED

    def value(name: str) -> str | None:
        nonlocal room
        there = found.variables[name] if name in found.variables else known(name)
        room -= len(there or "")
        if room < 0:
            raise ValueError(f"the ${{}} of the file bring in more than {MOST_INSERTED >> 20} MiB")
        return there

    at, line = 0, 1
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if not _EMPTY.fullmatch(text, at, end):
            end = _take(text, at, end, line, found, value)
        line += text.count("\n", at, end) + 1
        at = end + 1
    return found


def _take(text: str, at: int, end: int, line: int, found: Parsed, known: Known) -> int:
    """Read one variable, whose first line ends at `end`; returns where its last line ends. `known` knows the earlier
    lines, too.
    """
    head = _HEAD.match(text, at, end)
    if head is None:
        found.problems.append((line, "NAME=VALUE expected"))
        return end
    name, start = head[1], head.end()
    quote = text[start:start + 1]
    try:
        if quote in ("'", '"'):
            quoted = (_SINGLE if quote == "'" else _DOUBLE).match(text, start)
            if quoted is None:
                end = len(text)         # where the value ends nobody knows, so nothing more is read
                raise ValueError("the quote is not closed")
            newline = text.find("\n", quoted.end())
            end = len(text) if newline < 0 else newline
            if not _EMPTY.fullmatch(text, quoted.end(), end):
                raise ValueError("there is more behind the closing quote")
            value = quoted[1] if quote == "'" else _expanded(_QUOTED_PART, quoted[1], known)
        else:
            # white space before the value makes a # at its beginning a comment, too
            comment = _COMMENT.search(text, (head.end(1) if head[2] else start) + 1, end)
            raw = text[start:max(start, comment.start()) if comment else end]
            value = _expanded(_REFERENCE, raw.rstrip(" \t"), known)
    except ValueError as error:
        found.problems.append((line, str(error)))
        return end
    found.variables[name], found.lines[name] = value, line
    return end


def _expanded(parts: "re.Pattern[str]", raw: str, known: Known) -> str:
    """The value of what is written unquoted or in double quotes. Raises ValueError."""
    def part(match: "re.Match[str]") -> str:
        if match[0][0] == "\\":
            if match[0][1] not in _ESCAPES:
                raise ValueError("a backslash in double quotes goes before one of n r t \\ \" ' $ ` only")
            return _ESCAPES[match[0][1]]
        name, default = match[1], match[2]
        if name is None:
            raise ValueError("cannot read what follows ${ (${NAME} or ${NAME:-default} expected, and single quotes "
                             "around what is meant as it is)")
        value = known(name)
        if default is not None:
            return value or default
        if value is None:
            raise ValueError("${} names a variable that is not there (${NAME:-} for an empty one)")
        return value
    return parts.sub(part, raw) if "$" in raw or "\\" in raw else raw
