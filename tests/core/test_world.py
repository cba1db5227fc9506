"""The roster against a fake world of children, time and whims: invariants after every step, liveness at the end.

The world is believable: a child dies of SIGKILL and of nothing else if it is stubborn, leaves others behind if it is
careless, and its news arrive late and in any order that a kernel could produce.
"""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sdsuper.config.health import UNCHECKED, Check, Health
from sdsuper.config.lifecycle import Condition, Depends, Hooks, Lost, Need, Readiness, ReadyKind, Unmet
from sdsuper.config.model import UNLIMITED, AutoRestart, GroupConfig, GroupKind, LimitAction, Restart
from sdsuper.core.policy import resigned
from sdsuper.core.roster import Roster, StopOrder
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import (
    CHILD_STATES,
    RESTING_STATES,
    Blocked,
    Checked,
    Cleared,
    Emptied,
    EndHook,
    Exit,
    Exited,
    Faulty,
    Goal,
    Hook,
    HookDone,
    Input,
    Kill,
    LaunchFailed,
    Moved,
    Phase,
    Publish,
    PublishHealth,
    Ready,
    RunHook,
    Say,
    Signal,
    Spawn,
    Spawned,
    SpawnFailed,
    Stall,
    Start,
    State,
    Stop,
)
from tests.core.story import policy

CHECK = Check("true", 0, 1, 1, 1, 1)
#: What Supervisor's diagram allows; from EXITED and STOPPED to BACKOFF is ours, for runs that were no good ones.
LEGAL = {
    State.STOPPED: {State.STARTING, State.BACKOFF}, State.STARTING: {State.RUNNING, State.BACKOFF, State.STOPPING},
    State.RUNNING: {State.EXITED, State.STOPPING}, State.BACKOFF: {State.STARTING, State.FATAL, State.STOPPED},
    State.STOPPING: {State.STOPPED, State.UNKNOWN}, State.EXITED: {State.STARTING, State.BACKOFF},
    State.FATAL: {State.STARTING}, State.UNKNOWN: set(),
}

restarts = st.just(Restart()) | st.builds(
    Restart, pause=st.integers(0, 3), factor=st.sampled_from([1.0, 1.5, 10.0]), longest=st.integers(1, 9),
    jitter=st.sampled_from([0, 50]), reset=st.sampled_from([-1, 0, 2, 30]), limit=st.sampled_from([-1, 1, 2, 3]),
    window=st.sampled_from([5, 20]), action=st.sampled_from(LimitAction),
) | st.builds(lambda limit, action: Restart(limit=limit, action=action), st.integers(1, 3),
              st.sampled_from([LimitAction.FATAL, LimitAction.STOP]))
policies = st.builds(
    policy, restart=restarts,
    autorestart=st.sampled_from(AutoRestart), startsecs=st.integers(0, 3), startretries=st.integers(-1, 3),
    stopwaitsecs=st.integers(0, 4), stopsignals=st.sampled_from([(15,), (1, 15)]), killasgroup=st.booleans(),
    leftovers=st.booleans(), readiness=st.sampled_from([Readiness(), Readiness(), Readiness(ReadyKind.NOTIFY),
                                                        Readiness(ReadyKind.NOTIFY, timeout=2)]),
    hooks=st.sampled_from([Hooks(), Hooks(), Hooks(pre_start="a"), Hooks(pre_stop="b", post_start="c"),
                           Hooks(post_stop="d"), Hooks("a", "b", "c", "d")]),
    health=st.sampled_from([UNCHECKED, UNCHECKED, Health(ready=CHECK), Health(startup=CHECK, startup_seconds=3)]),
    depends=st.builds(Depends, timeout=st.sampled_from([0, 0, 5]), unmet=st.sampled_from(Unmet),
                      lost=st.sampled_from(Lost)),
)
#: for each process what it needs of each of those before it: a condition or nothing, and whether it is a wish
wants = st.lists(st.lists(st.tuples(st.sampled_from([None, *Condition]), st.booleans()), min_size=2, max_size=2),
                 min_size=3, max_size=3)


class Child:
    def __init__(self, slot: Slot, run: int, stubborn: bool, careless: bool) -> None:
        self.slot, self.run, self.stubborn, self.careless = slot, run, stubborn, careless
        self.alive, self.others = True, careless


