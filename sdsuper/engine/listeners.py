"""Where pools of events meet pipes: each run of a listener, its standard input and what it says.

Promises: an event is written as soon as a listener is RUNNING and READY, to the first such of its pool, and nothing
here ever blocks; a listener that is busy for too long is noticed. Must not: know what happened (announce.py), or judge
what a listener says (events.protocol).
"""

import os
from collections.abc import Callable
from functools import partial
from time import monotonic

from sdsuper.config.model import GroupConfig, GroupKind
from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import RESTING_STATES, Publish, State
from sdsuper.engine.subscriptions import Subscriptions
from sdsuper.engine.supervise import GROUP_REMOVED, Engine
from sdsuper.engine.trees import Run
from sdsuper.events.catalogue import SERIALS, Event, covered, envelope
from sdsuper.events.pool import Delivery, Pool
from sdsuper.events.protocol import Conversation, News, Phase, Said
from sdsuper.logs.ansi import AnsiStripper
from sdsuper.system.loop import EPOLLOUT, Timer

BUSY_WARNING = 60.0        # seconds after which a busy listener is mentioned, where listener_timeout does not end it
OVERFLOW_PAUSE = 60.0      # seconds between two lines about events of one pool that were lost
LAST_WAIT = 2.0            # seconds that listeners have for what still waits for them when the daemon ends
SHOWN_BYTES = 80           # of what a listener said that it should not have said


class Life:
    """One run of a listener, and its stdout's tap. `fd` is the writing end of its stdin, -1 once it is closed."""

    __slots__ = ("_hear", "_strip", "conversation", "delivery", "fd", "pool", "run", "since", "timer", "unsent",
                 "warned")

    def __init__(self, run: Run, pool: Pool, fd: int, strip: bool, hear: Callable[["Life", bytes], object]) -> None:
        self.run, self.pool, self.fd, self._hear = run, pool, fd, hear
        self._strip = AnsiStripper() if strip else None
        self.conversation = Conversation()
        self.unsent = b""                          # what its pipe has not taken yet
        self.delivery: Delivery | None = None      # what it is busy with, since when
        self.since = 0.0
        self.timer: Timer | None = None
        self.warned = False

    @property
    def name(self) -> str:
        """The process's."""
        return self.run.slot.config.name

    @property
    def free(self) -> bool:
        """Whether it can be given an event."""
        process = self.run.slot.process
        return (self.conversation.phase is Phase.READY and self.fd >= 0 and not self.unsent
                and process.state is State.RUNNING and process.run == self.run.number)

    # ---- as the tap of its stdout (logs.pipes.Tap) ----------------------------------------------------------------

    @property
    def prompt(self) -> bool:
        """What it says is waited for."""
        return self.conversation.phase is not Phase.UNKNOWN

    def feed(self, data: memoryview) -> memoryview:
        """Hear what it says; all of it goes to its log."""
        said = bytes(data)
        logged = data if self._strip is None else memoryview(self._strip.feed(said))
        self._hear(self, said)
        return logged

    def end(self) -> bytes:
        """No more will come."""
        return b"" if self._strip is None else self._strip.end()


#: processes, and what stops them
_Stop = tuple[list[Slot], Callable[[list[Slot]], object]]


