"""When a log file is rotated and what is renamed then. PURE.

Promises: Supervisor's rule: after a write, at `maxbytes` or more, `x.log` becomes `x.log.1`, `.1` becomes `.2` and so
on up to `backups`; the oldest is gone; 0 bytes means never, 0 backups means the file starts again. Files that have been
compressed since move with the others. Must not: touch files, or know what time it is.
"""

#: What compressed files are called after their program.
SUFFIXES = {"gzip": ".gz", "zstd": ".zst", "xz": ".xz", "bzip2": ".bz2"}
#: After a log's name: what is being compressed and not complete.
UNFINISHED = ".compressing"
#: What is removed once all the others have been renamed: then nothing is lost by a rotation that fails.
OLDEST = ".oldest"
_DAY = 86400


def due(size: int, maxbytes: int) -> bool:
    """Whether a file of `size` bytes is to be rotated now."""
    return 0 < maxbytes <= size


def renames(name: str, backups: int, suffix: str = "") -> list[tuple[str, str | None]]:
    """(from, to) in the order to carry out, or to undo; a `from` that does not exist is skipped, a `to` of None is to
    be removed. `suffix` is that of compressed files, if there may be some. Empty: remove `name` instead.
    """
    if backups <= 0:
        return []
    kinds = ("", suffix) if suffix else ("",)
    places = [f".{i}" for i in range(1, backups + 1)] + [OLDEST]
    pairs: list[tuple[str, str | None]] = [(f"{name}{places[i]}{kind}", f"{name}{places[i + 1]}{kind}")
                                           for i in reversed(range(backups)) for kind in kinds]
    return [*pairs, (name, f"{name}.1"), *((f"{name}{OLDEST}{kind}", None) for kind in kinds)]


def boundary(every: int, local: tuple[int, ...]) -> tuple[int, int, int, int, int, int, int, int, int]:
    """The end of the period that a local time is in, for mktime(3). `local` is a struct_time: year, month, day, hour,
    minute, second, weekday … `every` is seconds from midnight to midnight, or a week, which begins on Monday.
    """
    year, month, day, hour, minute, second, weekday = local[:7]
    if every > _DAY:
        return year, month, day + 7 - weekday, 0, 0, 0, 0, 0, -1
    end = ((hour * 60 + minute) * 60 + min(second, 59)) // every * every + every
    if end >= _DAY:
        return year, month, day + 1, 0, 0, 0, 0, 0, -1
    return year, month, day, end // 3600, end % 3600 // 60, end % 60, 0, 0, -1
