"""The settings table, part four: what the kernel holds a program's processes to, all of them together.

Promises: rows only; an option's name is that of the cgroup file with `_` for `.`. Must not: decide anything.
"""

from collections.abc import Callable

from sdsuper.config import limit_values, values
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")


def _limit(name: str, doc: str, read: Callable[[str], str], scope: Scope = Scope.SECTION) -> Row:
    return Row(name, _P, None, doc, read, since="sdsuper", change=Change.LIVE, scope=scope, field="limits")


LIMIT_ROWS = (
    _limit("memory_max", "How much memory the process and all it has started may have, such as `512MB`. Above it the "
           "kernel ends one of them (see `memory_oom_group`).", limit_values.memory),
    _limit("memory_high", "The amount of memory above which it is slowed down and its memory reclaimed, before "
           "`memory_max` ends it.", limit_values.memory),
    _limit("memory_low", "The amount of memory that is taken from it only if there is none elsewhere.",
           limit_values.memory),
    _limit("memory_min", "The amount of memory that is never taken from it.", limit_values.memory),
    _limit("memory_swap_max", "How much of it may be swapped out; 0 is nothing.", limit_values.memory),
    _limit("memory_oom_group", "Whether the kernel ends the whole program when it lacks memory, and not one process of "
           "it.", limit_values.flag),
    _limit("pids_max", "How many processes and threads it may have at the same time; more cannot be made.",
           limit_values.processes),
    _limit("cpu_max", "How much CPU time it may have, in percent of one CPU: `50%`, or `200%` for two.",
           limit_values.cpu, Scope.NOTHING),
    _limit("cpu_weight", "Its share of CPU time when there is not enough, from 1 to 10000; others have 100.",
           limit_values.weight()),
    _limit("io_weight", "Its share of disk time when there is not enough, from 1 to 10000; others have 100. Needs an "
           "IO scheduler that knows weights.", limit_values.weight("default ")),
    _limit("io_max", "What it may read from and write to disks: `/path rbps=10MB wbps=5MB riops=100 wiops=50`, several "
           "with commas between. The path is a device, or any file on it.", limit_values.io),
    Row("limits_unsupported", _P, "error", "What happens when a limit cannot be set, because there is no cgroup or it "
        "lacks the controller: `error` refuses the start, `warn` starts without it and says so.",
        values.either("error", "warn", "limits_unsupported"), since="sdsuper", change=Change.LIVE, scope=Scope.SECTION,
        field="limits_optional"),
)
