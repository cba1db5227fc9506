"""Warnings for a configuration that was written for Go's supervisord and relies on its meaning.

Promises: called only when there is proof (an option that only Go's knows); each text says what holds here. Must not:
change a value: where the two differ Supervisor's meaning holds.
"""

from sdsuper.config.expand import Names
from sdsuper.config.lookup import absolute, parent
from sdsuper.config.reading import Reading
from sdsuper.config.source import Entry, Section

_ESCAPING = ("command", "environment", "directory", "process_name", "stdout_logfile", "stderr_logfile")


def check(reading: Reading) -> None:
    """Warn about every place where the two meanings differ."""
    for section in reading.sections.values():
        if section.name.startswith("program:"):
            _check_program(reading, section)
        elif section.name == "include":
            _check_include(reading, section)


def _check_program(reading: Reading, section: Section) -> None:
    found: dict[str, Entry] = {}
    for row, entry in reading.entries(section, "program"):
        found[row.name] = entry
    if found.get("numprocs") and found["numprocs"].value not in ("0", "1"):
        reading.warn(found["numprocs"], "process_num counts from numprocs_start (0), in Go's supervisord from 1")
    for name, words in (("autostart", ("true", "false")), ("autorestart", ("true", "false", "unexpected"))):
        if name in found and found[name].value not in words:
            reading.warn(found[name], f"{found[name].value!r} is a boolean here, Go's supervisord knows only "
                         + ", ".join(words))
    restart = found.get("autorestart")
    if "exitcodes" not in found and (restart is None or restart.value.lower() == "unexpected"):
        reading.warn(section, "the default is 0, in Go's supervisord 0,2", "exitcodes")
    if len(reading.layers(section, "program", "environment")) > 1:
        reading.warn(found["environment"], "is merged with the environment of [program-default] and of templates, in "
                                           "Go's supervisord it replaces that of [program-default]")
    for name in _ESCAPING:
        if name in found and "\\" in found[name].value:
            reading.warn(found[name], "backslashes are kept as written, Go's supervisord takes them for escapes")


def _check_include(reading: Reading, section: Section) -> None:
    """Go reads `*.ini` as an unanchored regular expression, so `a.ini.bak` is read too."""
    entry = section.entries.get("files")
    text = reading.text(entry, Names({"host_node_name": reading.host.node}, reading.names)) if entry else None
    if entry is None or text is None:
        return
    base = parent(absolute(entry.where.file, reading.host))
    for pattern in text.split():
        path = pattern if pattern.startswith("/") else f"{base}/{pattern}"
        more = sorted(set(reading.host.glob(path + "*")) - set(reading.host.glob(path)))
        if more:
            shown = ", ".join(more[:3]) + (" ..." if more[3:] else "")
            reading.warn(entry, f"{shown}: not read here, but by Go's supervisord")
