"""Converters for the options of rows_sandbox.py: paths, processors, capabilities, credentials.

Promises and must not: as values.py.
"""

from collections.abc import Callable

from sdsuper.config.sandbox import ALL_CAPABILITIES, CAPABILITIES, capability_set
from sdsuper.config.values import between, names, refused

_MOST_PATHS = 64
_MOST_CPU = 8191
_MOST_CREDENTIALS = 32


def one_of(what: str, *words: str) -> Callable[[str], str]:
    """A converter of one word of several."""
    expected = f"{', '.join(words[:-1])} or {words[-1]}"

    def convert(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise refused(text, what, expected)
        return word
    return convert


def number_of(what: str, table: dict[str, int]) -> Callable[[str], int]:
    """A converter of one word of several to its number."""
    word = one_of(what, *table)
    return lambda text: table[word(text)]


def path(text: str) -> str:
    """An absolute path without `..`; double and final slashes go."""
    parts = text.split("/")
    if not text.startswith("/") or ".." in parts or not text.isprintable():
        raise refused(text, "a path", "absolute path without '..'")
    return "/" + "/".join(part for part in parts if part not in ("", "."))


def paths(text: str) -> tuple[str, ...]:
    """Absolute paths with commas between; a `-` before one says that it need not be there."""
    found = []
    for word in names(text):
        bare = word.removeprefix("-")
        found.append(("-" if bare != word else "") + path(bare))
    if len(found) > _MOST_PATHS:
        raise ValueError(f"cannot take {len(found)} paths (at most {_MOST_PATHS} expected)")
    return tuple(dict.fromkeys(found))


def processors(text: str) -> tuple[int, ...]:
    """`0-3,8`: the numbers of processors, ascending."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdigit() and len(end) < 5 for end in ends):
            raise refused(text, "processors", "numbers and ranges like 0-3,8")
        low, high = (int(end) for end in ends)
        if not low <= high <= _MOST_CPU:
            raise refused(text, "processors", f"ranges from a lower to a higher number <= {_MOST_CPU}")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


_IO_CLASSES = {"none": 0, "realtime": 1, "best-effort": 2, "idle": 3}


def ionice(text: str) -> int:
    """`class` or `class:level`, as ioprio_set(2) takes it."""
    name, colon, level = text.strip().lower().partition(":")
    expected = "none, idle, best-effort[:0-7] or realtime[:0-7]"
    if name not in _IO_CLASSES or (colon and (name in ("none", "idle") or level not in tuple("01234567"))):
        raise refused(text, "an IO priority", expected)
    number = int(level) if colon else 4 if name in ("best-effort", "realtime") else 0
    return _IO_CLASSES[name] << 13 | number


def capabilities(text: str) -> tuple[int, int]:
    """Names with commas or blanks between, or `~` and the names of those that are taken away.

    As (what may ever be had, what a user other than root has).
    """
    words = text.replace(",", " ").strip()
    inverted = words.startswith("~")
    found = set()
    for word in words.removeprefix("~").split():
        name = word.lower().removeprefix("cap_")
        if name not in CAPABILITIES:
            raise ValueError(f"no such capability: {word!r} (names like CAP_NET_BIND_SERVICE expected)")
        found.add(name)
    bits = capability_set(found)
    return (ALL_CAPABILITIES & ~bits, 0) if inverted else (bits, bits)


def credentials(text: str) -> tuple[tuple[str, str], ...]:
    """`NAME:/path`, several with commas between, sorted by name."""
    found: dict[str, str] = {}
    for word in names(text):
        name, _, file = word.partition(":")
        bare = name.replace("_", "").replace("-", "").replace(".", "")
        try:
            file = path(file)
        except ValueError:
            bare = ""
        if not bare.isascii() or not bare.isalnum() or name.startswith(".") or len(name) > 128:
            # the text is not shown: somebody may have written the secret itself
            raise ValueError("cannot be read as credentials (NAME:/path expected, the name of letters, digits, '_', "
                             "'-' and '.')") from None
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = path(file)
    if len(found) > _MOST_CREDENTIALS:
        raise ValueError(f"cannot take {len(found)} credentials (at most {_MOST_CREDENTIALS} expected)")
    return tuple(sorted(found.items()))


oom_score = between(-1000, 1000, "an OOM score adjustment")
sched_priority = between(1, 99, "a priority")
sched_policy = number_of("a scheduling policy", {"other": 0, "fifo": 1, "rr": 2, "batch": 3, "idle": 5})
