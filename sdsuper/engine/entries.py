"""What the daemon's entries in the journal say besides their text: fields for programs that read them.

Promises: a change of state is one entry with the identifier CHANGE, whatever else is said of it; the identifiers stay
what they are (docs/journal.md has them). Must not: write anything. Source: systemd.journal-fields(7), MESSAGE_ID.
"""

from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import CHILD_STATES, Emptied, Exited, Input, Publish, State, signal_name

CHANGE = {"MESSAGE_ID": "64a1e988f17c49c0be65c7d1d6ef5d1c"}
RELOADED = {"MESSAGE_ID": "27eefa0d0e774d3f9706ddb67778db61"}
RELOAD_REFUSED = {"MESSAGE_ID": "febe8e1e6bd347278f2e58cbc3e14354"}

#: How bad it is to have come into a state; all others are `info`.
_LEVELS = {State.BACKOFF: "warn", State.FATAL: "error", State.UNKNOWN: "critical"}


def of_process(slot: Slot) -> dict[str, str]:
    """The fields of an entry about a process."""
    return {
        "SDSUPER_PROGRAM": slot.config.program, "SDSUPER_GROUP": slot.group, "SDSUPER_PROCESS": slot.config.name,
        "SDSUPER_RUN": str(slot.process.run), "SDSUPER_STATE": slot.process.state.name,
    }


def of_change(slot: Slot, change: Publish, news: Input) -> tuple[str, str, dict[str, str]]:
    """Level, text and fields of the entry about a change of state that `news` has caused."""
    process = slot.process
    fields = of_process(slot) | CHANGE
    fields |= {"SDSUPER_STATE": change.state.name, "SDSUPER_FROM_STATE": change.from_state.name}
    if process.state is State.STARTING is not change.state:
        fields["SDSUPER_RUN"] = str(process.run - 1)        # the change was the last one's, and the next has begun
    if change.pid:
        fields["SDSUPER_PID"] = str(change.pid)
    exit = news.exit if isinstance(news, Exited) else process.exit if isinstance(news, Emptied) else None
    if exit is not None and change.from_state in CHILD_STATES and change.state not in CHILD_STATES:
        if exit.signal:
            fields["SDSUPER_EXIT_SIGNAL"] = signal_name(exit.signal)
        else:
            fields["SDSUPER_EXIT_STATUS"] = str(exit.code)
    level = _LEVELS.get(change.state, "info" if change.expected or change.state is not State.EXITED else "warn")
    return level, f"{slot.config.name}: {change.from_state.name} -> {change.state.name}", fields
