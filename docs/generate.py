"""Write what the documentation says twice: docs/options.md and docs/man/supervisord.conf.5 from the settings table,
in the other pages the parts between `<!-- generated: NAME -->` and `<!-- end of NAME -->`, and the packages' unit,
units/ but for sysusers and tmpfiles.

    python3 docs/generate.py [--check]

With --check nothing is written, and the exit status is 1 when a file is not what it would be.
"""

import re
import sys
import textwrap
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

import drawing  # noqa: E402  (the path must be set first)

from sdsuper.config.row import Row  # noqa: E402
from sdsuper.config.settings import ROWS, SECTIONS, TABLE  # noqa: E402
from sdsuper.control import server  # noqa: E402
from sdsuper.control.interface import DESCRIPTION, LEVELS, Level  # noqa: E402
from sdsuper.errors import FAULTS  # noqa: E402
from sdsuper.systemd.unit import packaged  # noqa: E402

SINCE = {"supervisor": "", "go": "From Go's supervisord.", "sdsuper": "Only in sdsuper."}
PROGRAMS = ("program", "eventlistener", "fcgi-program")

#: The dialect, told once for both forms: title and paragraphs.
DIALECT = (
    ("Syntax", (
        "Sections begin with `[name]`; options are `key = value` or `key: value`. Keys are not case-sensitive, names "
        "of sections are. A line that is indented deeper than its option continues it.",
        "`;` and `#` begin a comment at the start of a line or after white space, even inside quotes. Blank lines "
        "are ignored.",
        "A section that appears again is merged with the first; of a key that appears again the last value counts. "
        "Both are reported with the places. `[DEFAULT]` gives options to every section that does not have them, "
        "plugins excepted.",
    )),
    ("Expansion", (
        "`%(name)s` in a value is replaced, with the conversions of Python's % operator, such as "
        "`%(process_num)02d`; a percent sign is written `%%`. `ENV_X` is the variable X of the daemon's environment "
        "or of `[supervisord] environment`, and `here` the directory of the file. Which other names are known is "
        "said with each option.",
    )),
    ("Values", (
        "Sizes are bytes, or take KB, MB or GB (powers of 1024). Booleans are yes, true, on, 1 and no, false, off, "
        "0. Times are whole seconds. Users and groups are names or numbers. `environment` is `NAME=\"value\"` with "
        "commas between; a value with anything but letters, digits and `_ / . + - ( ) :` needs its quotes.",
    )),
    ("Mistakes", (
        "Everything wrong with a configuration is reported at once, each with file and line; `sdsuper check` does "
        "nothing else. An error refuses the configuration, also at a reload, which then changes nothing. Options "
        "marked *not yet* are read and checked, and reported as not yet acted on.",
    )),
)


def rows_of(kind: str) -> list[Row]:
    """The rows of a section, those it shares with [program:x] left out."""
    rows = list(dict.fromkeys(ROWS[kind].values()))
    return [row for row in rows if kind not in PROGRAMS[1:] or "program" not in row.sections]


def facts(row: Row) -> list[str]:
    """What the table says beside the description, as sentences."""
    found = [f"Default: `{row.default}`." if row.default else "", SINCE[row.since]]
    if row.aliases:
        found.append("Also written " + ", ".join(f"`{alias}`" for alias in row.aliases) + ".")
    found.append(f"Names: {row.scope.value}." if row.scope.name not in ("FILE",) else "")
    found.append(f"Changed: {row.change.value}.")
    found.append("*Not yet* acted on." if row.later else "")
    return [fact for fact in found if fact]


def sections() -> list[tuple[str, str, list[Row]]]:
    """Header, purpose and rows of each section."""
    found = []
    for kind, purpose in SECTIONS.items():
        name = kind.rstrip(":")
        more = " It takes every option of `[program:x]`, and:" if name in PROGRAMS[1:] else ""
        rows = [] if name in ("program-default", "template") else rows_of(name)
        found.append((f"[{kind}x]" if kind.endswith(":") else f"[{kind}]", purpose + more, rows))
    return found


