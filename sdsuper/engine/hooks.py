"""Hooks: what a program's options want run before and after its start and its stop.

Promises: of one process one hook runs at a time, in the order that they were asked for; each is answered by HookDone
once, unless nobody waits for it any more; a hook that fails is in the log with the end of its output. Must not: decide
what follows from it.
"""

from collections import deque
from collections.abc import Callable

from sdsuper.config.model import ProcessConfig
from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import EndHook, Hook, HookDone, Publish, RunHook, State
from sdsuper.engine.errands import Errand, ErrandResult
from sdsuper.engine.probes import Probes, Question
from sdsuper.engine.supervise import Engine

#: Those that nobody waits for: a stop, the next run and the end of the daemon end them. The end of a run by itself does
#: not, for a job may be done sooner than they are.
_LOOSE = (Hook.POST_START,)
LINES = 5               # of a hook's output that the log has when it fails


class Hooks:
    """The hooks of one daemon."""

    def __init__(self, engine: Engine, probes: Probes) -> None:
        self._engine, self._probes = engine, probes
        #: (process, its options when the hook was asked for, for they may be others when it is its turn, the effect)
        self._queues: dict[Key, deque[tuple[Slot, ProcessConfig, RunHook]]] = {}
        self._running: dict[Key, tuple[RunHook, Errand | Question | None]] = {}
        self._waiting: list[Callable[[], object]] = []
        engine.hooks = self.take
        engine.listeners.append(self._heard)

    def take(self, slot: Slot, effect: RunHook | EndHook) -> None:
        """An effect of the core's."""
        if isinstance(effect, EndHook):
            self._end(slot.key, effect.run)
            return
        self._queues.setdefault(slot.key, deque()).append((slot, slot.config, effect))
        if slot.key not in self._running:
            self._next(slot.key)

    def when_idle(self, call: Callable[[], object]) -> None:
        """The daemon ends: call once none that is waited for is under way."""
        self._waiting.append(call)
        for key in tuple(self._running):
            self._end_loose(key)
        self._tell_idle()

    def _heard(self, slot: Slot, change: Publish) -> None:
        if change.state in (State.STOPPING, State.STARTING) and slot.key in self._running:
            self._end_loose(slot.key)

    def _end_loose(self, key: Key) -> None:
        """End what nobody waits for."""
        queue = self._queues.get(key, deque())
        kept = [asked for asked in queue if asked[2].hook not in _LOOSE]
        queue.clear()
        queue.extend(kept)
        effect, job = self._running[key]
        if effect.hook in _LOOSE and job is not None:
            job.cancel()

    def _tell_idle(self) -> None:
        if not self._waiting:
            return
        effects = [effect for effect, _job in self._running.values()]
        effects += [effect for queue in self._queues.values() for _slot, _config, effect in queue]
        if all(effect.hook in _LOOSE for effect in effects):
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                call()

    def _end(self, key: Key, run: int) -> None:
        """Nobody waits for the hook of this run any more; what is to follow a run is run all the same."""
        queue = self._queues.get(key, deque())
        kept = [asked for asked in queue if asked[2].run != run or asked[2].hook is Hook.POST_STOP]
        queue.clear()
        queue.extend(kept)
        running = self._running.get(key)
        if running is not None and running[0].run == run and running[0].hook is not Hook.POST_STOP and running[1]:
            running[1].cancel()

    def _next(self, key: Key) -> None:
        queue = self._queues.get(key)
        if not queue:
            self._queues.pop(key, None)
            self._tell_idle()
            return
        slot, config, effect = queue.popleft()
        command = getattr(config.hooks, effect.hook.value)
        if not command:                     # only what came before it was waited for
            self._running[key] = effect, None
            self._engine.loop.soon(0, lambda: self._done(slot, HookDone(effect.run, effect.hook)))
            return
        errand = self._probes.run(Slot(slot.group, config), command, config.hooks.timeout,
                                  lambda result: self._ended(slot, effect, result), _environment(slot, effect))
        self._running[key] = effect, errand
        self._tell_idle()

    def _ended(self, slot: Slot, effect: RunHook, result: ErrandResult) -> None:
        name = f"{effect.hook.value}_hook of {slot.config.name}"
        if not result.ok:
            self._engine.log.write("warn", f"{name}: {result.reason}")
            for line in result.output.splitlines()[-LINES:]:
                self._engine.log.write("warn", f"{name}: {line}")
        elif self._engine.log.takes("debug"):
            self._engine.log.write("debug", f"{name}: done")
        self._engine.log.flush()
        self._done(slot, HookDone(effect.run, effect.hook, result.reason, result.lack))

    def _done(self, slot: Slot, news: HookDone) -> None:
        del self._running[slot.key]
        if self._engine.roster.get(slot.key) is slot:
            self._engine.submit(slot, news)
        self._next(slot.key)


def _environment(slot: Slot, effect: RunHook) -> dict[str, str]:
    """What a hook is told: of which run, and how that has ended."""
    told = {"SDSUPER_HOOK": effect.hook.value, "SDSUPER_RUN": str(effect.run)}
    if effect.exit is not None:
        signal = effect.exit.signal
        told["SDSUPER_SIGNAL" if signal else "SDSUPER_EXIT_STATUS"] = str(signal or effect.exit.code)
    elif slot.process.pid and slot.process.run == effect.run:
        told["SDSUPER_PID"] = str(slot.process.pid)
    return told
