"""What a process waits for on its way up or down, in words for people.

Promises: the words come from the records as they are now; where no option that Supervisor does not have is in use,
there are none in `notes`. Must not: change anything.
"""

from time import localtime, monotonic, strftime, time

from sdsuper.control.show import waiting
from sdsuper.core.policy import awaited, limit_text
from sdsuper.core.roster import Roster
from sdsuper.core.slot import Slot, display_name
from sdsuper.core.vocabulary import Goal, Phase, State

_MOST = 3               # names in one note


class Waits:
    """The words for the processes of one roster."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def note(self, slot: Slot) -> str:
        """A few words for `status`: what stands between a process and its next state."""
        process = slot.process
        if process.state is State.STARTING:
            if process.phase is Phase.WAITING:
                return f"waiting: {self._unmet(slot, _MOST)}"
            if process.phase is Phase.HOOK:
                return _hook_before(slot)
            if awaited(slot.config) and process.pid:
                return "until it is ready"
        elif process.state is State.STOPPING and process.phase is Phase.HOOK:
            return "pre_stop_hook"
        return self._held(slot)

    def lines(self, slot: Slot) -> list[str]:
        """Everything that is waited for, a sentence each, with the times it may take."""
        process, config = slot.process, slot.config
        found: list[str] = []
        until = "" if process.deadline is None else f", until {_clock(process.deadline)} at the most"
        if process.state is State.STARTING:
            if process.phase is Phase.WAITING:
                found.append(f"what it depends on: {self._unmet(slot)}{until}")
            elif process.phase is Phase.HOOK:
                found.append(f"{_hook_before(slot)} runs (hook_timeout {config.hooks.timeout} s)")
            elif awaited(config):
                found.append(f"it to say that it is ready ({config.readiness.kind.value}){until}")
            elif process.deadline is not None:
                found.append(f"startsecs, {_clock(process.deadline)}")
        elif process.state is State.STOPPING:
            found += self._stopping(slot)
        elif process.state is State.BACKOFF and process.deadline is not None:
            offset = time() - monotonic()
            found.append(waiting(process, config, offset) or f"the next try, number {process.tries + 1}, at "
                                                             f"{_clock(process.deadline)}")
        held = self._held(slot, 0)
        return found + [held] * bool(held)

    def restarts(self, slot: Slot) -> str:
        """How much of its restart_limit a process has used; nothing without one."""
        limit = slot.config.restart.limit
        if limit <= 0:
            return ""
        window, now = slot.config.restart.window, monotonic()
        used = sum(not window or at > now - window for at in slot.process.restarts)
        return f"{used} of {limit_text(slot.config)} used"

    def _stopping(self, slot: Slot) -> list[str]:
        process = slot.process
        if process.phase is Phase.HOOK:
            return [f"pre_stop_hook runs (hook_timeout {slot.config.hooks.timeout} s)"]
        whom = "what it has left behind to end" if process.reaped else f"its end (pid {process.pid})"
        if process.deadline is None:
            return [whom]
        last = process.reaped or process.rung >= len(slot.config.stopsignals)
        found = [f"{whom}, {'SIGKILL' if last else 'the next signal'} at {_clock(process.deadline)}"]
        return found + ["then it starts again"] * (process.goal is Goal.UP)

    def _unmet(self, slot: Slot, most: int = 0) -> str:
        needs = self._roster.dependencies
        unmet = needs.unmet(slot)
        shown = [needs.shown(need) for need in (unmet[:most] if most else unmet)]
        return ", ".join(shown) + (f" and {len(unmet) - most} more" if most and len(unmet) > most else "")

    def _held(self, slot: Slot, most: int = _MOST) -> str:
        """Whose end a stop waits for."""
        needs = self._roster.dependencies
        if not needs or not needs.held(slot.key):
            return ""
        names = [display_name(*other.key) for other in needs.dependents(slot.key)
                 if other.process.state is State.STOPPING or needs.held(other.key)]
        more = f" and {len(names) - most} more" if most and len(names) > most else ""
        return f"to be stopped after {', '.join(names[:most] if most else names)}{more}"


def _hook_before(slot: Slot) -> str:
    return "pre_start_hook" if slot.config.hooks.pre_start else "post_stop_hook of the last run"


def _clock(deadline: float) -> str:
    """A monotonic time as the clock shows it."""
    return strftime("%H:%M:%S", localtime(deadline + time() - monotonic()))