def markdown() -> str:
    """docs/options.md."""
    origin = "Made from the settings table by `docs/generate.py`; do not edit."
    lines = ["# Options of the configuration", "", origin, ""]
    for title, paragraphs in DIALECT:
        lines += [f"## {title}", ""]
        for paragraph in paragraphs:
            lines += [textwrap.fill(paragraph, 118, break_long_words=False, break_on_hyphens=False), ""]
    for header, purpose, rows in sections():
        lines += [f"## {header}", "", purpose, ""]
        if rows:
            lines += ["| option | meaning |", "|---|---|"]
            lines += [f"| `{row.name}` | {' '.join([row.doc, *facts(row)])} |" for row in rows]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def roff(text: str) -> str:
    """Running text for man: escapes, and `x` and *x* as bold and italic."""
    for character, escape in (("\\", "\\e"), ("-", "\\-"), ("'", "\\(aq"), ("~", "\\(ti"), ("^", "\\(ha")):
        text = text.replace(character, escape)
    parts = text.split("`")
    # a list without blanks may be broken behind its commas
    bold = [part.replace(",", ",\\:") if number % 2 else part for number, part in enumerate(parts)]
    text = "".join(f"\\fB{part}\\fR" if number % 2 else part for number, part in enumerate(bold))
    text = text.replace("*Not yet*", "\\fINot yet\\fR").replace("*not yet*", "\\fInot yet\\fR")
    lines = textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False).split("\n")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in lines)


def man() -> str:
    """docs/man/supervisord.conf.5."""
    lines = ['.\\" Made from the settings table by docs/generate.py; do not edit.',
             '.TH SUPERVISORD.CONF 5 "" "sdsuper" "File formats"', ".ad l", ".SH NAME",
             "supervisord.conf \\- configuration of the sdsuper service manager", ".SH DESCRIPTION",
             roff("The daemon and ctl read this file, in the dialect of Supervisor 4. Without `-c` they look for "
                  "`../etc/supervisord.conf` and `../supervisord.conf` as seen from the directory of the program, "
                  "`supervisord.conf`, `etc/supervisord.conf`, `/etc/supervisord.conf` and "
                  "`/etc/supervisor/supervisord.conf`; the first that exists is read.")]
    for title, paragraphs in DIALECT:
        lines.append(f".SS {title}")
        for number, paragraph in enumerate(paragraphs):
            lines += [".PP"] * bool(number) + [roff(paragraph)]
    lines.append(".SH SECTIONS")
    for header, purpose, rows in sections():
        lines += [f'.SS "{roff(header)}"', roff(purpose)]
        for row in rows:
            lines += [".TP", f".B {roff(row.name)}", roff(" ".join([row.doc, *facts(row)]))]
    lines += [".SH SEE ALSO", ".BR sdsuper (1),", ".BR sdsuperd (8)"]
    return "\n".join(lines) + "\n"


# ---- parts of pages -----------------------------------------------------------------------------------------------

def interface() -> str:
    """The text of the Varlink interface."""
    return f"```\n{DESCRIPTION}```\n"


def levels() -> str:
    """What the control group may call, and what only root and the daemon's account may."""
    words = {level: ", ".join(f"`{name}`" for name, needed in LEVELS.items() if needed is level) for level in Level}
    return (f"| who | may call |\n|---|---|\n| the control group | {words[Level.OPERATE]} |\n"
            f"| root and the daemon's account | these, and {words[Level.ADMIN]} |\n")


def limits() -> str:
    """The constants of the server."""
    return "".join(f"* {text}\n" for text in (
        f"A message has at most {server.MESSAGE_BYTES // 1024} KiB.",
        f"A message that has begun must be complete after {server.MESSAGE_SECONDS:g} seconds.",
        f"A client that takes nothing of its reply for {server.REPLY_SECONDS:g} seconds is cut off.",
        f"There are at most {server.CONNECTIONS} connections at once.",
    ))


def faults() -> str:
    """Supervisor's faults and their numbers."""
    return "| fault | code |\n|---|---|\n" + "".join(f"| `{name}` | {code} |\n" for name, code in FAULTS.items())


def not_yet() -> str:
    """The options of Go's supervisord that are read and not acted on."""
    return textwrap.fill(", ".join(f"`{row.name}`" for row in TABLE if row.later and row.since == "go") + ".", 118,
                         break_long_words=False, break_on_hyphens=False) + "\n"


PARTS = {
    "diagram": drawing.mermaid, "cells": drawing.cells, "inputs": drawing.inputs, "interface": interface,
    "levels": levels, "limits": limits, "faults": faults, "not-yet": not_yet,
}
_PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


def filled(text: str) -> str:
    """A page with its generated parts as they are to be."""
    return _PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}{found[3]}", text)


def main() -> int:
    """Write the files, or compare them."""
    wanted = {DOCS / "options.md": markdown(), DOCS / "man" / "supervisord.conf.5": man()}
    wanted |= {DOCS.parent / "units" / name: text for name, text in packaged().items()}
    for page in sorted(DOCS.glob("*.md")):
        wanted.setdefault(page, filled(page.read_text(encoding="utf-8")))
    stale = []
    for path, text in wanted.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv[1:] and stale:
        print("not as the code says, run ./dev docs:", *stale, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
