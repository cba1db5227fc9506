"""Resource limits: their names, and the ones the daemon itself needs.

Promises: limits are raised, never lowered; the limits that were found are handed back, for the children. Must not:
decide what a program gets. Sources: getrlimit(2), the `minfds` and `minprocs` options of Supervisor.
"""

import resource

from sdsuper.errors import StartError

#: What a configuration calls the limits (RLIMIT_NAME in lower case), by the kernel's numbers on x86, ARM, RISC-V,
#: PowerPC and s390.
NAMES = {
    0: "cpu", 1: "fsize", 2: "data", 3: "stack", 4: "core", 5: "rss", 6: "nproc", 7: "nofile", 8: "memlock", 9: "as",
    10: "locks", 11: "sigpending", 12: "msgqueue", 13: "nice", 14: "rtprio", 15: "rttime",
}
NUMBERS = {name: number for number, name in NAMES.items()}

INFINITY = resource.RLIM_INFINITY


def raise_limits(minfds: int, minprocs: int) -> tuple[tuple[int, int, int], ...]:
    """Raise the soft limits of descriptors and processes to at least these, the hard ones too where that is allowed.

    To be called before privileges are dropped. Returns (number, soft, hard) of the limits that were changed, as they
    were before. Raises StartError with the numbers in force when a limit cannot be raised.
    """
    changed = []
    for what, option, number, least in (
        ("file descriptors", "minfds", resource.RLIMIT_NOFILE, minfds),
        ("processes", "minprocs", resource.RLIMIT_NPROC, minprocs),
    ):
        soft, hard = resource.getrlimit(number)
        if soft == INFINITY or soft >= least:
            continue
        too_low = hard != INFINITY and hard < least
        try:
            resource.setrlimit(number, (least, least if too_low else hard))
        except (OSError, ValueError) as problem:
            raise StartError(
                f"{option}={least}: this many {what} are needed, the limits are {_number(soft)} soft and "
                f"{_number(hard)} hard and may not be raised ({problem}); set {option} lower or raise the hard limit"
            ) from None
        changed.append((number, soft, hard))
    return tuple(changed)


def _number(limit: int) -> str:
    return "infinity" if limit == INFINITY else str(limit)
