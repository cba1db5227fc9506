"""What a restart of the daemon must not forget: numbers of processes and who is disabled, which clients have set, and
the last times of programs that the clock starts once more if they have missed one (`cron_missed=once`).

Promises: the file is replaced as a whole or not at all, and is the daemon's alone (0600); one that cannot be read, or
that somebody else could have written, is said and counts as empty. There is no file as long as there is nothing to
keep. Must not: know what follows.

The file is JSON: `{"version": 1, "scale": {PROGRAM: COUNT}, "disabled": ["GROUP:NAME", …], "cron": {"GROUP:NAME":
[SCHEDULE, SECONDS]}}`; `cron` may be missing.
"""

import json
import os
from typing import Any, NamedTuple

from sdsuper.config.model import User
from sdsuper.core.slot import Key
from sdsuper.logs import opening

MOST_BYTES = 4 << 20
VERSION = 1


class Last(NamedTuple):
    """The time that a schedule, as it was written, was told last, or begins with; in seconds since the epoch."""

    text: str
    told: int


class Kept:
    """The contents of one file. `trouble` is why it was not read."""

    def __init__(self, path: str, user: User | None) -> None:
        """`user` is whom the daemon becomes, if anybody."""
        self.path, self.trouble = path, ""
        self._user = user
        #: program -> number of processes
        self.scale: dict[str, int] = {}
        self.disabled: set[Key] = set()
        self.cron: dict[Key, Last] = {}
        try:
            self._load()
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            self.trouble = f"{path}: {why}: what was scaled or disabled is not known any more"

    def _load(self) -> None:
        """Raises OSError, and ValueError for what the daemon cannot have written."""
        fd = opening.open_read(self.path, self._user)
        try:
            facts = os.fstat(fd)
            owners = (0, os.geteuid(), self._user.uid if self._user is not None else 0)
            if facts.st_uid not in owners or facts.st_mode & 0o022:
                raise ValueError("others may write to it")
            text = opening.contents(fd, self.path, MOST_BYTES)
        finally:
            os.close(fd)
        try:
            found = json.loads(text)
            if found["version"] != VERSION:
                raise ValueError
            scale, disabled = found["scale"], found["disabled"]
            fine = all(isinstance(name, str) and type(count) is int and count > 0 for name, count in scale.items())
            keys = {_key(word) for word in disabled}
            cron = {_key(word): Last(*last) for word, last in found.get("cron", {}).items()}
            fine = fine and all(isinstance(last.text, str) and type(last.told) is int and 0 < last.told < 1 << 40
                                for last in cron.values())
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ValueError("is not what sdsuper has written") from None
        if not fine:
            raise ValueError("is not what sdsuper has written")
        self.scale, self.disabled, self.cron = scale, keys, cron

    def save(self) -> None:
        """Write what is kept. Raises OSError; the file is as it was then."""
        folder, name = os.path.split(self.path)
        os.makedirs(folder, 0o700, exist_ok=True)
        new = f"{self.path}.new"
        opening.remove(new, None)
        with os.fdopen(opening.create(new), "wb") as file:
            file.write(self._text())
            file.flush()
            os.fsync(file.fileno())
        opening.rename_all(self.path, None, [(f"{name}.new", name)])
        self.trouble = ""

    def _text(self) -> bytes:
        found: dict[str, Any] = {"version": VERSION, "scale": self.scale, "disabled": sorted(map(_word, self.disabled))}
        if self.cron:
            found["cron"] = {_word(key): last for key, last in sorted(self.cron.items())}
        return json.dumps(found, indent=1).encode() + b"\n"

    def forget_scale(self, why: str) -> None:
        """The configuration cannot be read with these numbers, and shall hold without them until there are others."""
        self.trouble = f"{self.path}: the configuration cannot have what was scaled, numprocs holds: {why}"
        self.scale = {}

    def enabled(self, key: Key) -> bool:
        """Whether a process may start by itself."""
        return key not in self.disabled


def _word(key: Key) -> str:
    return f"{key[0]}:{key[1]}"


def _key(word: str) -> Key:
    group, _, name = word.partition(":")
    return group, name
