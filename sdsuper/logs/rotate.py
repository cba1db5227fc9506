"""When a log file is rotated and what is renamed then. PURE.

Promises: Supervisor's rule: after a write, at `maxbytes` or more, `x.log` becomes `x.log.1`, `.1` becomes `.2` and so
on up to `backups`; the oldest is gone; 0 bytes means never, 0 backups means the file starts again. Must not: touch
files.
"""


def due(size: int, maxbytes: int) -> bool:
    """Whether a file of `size` bytes is to be rotated now."""
    return 0 < maxbytes <= size


def renames(name: str, backups: int) -> list[tuple[str, str]]:
    """(from, to) in the order to carry out; a `from` that does not exist is skipped. Empty: remove `name` instead."""
    if backups <= 0:
        return []
    chain = [name, *(f"{name}.{i}" for i in range(1, backups + 1))]
    return [(chain[i], chain[i + 1]) for i in reversed(range(backups))]