class Listeners:
    """All pools and their listeners. `publish` is how events come in."""

    def __init__(self, engine: Engine, server: str) -> None:
        self._engine, self._server = engine, server
        self._pools: dict[str, Pool] = {}
        self._wanted: dict[str, list[Pool]] = {}           # by event, in start order
        self._lives: dict[Key, Life] = {}
        self._by_pool: dict[Pool, list[Life]] = {}         # in start order, which is the order of service
        self._room: int | None = None                      # of a pool that has no buffer_size
        self._wakers: dict[Pool, Timer] = {}               # for events that were rejected
        self._reported: dict[Pool, int] = {}               # lost events that the log has, where that is not long ago
        self._stops: list[_Stop] = []                      # listeners that are to be stopped when their work is done
        self._next_serial = 0
        self.subscriptions = Subscriptions()
        engine.making.givers.append(self._give_stdin)
        engine.group_listeners.append(self.group_heard)

    # ---- events ---------------------------------------------------------------------------------------------------

    def wants(self, name: str) -> bool:
        """Whether any pool or client subscribes to the event. If not, nothing need be made of it."""
        return name in self._wanted or self.subscriptions.wants(name)

    def publish(self, name: str, payload: str) -> None:
        """Hand an event to every pool and client that subscribes to it."""
        self.subscriptions.publish(name, payload)
        pools = self._wanted.get(name)
        if not pools:
            return
        event = Event.of(name, self._next_serial, payload)
        self._next_serial = (self._next_serial + 1) % SERIALS
        for pool in pools:
            self._say_lost(pool, pool.accept(event, self._room_of(pool)))
            self._serve(pool)

    def _config(self, pool: Pool) -> GroupConfig | None:
        return self._engine.roster.groups.get(pool.name)

    def _room_of(self, pool: Pool) -> int:
        """How many events may wait: buffer_size, or enough for a storm of all programs."""
        config = self._config(pool)
        if config is not None and config.buffer_size:
            return config.buffer_size
        if self._room is None:
            self._room = max(10, 8 * len(self._engine.roster))
        return self._room

    def _say_lost(self, pool: Pool, gone: list[Event]) -> None:
        """Supervisor's line for the first; for those that follow one line a minute."""
        if gone and pool not in self._reported:
            self._engine.log.write("error", f"pool {pool.name} event buffer overflowed, discarding event "
                                            f"{gone[0].serial}")
            self._engine.log.flush()
            self._reported[pool] = pool.dropped - len(gone) + 1
            self._engine.loop.soon(OVERFLOW_PAUSE, partial(self._say_how_many, pool))

    def _say_how_many(self, pool: Pool) -> None:
        more = pool.dropped - self._reported.pop(pool)
        if more:
            self._engine.log.write("error", f"pool {pool.name} event buffer overflowed, {more} more events discarded, "
                                            f"{pool.dropped} in all")
            self._engine.log.flush()
            self._reported[pool] = pool.dropped
            self._engine.loop.soon(OVERFLOW_PAUSE, partial(self._say_how_many, pool))

    # ---- pools ----------------------------------------------------------------------------------------------------

    def group_heard(self, name: str, what: str) -> None:
        """A group was added, changed or removed: pools and subscriptions follow."""
        self._room = None
        config = self._engine.roster.groups.get(name)
        if what == GROUP_REMOVED or config is None or config.kind is not GroupKind.EVENTLISTENER:
            pool = self._pools.pop(name, None)
            if pool is None:
                return
            if pool in self._wakers:
                self._wakers.pop(pool).cancel()
        else:
            pool = self._pools.setdefault(name, Pool(name))
            for life in self._by_pool.get(pool, ()):
                self._watch(life)              # listener_timeout may be another one
        self._wanted = {}
        groups = self._engine.roster.groups
        for other in sorted(self._pools.values(), key=lambda p: (groups[p.name].priority, p.name)):
            for event in covered(groups[other.name].events):
                self._wanted.setdefault(event, []).append(other)

    def _serve(self, pool: Pool) -> None:
        """Give out what can be given."""
        while True:
            life = next((life for life in self._by_pool.get(pool, ()) if life.free), None)
            if life is None:
                return
            delivery = pool.take(monotonic())
            if delivery is None:
                self._wait(pool)
                return
            if not self._send(life, delivery):
                pool.give_back(delivery)

    def _wait(self, pool: Pool) -> None:
        """Come back when the oldest event, which was rejected, may be given again."""
        when, waker = pool.next_time, self._wakers.get(pool)
        if waker is not None and waker.when == when:
            return
        if waker is not None:
            self._wakers.pop(pool).cancel()
        if when is not None and pool.name in self._pools:
            self._wakers[pool] = self._engine.loop.at(when, partial(self._wake, pool))

    def _wake(self, pool: Pool) -> None:
        del self._wakers[pool]
        self._serve(pool)

    # ---- runs -----------------------------------------------------------------------------------------------------

    def _give_stdin(self, run: Run, _environment: dict[str, str], given: dict[str, int]) -> None:
        """A pipe for a new run of a listener. Raises OSError."""
        pool = self._pools.get(run.slot.group)
        if pool is None:
            return
        self._end(run.slot.key)
        given["stdin"], writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writer, False)
        life = Life(run, pool, writer, self._engine.launching.strip_ansi, self._hear)
        self._lives[run.slot.key] = life
        lives = self._by_pool.setdefault(pool, [])
        lives.append(life)
        lives.sort(key=lambda life: (life.run.slot.config.priority, life.name))

    def life(self, run: Run) -> Life | None:
        """The listener's part of a run; None for any other program."""
        life = self._lives.get(run.slot.key)
        return life if life is not None and life.run is run else None

    def state_heard(self, slot: Slot, change: Publish) -> None:
        """A listener has come up, or has ended."""
        life = self._lives.get(slot.key)
        if life is None:
            return
        if change.state is State.RUNNING:
            self._serve(life.pool)
        elif change.state is State.BACKOFF or (change.state in RESTING_STATES and change.state is not State.UNKNOWN):
            self._end(slot.key)
            if self._stops:
                self._stop_idle()

    def _end(self, key: Key) -> None:
        life = self._lives.pop(key, None)
        if life is None:
            return
        lives = self._by_pool[life.pool]
        lives.remove(life)
        if not lives:
            del self._by_pool[life.pool]
        self._close(life)
        if life.timer is not None:
            life.timer.cancel()
        self._reject(life)

    def _close(self, life: Life) -> None:
        """Nothing can be written to it any more."""
        if life.fd >= 0:
            if life.unsent:
                self._engine.loop.unwatch(life.fd)
            os.close(life.fd)
        life.fd, life.unsent = -1, b""

    def _reject(self, life: Life) -> None:
        """What it was busy with goes back to its pool."""
        delivery, life.delivery, pool = life.delivery, None, life.pool
        if delivery is not None:
            self._say_lost(pool, pool.reject(delivery, monotonic(), self._room_of(pool)))
            self._serve(pool)

    # ---- writing --------------------------------------------------------------------------------------------------

    def _send(self, life: Life, delivery: Delivery) -> bool:
        """Write an event; what does not fit follows as the listener reads. False: it has closed its stdin."""
        config, log = self._config(life.pool), self._engine.log
        data = envelope(delivery.event, self._server, life.pool.name, delivery.serial,
                        config is not None and config.payload_bytes)
        try:
            done = os.write(life.fd, data)
        except BlockingIOError:
            done = 0
        except OSError as error:
            self._close(life)
            log.write("warn", f"{life.name}: cannot be given events, its stdin: {error.strerror}")
            return False
        life.conversation.serve()
        life.delivery, life.since = delivery, monotonic()
        if done < len(data):
            life.unsent = data[done:]
            self._engine.loop.watch(life.fd, EPOLLOUT, lambda _events: self._send_on(life))
        if life.timer is None:
            self._watch(life)
        if log.takes("debug"):
            log.write("debug", f"event {delivery.event.serial} sent to listener {life.name}")
        return True

    def _send_on(self, life: Life) -> None:
        try:
            life.unsent = life.unsent[os.write(life.fd, life.unsent):]
        except BlockingIOError:
            return
        except OSError as error:
            self._close(life)
            self._engine.log.write("warn", f"{life.name}: cannot be given events, its stdin: {error.strerror}")
            self._reject(life)
            self._engine.log.flush()
            return
        if not life.unsent:
            self._engine.loop.unwatch(life.fd)
            self._serve(life.pool)             # it may have answered before it had read all

    # ---- hearing --------------------------------------------------------------------------------------------------

    def _hear(self, life: Life, data: bytes) -> None:
        if self._lives.get(life.run.slot.key) is not life:
            return                             # it has ended; what speaks is something that it left behind
        found = life.conversation.feed(data)
        for said in found:
            self._take(life, said)
        if found:
            self._serve(life.pool)
            if self._stops:
                self._stop_idle()
            self._engine.log.flush()

    def _take(self, life: Life, said: Said) -> None:
        log, name = self._engine.log, life.name
        if said.news is News.ACCEPTED:
            life.delivery = None
            if log.takes("debug"):
                log.write("debug", f"{name}: event was processed")
        elif said.news is News.REJECTED:
            log.write("warn", f"{name}: event was rejected")
            self._reject(life)
        elif said.news is News.BROKEN:
            shown = repr(said.words[:SHOWN_BYTES])[1:] + ("..." if len(said.words) > SHOWN_BYTES else "")
            log.write("error", f"{name}: has entered the UNKNOWN state and will no longer receive events, this usually "
                               f"indicates the process violated the eventlistener protocol; it sent {shown}")
            self._reject(life)

    # ---- the daemon ends ------------------------------------------------------------------------------------------

    def stop(self, slots: list[Slot], stop: Callable[[list[Slot]], object]) -> None:
        """Call `stop` with the processes: at once, but with listeners when they have worked off their events.

        Supervisor's loop gives them a second or so by being slow; without any they would hear of no other's end.
        """
        stop([slot for slot in slots if slot.key not in self._lives])
        listeners = [slot for slot in slots if slot.key in self._lives]
        if listeners:
            waiting = listeners, stop
            self._stops.append(waiting)
            self._engine.loop.soon(LAST_WAIT, partial(self._stop_late, waiting))
            self._stop_idle()

    def _stop_idle(self) -> None:
        for slots, stop in [one for one in self._stops if not any(map(self._is_at_work, one[0]))]:
            self._stops.remove((slots, stop))
            stop(slots)

    def _stop_late(self, waiting: _Stop) -> None:
        if waiting in self._stops:
            self._stops.remove(waiting)
            waiting[1](waiting[0])

    def _is_at_work(self, slot: Slot) -> bool:
        life = self._lives.get(slot.key)
        if life is None or slot.process.state is not State.RUNNING or life.fd < 0:
            return False
        return life.delivery is not None or (len(life.pool) > 0 and life.conversation.phase is not Phase.UNKNOWN)

    # ---- hung listeners -------------------------------------------------------------------------------------------

    def _watch(self, life: Life) -> None:
        """Look at a busy listener when its time is over. One timer for each run: events come by the thousand."""
        if life.timer is not None:
            life.timer.cancel()
            life.timer = None
        if life.delivery is None:
            return
        config = self._config(life.pool)
        limit = config.listener_timeout if config is not None and config.listener_timeout else BUSY_WARNING
        life.timer = self._engine.loop.at(life.since + limit, partial(self._look, life, limit))

    def _look(self, life: Life, limit: float) -> None:
        life.timer = None
        if life.delivery is None or life.run.slot.process.state is not State.RUNNING:
            return
        if monotonic() < life.since + limit:
            self._watch(life)                  # busy, but with a later event
            return
        config, log, serial = self._config(life.pool), self._engine.log, life.delivery.event.serial
        if config is not None and config.listener_timeout:
            log.write("warn", f"{life.name}: has been busy with event {serial} for {limit:g} seconds "
                              "(listener_timeout), killing it")
            self._engine.kill(life.run.slot)
        elif not life.warned:
            life.warned = True
            log.write("warn", f"{life.name}: has been busy with event {serial} for {limit:g} seconds; "
                              "listener_timeout would restart it")
        log.flush()
