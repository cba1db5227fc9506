"""The settings table: files with variables, and what a section takes over from templates.

Promises: rows only. Must not: decide anything.
"""

from sdsuper.config import environment_files, values
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")

ENVIRONMENT_ROWS = (
    Row("environment_file", ("supervisord",), None, "Files with variables for all programs, as a program's option of "
        "this name has them. Every `environment` wins over them, and every file of a program.",
        find=environment_files.files, since="sdsuper", change=Change.LIVE),
    Row("environment_file", _P, None, "Files with variables, `NAME=value` lines, with commas between; with `-` before "
        "a path the file may be missing, else the program is not started without it. The daemon reads them at each "
        "start; a later file wins over an earlier one, the program's `environment` over all of them.",
        find=environment_files.files, since="sdsuper", change=Change.RESTART, scope=Scope.PROCESS,
        field="environment_files"),
    Row("envFiles", _P, None, "The same, but a file that cannot be read is told in the log, and the program is "
        "started without it. What is in `environment_file` wins.", find=environment_files.go_files, since="go",
        change=Change.RESTART, scope=Scope.PROCESS, field="environment_files"),
    Row("extends", (*_P, "template"), None, "Templates, the names of `[template:x]` sections with commas between, "
        "whose options hold where the section has none of its own. A later one wins over an earlier one.",
        values.names, since="sdsuper", change=Change.LIVE),
)
