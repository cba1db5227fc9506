"""One process of the roster, and its names. PURE.

Promises: a slot is the same object as long as the process is in the roster. Must not: decide anything.
"""

from sdsuper.config.model import ProcessConfig
from sdsuper.core.vocabulary import RESTING_STATES, Process

#: (group, process)
Key = tuple[str, str]


class Slot:
    """A process of the roster: its configuration, its record, and the group it is in."""

    __slots__ = ("__weakref__", "config", "group", "key", "process")

    def __init__(self, group: str, config: ProcessConfig) -> None:
        self.group, self.config, self.process = group, config, Process()
        self.key: Key = (group, config.name)

    @property
    def resting(self) -> bool:
        """Whether it may be removed."""
        return self.process.state in RESTING_STATES


def display_name(group: str, name: str) -> str:
    """`web` for the only process of a group of its own name, else `group:web`, as supervisorctl prints it."""
    return name if group == name else f"{group}:{name}"
