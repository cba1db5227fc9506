"""What the settings table says about one option.

Promises: plain data. Must not: know any option.
"""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from sdsuper.config.lookup import Host
from sdsuper.config.values import as_text


class Scope(Enum):
    """Which names `%(…)s` knows in an option, beside `ENV_X` and `here`. The value is for the documentation."""

    FILE = "none besides"
    HOST = "`host_node_name`"
    SECTION = "`program_name`, `group_name`, `host_node_name`"
    PROCESS = ("`program_name`, `group_name`, `host_node_name`, `process_num`, `numprocs`, and the program's own "
               "`environment` as `ENV_X`")
    NOTHING = "not expanded"


class Change(Enum):
    """What a reload does when the option has another value. The value is the text of the documentation."""

    RESTART = "the process is restarted"
    LIVE = "applied without a restart"
    DAEMON = "needs a restart of the daemon"


class Row(NamedTuple):
    """One option. `read` converts text, `find` text that needs the system; `field` is its place in ProcessConfig."""

    name: str
    sections: tuple[str, ...]
    default: str | None          # as text; None is "not set" or said in `doc`
    doc: str
    read: Callable[[str], object] = as_text
    find: Callable[[str, Host], object] | None = None
    since: str = "supervisor"    # or "go", "sdsuper"
    change: Change = Change.DAEMON
    scope: Scope = Scope.FILE
    later: bool = False          # read and checked, but not yet acted on
    field: str = ""
    aliases: tuple[str, ...] = ()