class World(RuleBasedStateMachine):
    @initialize(configs=st.lists(policies, min_size=1, max_size=3), priorities=st.lists(st.integers(0, 2), min_size=3),
                wanted=wants)
    def begin(self, configs: list, priorities: list[int], wanted: list) -> None:
        self.now, self.roster, self.children = 0.0, Roster(), []
        self.queue: deque[tuple[Slot, Input]] = deque()
        self.log: dict[tuple[str, str], list[State]] = {}
        self.mood = (False, False, False, False)
        self.waits: dict[tuple[str, str], tuple[float, float]] = {}
        self.by_itself: dict[tuple[str, str], list[float]] = {}
        self.news: Input = Start()
        self.asked: dict[tuple[str, str], bool] = {}
        self.faulted: set[tuple[str, str]] = set()
        self.hooks: list[tuple[Slot, RunHook]] = []
        self.shutting_down = False
        for i, config in enumerate(configs):
            name = f"p{i}"
            needs = tuple(Need(f"p{j}", f"p{j}", condition, optional)
                          for j, (condition, optional) in enumerate(wanted[i][:i]) if condition is not None)
            config = config._replace(depends=config.depends._replace(needs=needs))
            self.roster.set_group(GroupConfig(name, GroupKind.PROGRAM, priorities[i], (config._replace(name=name),)))

    # ---- the world ----

    def feed(self, slot: Slot, input: Input) -> None:
        self.queue.append((slot, input))
        self.turns = 0
        while self.queue:
            slot, input = self.queue.popleft()
            before, self.news = slot.process, input
            if isinstance(input, (Start, Stop)):
                self.faulted.discard(slot.key)
            for effect in self.roster.feed(slot, input, self.now):
                self.carry_out(slot, effect)
            if isinstance(input, Cleared) and before.phase is Phase.WAITING and slot.process.phase is not Phase.WAITING:
                assert all(self.is_met(need) for need in slot.config.depends.needs), "started too early"
            if slot.process.run != before.run:
                self.faulted.discard(slot.key)
            if not before.fault and slot.process.fault:
                self.faulted.add(slot.key)
            self.queue += [(other, self.as_the_engine(what)) for other, what in self.roster.following()
                           if not (self.shutting_down and isinstance(what, Start))]
            self.turns += 1
            assert self.turns < 10_000, "it goes round in circles"
            if getattr(input, "run", before.run) != before.run:
                assert slot.process == before, "old news changed something"

    def as_the_engine(self, input: Input) -> Input:
        """Nobody comes back while the daemon ends."""
        return input._replace(again=False) if self.shutting_down and isinstance(input, Stop) else input

    def carry_out(self, slot: Slot, effect: object) -> None:
        if isinstance(effect, Publish):
            history = self.log.setdefault(slot.key, [State.STOPPED])
            assert effect.from_state is history[-1], "a change was not published, or out of order"
            assert effect.state in LEGAL[effect.from_state], f"{effect.from_state.name} to {effect.state.name}"
            history.append(effect.state)
            if effect.state is State.BACKOFF:
                self.waits[slot.key] = self.now, self.least_pause(slot)
            elif effect.from_state is State.BACKOFF and effect.state is State.STARTING:
                since, pause = self.waits.pop(slot.key)
                assert self.now - since > pause - 1e-6, "a failed start was tried again too soon"
            elif effect.state is State.STARTING and slot.key not in self.faulted and (
                    effect.from_state is not State.EXITED or isinstance(self.news, Start)):
                self.asked[slot.key] = True
            self.look_at_fatal(slot, effect)
        elif isinstance(effect, Spawn):
            assert not any(c.alive and c.slot is slot for c in self.children), "a second child"
            fails, stubborn, careless, lack = self.mood
            if fails:
                self.queue.appendleft((slot, SpawnFailed(effect.run, "no", lack)))
            else:
                self.count(slot)
                self.children.append(Child(slot, effect.run, stubborn, careless))
                self.queue.appendleft((slot, Spawned(effect.run, 100 + len(self.children))))
        elif isinstance(effect, (Signal, Kill)):
            for child in self.children:
                if child.slot is slot and child.run == effect.run:
                    self.hit(child, effect)
            if isinstance(effect, Signal) and isinstance(self.news, Stop):
                self.look_at_order(slot)
        elif isinstance(effect, RunHook):
            assert getattr(slot.config.hooks, effect.hook.value) or effect.hook is Hook.PRE_START
            self.hooks.append((slot, effect))
        elif isinstance(effect, EndHook):
            self.hooks = [(s, h) for s, h in self.hooks
                          if s is not slot or h.hook is Hook.POST_STOP or h.run != effect.run]
        else:
            assert isinstance(effect, (Say, PublishHealth, Stall))

    def is_met(self, need: Need) -> bool:
        """What a need asks for, worked out anew."""
        slot = self.roster.get((need.group, need.process))
        assert slot is not None
        state = slot.process.state
        if need.condition is Condition.COMPLETED:
            good = state is State.EXITED and slot.process.exit.code in slot.config.exitcodes
        else:
            good = not self.roster.dependencies.held(slot.key) and (state is State.RUNNING or (
                need.condition is Condition.STARTED and state is State.STARTING and slot.process.pid > 0))
            if need.condition is not Condition.STARTED:
                good = good and slot.process.ready is not False
            if need.condition is Condition.HEALTHY:
                good = good and slot.process.healthy is not False
        held = need.condition is not Condition.COMPLETED and self.roster.dependencies.held(slot.key)
        leaves = held or state is State.STOPPING         # who is held may still complete by itself
        gone = state in RESTING_STATES or (leaves and self.roster.dependencies.goal(slot) is Goal.DOWN)
        return good or (need.optional and gone)

    def look_at_order(self, slot: Slot) -> None:
        """A process is told to stop: those that do not outlive it are down by now, or wait for it."""
        for other in self.roster:
            names = [need.process for need in other.config.depends.needs
                     if need.condition is not Condition.COMPLETED and not need.optional]
            if other.config.depends.lost is not Lost.IGNORE and slot.config.name in names:
                up = other.process.state in CHILD_STATES and other.process.phase is not Phase.WAITING
                assert not up, "stopped before what depends on it"

    def least_pause(self, slot: Slot) -> float:
        """The pause that the options ask for at least, worked out in another way than the machine does."""
        how, process = slot.config.restart, slot.process
        if process.lacking:
            return min(process.lacks, 10)
        if not process.tries:
            return 0.0                      # it waits for its restart_limit alone
        steps = [float(step) for step in range(1, process.tries + 1)]
        if how.pause or how.factor > 1:
            steps = [float(how.pause or 1)]
            while len(steps) < process.tries:
                steps.append(steps[-1] * how.factor)
        return min(steps[-1], how.longest or steps[-1])

    def look_at_fatal(self, slot: Slot, change: Publish) -> None:
        shutdown = isinstance(self.news, (Stop, Blocked))
        if change.state is State.FATAL and not shutdown and not self.shutting_down:
            assert not getattr(self.news, "lack", False), "the machine's fault was taken for the program's"
            limited = slot.config.restart.limit > 0
            assert slot.config.startretries != UNLIMITED or limited, "given up although it is to go on for ever"

    def count(self, slot: Slot) -> None:
        """A child is made: in no stretch of time are there more that nobody asked for than the limit allows."""
        how, times = slot.config.restart, self.by_itself.setdefault(slot.key, [])
        if self.asked.pop(slot.key, False):
            times.clear()
            return
        times.append(self.now)
        if how.limit > 0:
            late = [time for time in times if not how.window or time > self.now - how.window + 1e-6]
            assert len(late) <= how.limit, "more restarts than restart_limit allows"

    def hit(self, child: Child, effect: Signal | Kill) -> None:
        if isinstance(effect, Kill) and effect.tree and child.others:
            child.others = False
            if not child.alive:
                self.queue.append((child.slot, Emptied(child.run)))
        if child.alive and (isinstance(effect, Kill) or not child.stubborn):
            self.end(child, Exit(-1, 9 if isinstance(effect, Kill) else effect.number))

    def end(self, child: Child, exit: Exit) -> None:
        child.alive = False
        self.queue.append((child.slot, Exited(child.run, exit, child.others)))

    def deliver(self) -> None:
        if self.queue:
            slot, input = self.queue.popleft()
            self.feed(slot, input)

    # ---- what may happen ----

    @rule(fails=st.booleans(), stubborn=st.booleans(), careless=st.booleans(), lack=st.booleans())
    def mood_changes(self, fails: bool, stubborn: bool, careless: bool, lack: bool) -> None:
        self.mood = (fails, stubborn, careless, lack)

    @rule(data=st.data(), input=st.sampled_from([Start(), Stop(), Stop(shutdown=True)]))
    def command(self, data: st.DataObject, input: Input) -> None:
        self.feed(data.draw(st.sampled_from(list(self.roster))), input)

    @rule(data=st.data(), inputs=st.lists(st.sampled_from([Start(), Stop()]), min_size=2, max_size=3))
    def commands_at_once(self, data: st.DataObject, inputs: list[Input]) -> None:
        for input in inputs:
            self.queue.append((data.draw(st.sampled_from(list(self.roster))), input))
        self.deliver()

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 3.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.roster.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            due = self.roster.due(self.now)
            assert due, "a deadline that is due must be told"
            for slot, elapsed in due:
                self.feed(slot, elapsed)
        self.now = end

    @rule(data=st.data(), code=st.integers(0, 3), launch=st.booleans(), lack=st.booleans())
    def child_ends(self, data: st.DataObject, code: int, launch: bool, lack: bool) -> None:
        alive = [c for c in self.children if c.alive]
        if alive:
            child = data.draw(st.sampled_from(alive))
            if launch:
                self.queue.append((child.slot, LaunchFailed(child.run, "could not", lack)))
                code = 127
            self.end(child, Exit(code))
            self.deliver()

    @rule(data=st.data())
    def others_end(self, data: st.DataObject) -> None:
        left = [c for c in self.children if c.others and not c.alive]
        if left:
            child = data.draw(st.sampled_from(left))
            child.others = False
            self.feed(child.slot, Emptied(child.run))

    @rule(data=st.data(), run=st.integers(0, 3), kind=st.sampled_from(["exit", "spawned", "empty"]))
    def old_news(self, data: st.DataObject, run: int, kind: str) -> None:
        slot = data.draw(st.sampled_from(list(self.roster)))
        if run < slot.process.run:
            self.feed(slot, {"exit": Exited(run, Exit(0)), "spawned": Spawned(run, 1), "empty": Emptied(run)}[kind])

    @rule(data=st.data(), well=st.booleans())
    def hook_ends(self, data: st.DataObject, well: bool) -> None:
        if self.hooks:
            slot, hook = self.hooks.pop(0)
            self.feed(slot, HookDone(hook.run, hook.hook, "" if well else "exit status 1"))

    @rule(data=st.data(), kind=st.sampled_from(["ready", "faulty", "well", "ill", "unready", "unknown", "moved"]))
    def seen(self, data: st.DataObject, kind: str) -> None:
        slot = data.draw(st.sampled_from(list(self.roster)))
        run = slot.process.run
        self.feed(slot, {"ready": Ready(run, "notify"), "faulty": Faulty(run, "no answer"), "moved": Moved(run, 77),
                         "well": Checked(run, True, ""), "ill": Checked(run, False, ""),
                         "unready": Checked(run, None, "busy", False), "unknown": Checked(run, None, "")}[kind])

    # ---- what always holds ----

    @invariant()
    def records_make_sense(self) -> None:
        for slot in getattr(self, "roster", ()):
            process, alive = slot.process, [c for c in self.children if c.alive and c.slot is slot]
            history = self.log.get(slot.key, [State.STOPPED])
            assert history[-1] is process.state
            assert len(alive) <= 1
            assert bool(alive) <= (process.state in CHILD_STATES | {State.UNKNOWN})
            if process.state is not State.RUNNING:
                assert (process.health, process.trouble) == ("unknown", "")
            if process.state in RESTING_STATES:
                assert process.deadline is None
                assert process.goal is Goal.DOWN
            how = slot.config.restart
            assert len(process.restarts) <= max(how.limit, 0)
            if process.state is State.RUNNING:
                assert process.tries == 0 or how.reset
                assert alive or self.queue
            if process.phase is Phase.WAITING:
                assert process.state is State.STARTING and not alive
                assert self.queue or not all(map(self.is_met, slot.config.depends.needs)), "it would wait for ever"
            if process.phase is Phase.HOOK:
                hook = Hook.PRE_START if process.state is State.STARTING else Hook.PRE_STOP
                assert any(s is slot and h.hook is hook and h.run == process.run for s, h in self.hooks)
            elif process.state in (State.BACKOFF, State.STOPPING):
                assert process.deadline is not None, "it would wait for ever"
            if process.state is State.BACKOFF:
                assert process.attempts > 0 or how.action is LimitAction.WAIT
                assert process.tries <= slot.config.startretries or slot.config.startretries == UNLIMITED

    def teardown(self) -> None:
        """Liveness: however it went, a shutdown ends everything, in order, in the time that the ladders take."""
        if not hasattr(self, "roster"):
            return
        while self.queue:
            self.deliver()
        order = StopOrder(self.roster, self.roster)
        self.shutting_down = True
        self.queue = deque(pair for pair in self.queue if not isinstance(pair[1], Start))
        todo = order.next()
        for slot in (*todo, *order.later()):
            slot.config = resigned(slot.config)
        for _ in range(100):
            for slot in todo:
                self.feed(slot, Stop(shutdown=True))
            while self.hooks:
                slot, hook = self.hooks.pop(0)
                self.feed(slot, HookDone(hook.run, hook.hook))
            todo = []
            for slot in self.roster:
                if slot.resting:
                    todo += order.done(slot)
            if order.finished:
                break
            if not todo:
                self.time_passes(10.0)
        assert order.finished, [slot.process for slot in self.roster]
        assert all(slot.resting for slot in self.roster)
        assert not any(c.alive for c in self.children if c.slot.process.state is not State.UNKNOWN)


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
