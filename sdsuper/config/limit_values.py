"""Limits of cgroups: from the words of a configuration to those of the kernel. PURE.

Promises: what a converter returns can be written into the file as it is (but for the device of `io_max`, whose number
is looked up at the start). Must not: know where the files are. Sources: Documentation/admin-guide/cgroup-v2.rst of
Linux.
"""

from collections.abc import Callable

from sdsuper.config.values import boolean, number, refused, size

_UNLIMITED = frozenset(("unlimited", "infinity", "max"))
_CPU_PERIOD = 100_000       # microseconds, the kernel's own default
_CPU_MOST = 10_000_000      # percent: a hundred thousand CPUs
_WEIGHT_MOST = 10_000
_IO = ("rbps", "wbps", "riops", "wiops")


def memory(text: str) -> str:
    """Bytes, or `max`."""
    if text.strip().lower() in _UNLIMITED:
        return "max"
    expected = "size like 512MB, or unlimited"
    try:
        found = size(text.strip())
    except ValueError:
        raise refused(text, "an amount of memory", expected) from None
    if not isinstance(found, int):
        raise refused(text, "an amount of memory", expected)
    return str(found)


def processes(text: str) -> str:
    """A number of processes and threads, or `max`."""
    if text.strip().lower() in _UNLIMITED:
        return "max"
    expected = "number from 1, or unlimited"
    found = number(text, "a number of processes", expected)
    if not 1 <= found < 1 << 22:
        raise refused(text, "a number of processes", expected)
    return str(found)


def cpu(text: str) -> str:
    """`150%` of one CPU as `150000 100000`: microseconds in each period, and the period."""
    word = text.strip().replace("%%", "%")      # the value is not expanded, but who has learnt to write %% may do so
    if word.lower() in _UNLIMITED:
        return f"max {_CPU_PERIOD}"
    try:
        percent = float(word.removesuffix("%")) if word.endswith("%") and word.isascii() else -1
    except ValueError:
        percent = -1
    if not 1 <= percent <= _CPU_MOST:
        raise refused(text, "a share of CPUs", "percentage of one CPU like 50% or 200%, 1% at least, or unlimited")
    return f"{int(percent * _CPU_PERIOD / 100)} {_CPU_PERIOD}"


def weight(before: str = "") -> Callable[[str], str]:
    """A converter of weights; `before` is what the file wants before the number."""
    def convert(text: str) -> str:
        expected = f"number from 1 to {_WEIGHT_MOST}, where 100 is usual"
        found = number(text, "a weight", expected)
        if not 1 <= found <= _WEIGHT_MOST:
            raise refused(text, "a weight", expected)
        return f"{before}{found}"
    return convert


def flag(text: str) -> str:
    """`1` or `0`."""
    return "1" if boolean(text) else "0"


def io(text: str) -> str:
    """`/dev/vda wbps=10MB riops=100, /data rbps=1MB` as lines, one for each device, whose numbers are in bytes."""
    expected = "/path rbps=SIZE wbps=SIZE riops=NUMBER wiops=NUMBER, at least one of them; several with commas between"
    lines = []
    for part in text.split(","):
        path, *limits = part.split() or [""]
        if not path.startswith("/") or not limits:
            raise refused(text, "limits of devices", expected)
        words = []
        for limit in limits:
            name, _, value = limit.partition("=")
            if name not in _IO or not value:
                raise refused(text, "limits of devices", expected)
            words.append(f"{name}={memory(value) if name.endswith('bps') else _operations(value)}")
        lines.append(" ".join((path, *words)))
    return "\n".join(lines)


def _operations(text: str) -> str:
    if text.lower() in _UNLIMITED:
        return "max"
    expected = "number from 1, or unlimited"
    found = number(text, "a number of operations", expected)
    if found < 1:
        raise refused(text, "a number of operations", expected)
    return str(found)
