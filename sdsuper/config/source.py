"""Lines of Supervisor's INI dialect to entries, each with its place.

Promises: what Python's RawConfigParser(strict=False, inline_comment_prefixes=(";", "#")) accepts is read with the same
meaning, and what it accepts without a word although it cannot be meant (a repeated key, a broken header) becomes a
problem. One pass, no state between calls except the sections that are filled. Must not: open files, expand or convert.

Newer Pythons cut a line at its first comment sign after white space, older ones sometimes at a later one; the first is
used here.
"""

import re
from typing import NamedTuple

from sdsuper.config.model import Problem, Severity, Where

#: The section whose keys every other section inherits.
DEFAULT = "DEFAULT"

_COMMENT = re.compile(r"(?:^|\s)[;#]")


class Entry(NamedTuple):
    """One option: key in lower case, value stripped, continuation lines joined by newlines."""

    section: str
    key: str
    value: str
    where: Where
    further: tuple[int, ...] = ()       # the numbers of the continuation lines

    def line(self, number: int) -> int:
        """Where a line of the value stands, the first of which is 0."""
        return self.further[number - 1] if 0 < number <= len(self.further) else self.where.line


class Section(NamedTuple):
    """A section, merged from all its appearances; `where` is the first header."""

    name: str
    where: Where
    entries: dict[str, Entry]


class _Parser:
    """The state of reading one file: the open section and the option that a further line would continue."""

    def __init__(self, file: str, into: dict[str, Section]) -> None:
        self.file = file
        self.into = into
        self.problems: list[Problem] = []
        self.section: Section | None = None
        self.entry: Entry | None = None
        self.tail: list[tuple[str, int]] = []
        self.complained = False

    def say(self, severity: Severity, line: int, message: str, option: str | None = None) -> None:
        name = self.section.name or None if self.section else None
        self.problems.append(Problem(Where(self.file, line), severity, name, option, message))

    def finish(self) -> None:
        """Give the open option its continuation lines."""
        if self.tail and self.entry is not None:
            value = "\n".join([self.entry.value, *(text for text, _line in self.tail)]).rstrip()
            self.entry = self.entry._replace(value=value, further=tuple(line for _text, line in self.tail))
            assert self.section is not None
            self.section.entries[self.entry.key] = self.entry
        self.tail = []

    def header(self, line: int, text: str) -> None:
        self.finish()
        self.entry = None
        end = text.rfind("]")
        if end < 2:
            self.say(Severity.ERROR, line, f"cannot read {text!r} as a section header ([name] expected)")
            # What follows belongs to nobody: it must not change the section before.
            self.section = Section("", Where(self.file, line), {})
            return
        name, rest = text[1:end], text[end + 1:]
        section = self.into.get(name)
        if section is None:
            section = self.into[name] = Section(name, Where(self.file, line), {})
            self.section = section
        else:
            self.section = section
            self.say(Severity.WARNING, line, f"this section is already at {section.where}, the two are merged")
        if rest.strip():
            self.say(Severity.WARNING, line, f"{rest.strip()!r} after the section header is ignored")

    def option(self, line: int, text: str) -> None:
        self.finish()
        if self.section is None:
            if not self.complained:
                self.say(Severity.ERROR, line, f"{_short(text)!r} stands before any section header")
                self.complained = True
            return
        equals, colon = text.find("="), text.find(":")
        at = equals if colon < 0 or -1 < equals < colon else colon
        key = text[:at].rstrip().lower() if at > 0 else ""
        if not key:
            self.say(Severity.ERROR, line, f"cannot read {_short(text)!r} as an option (key = value expected)")
            return
        entries = self.section.entries
        if key in entries:
            self.say(Severity.WARNING, line, f"is given twice, this one replaces that of {entries[key].where}", key)
        self.entry = entries[key] = Entry(self.section.name, key, text[at + 1:].lstrip(), Where(self.file, line))

    def more(self, line: int, text: str) -> None:
        """A line that is indented deeper than the option before it."""
        if text[0] == "[" and text[-1] == "]":
            assert self.entry is not None
            self.say(Severity.WARNING, line, f"{text!r} is indented and so part of the value of {self.entry.key!r},"
                     " not a section header", self.entry.key)
        self.tail.append((text, line))


def _short(text: str) -> str:
    """The text for a message; it may be a secret whose line was broken by mistake, so a long one is cut."""
    return text if len(text) <= 24 else text[:21] + "..."


def parse(text: str, file: str, into: dict[str, Section]) -> list[Problem]:
    """Read `text` of `file`, merging what it says into `into`; return what is wrong with it, in order."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    parser = _Parser(file, into)
    level = 0
    line = 0
    for raw in text.split("\n"):
        line += 1
        commented = False
        if ";" in raw or "#" in raw:
            comment = _COMMENT.search(raw)
            if comment:
                raw, commented = raw[:comment.start()], True
        value = raw.strip()
        if not value:
            # An empty line inside a value is part of it when more of the value follows.
            if parser.entry is not None and not commented:
                parser.tail.append(("", line))
            continue
        indent = len(raw) - len(raw.lstrip()) if raw[0].isspace() else 0
        if indent > level and parser.entry is not None:
            parser.more(line, value)
            continue
        level = indent
        if value[0] == "[":
            parser.header(line, value)
        else:
            parser.option(line, value)
    parser.finish()
    return parser.problems
