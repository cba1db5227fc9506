"""THE table: one row per option of every section, and the few questions that are asked of it.

Promises: an option exists if and only if it has a row here; its default, converter, documentation and what a change
needs are written nowhere else. Must not: read a configuration.
"""

from collections.abc import Iterable

from sdsuper.config.row import Row
from sdsuper.config.rows_daemon import DAEMON_ROWS
from sdsuper.config.rows_environment import ENVIRONMENT_ROWS
from sdsuper.config.rows_health import HEALTH_ROWS
from sdsuper.config.rows_lifecycle import LIFECYCLE_ROWS
from sdsuper.config.rows_limits import LIMIT_ROWS
from sdsuper.config.rows_logs import LOG_ROWS
from sdsuper.config.rows_program import PROGRAM_ROWS
from sdsuper.config.rows_restart import RESTART_ROWS
from sdsuper.config.rows_sandbox import SANDBOX_ROWS
from sdsuper.config.rows_schedule import SCHEDULE_ROWS
from sdsuper.config.rows_watch import WATCH_ROWS

TABLE: tuple[Row, ...] = (DAEMON_ROWS + PROGRAM_ROWS + ENVIRONMENT_ROWS + LOG_ROWS + RESTART_ROWS + LIFECYCLE_ROWS
                          + HEALTH_ROWS + WATCH_ROWS + SCHEDULE_ROWS + LIMIT_ROWS + SANDBOX_ROWS)

#: Section kinds in the order of the documentation, and what each is for. A kind with a `:` takes a name.
SECTIONS = {
    "supervisord": "The daemon itself. A main file without it is accepted with a warning when it has programs.",
    "unix_http_server": "An HTTP server on a unix socket. `[unix_http_server:name]` makes more of them.",
    "inet_http_server": "An HTTP server on a TCP port. `[inet_http_server:name]` makes more of them.",
    "supervisorctl": "The control client.",
    "include": "More files.",
    "program:": "A program and the processes made of it.",
    "program-default": "Options for every `[program:x]` that has them neither itself nor from a template. Of "
                       "`environment` each variable is an option of its own; any other value replaces the whole value "
                       "given here.",
    "template:": "Options for the sections that name it in `extends`: any of programs, event listeners and FastCGI "
                 "programs. It makes no process. What the kind of a section does not have is left out there.",
    "group:": "Programs that are one unit of control.",
    "eventlistener:": "A program that gets events on its standard input.",
    "fcgi-program:": "A program whose processes share a FastCGI socket as their standard input.",
    "rpcinterface:": "An additional XML-RPC interface of Supervisor.",
    "ctlplugin:": "An additional plugin of supervisorctl.",
}


def _index() -> dict[str, dict[str, Row]]:
    index: dict[str, dict[str, Row]] = {kind.rstrip(":"): {} for kind in SECTIONS}
    for row in TABLE:
        for section in row.sections:
            for name in (row.name, *row.aliases):
                index[section][name.lower()] = row
    index["program-default"] = index["program"]
    index["template"] = index["fcgi-program"] | index["eventlistener"] | index["program"]
    return index


#: Section kind -> key in lower case -> row.
ROWS = _index()

_KINDS = tuple(SECTIONS)


def kind_of(section: str) -> str | None:
    """The kind of a section by its header; None for one that nobody reads."""
    kind, colon, _ = section.partition(":")
    if colon:
        return kind if kind + ":" in SECTIONS or kind in ("unix_http_server", "inet_http_server") else None
    if section in ROWS and section in SECTIONS:
        return section
    # Supervisor takes every section whose name begins like this for a server.
    return next((server for server in ("unix_http_server", "inet_http_server") if section.startswith(server)), None)


def option_hint(kind: str, key: str) -> str:
    """`, did you mean 'autorestart'?` for a key that is close to one of the section's, else nothing."""
    return _hint(key, {lower: row.name for lower, row in ROWS[kind].items()})


def section_hint(section: str) -> str:
    """The same for a section that nobody reads."""
    kind, colon, name = section.partition(":")
    if kind.strip() + ":" in SECTIONS:
        return f", did you mean '{kind.strip()}:x'?"
    found = _hint(kind.lower(), {known.rstrip(":"): known for known in _KINDS})
    return found.replace(":'", f":{name or 'x'}'") if colon or found.endswith(":'?") else found


def name_hint(name: str, known: Iterable[str]) -> str:
    """The same for a name that somebody has given."""
    return _hint(name, {other: other for other in known})


def _hint(word: str, known: dict[str, str]) -> str:
    """Names that differ in a third of their letters at most."""
    best = min(known, key=lambda other: (_distance(word, other), other), default="")
    return f", did you mean {known[best]!r}?" if best and _distance(word, best) <= max(1, len(best) // 3) else ""


def _distance(one: str, other: str) -> int:
    """Letters to insert, remove, replace or swap to make one word of the other (optimal string alignment)."""
    if abs(len(one) - len(other)) > 8:
        return 99
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one):
        earlier, before, row = before, row, [i + 1]
        for j, against in enumerate(other):
            cost = min(before[j] + (letter != against), before[j + 1] + 1, row[j] + 1)
            if i and j and letter == other[j - 1] and one[i - 1] == against:
                cost = min(cost, earlier[j - 1] + 1)
            row.append(cost)
    return row[-1]
