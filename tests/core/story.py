"""Words to tell a process's life in: `up(startsecs=1) | exited(1) >> BACKOFF`, one line a sentence of the manual."""

from collections.abc import Callable

from sdsuper.config.model import AutoRestart, LogConfig, ProcessConfig, Restart
from sdsuper.core.machine import step
from sdsuper.core.vocabulary import (
    Effect,
    Elapsed,
    Emptied,
    Exit,
    Exited,
    Input,
    Kill,
    LaunchFailed,
    Process,
    Publish,
    Signal,
    SignalFailed,
    Spawn,
    Spawned,
    SpawnFailed,
    Start,
    State,
    Stop,
)

QUIET = LogConfig((), 0, 0, 0, False)
DEFAULTS = ProcessConfig(
    name="web", program="web", command="/bin/web", environment=(), directory=None, umask=None, user=None, priority=999,
    autostart=True, autorestart=AutoRestart.UNEXPECTED, startsecs=1, startretries=3, exitcodes=(0,), stopsignals=(15,),
    stopwaitsecs=10, stopasgroup=False, killasgroup=False, redirect_stderr=False, stdout=QUIET, stderr=QUIET,
    serverurl=None, nice=None, rlimits=(), leftovers=False, user_environment=False, limits=(),
    limits_optional=False, sandbox=None, restart=Restart(),
)


def policy(**options: object) -> ProcessConfig:
    return DEFAULTS._replace(**options)  # type: ignore[arg-type]


class Story:
    """A process with its policy and clock. `story | what` lets something happen, `story >> STATE` demands a state."""

    def __init__(self, **options: object) -> None:
        self.policy, self.process, self.now = policy(**options), Process(), 1000.0
        self.effects: list[Effect] = []

    def feed(self, input: Input) -> list[Effect]:
        self.process, effects = step(self.process, input, self.policy, self.now)
        self.effects += effects
        return effects

    def __or__(self, what: "What") -> "Story":
        what(self)
        return self

    def __rshift__(self, state: State) -> "Story":
        assert self.process.state is state, f"{self.process.state.name}, not {state.name}"
        return self

    @property
    def published(self) -> list[State]:
        return [e.state for e in self.effects if isinstance(e, Publish)]

    @property
    def sent(self) -> list[Signal | Kill]:
        return [e for e in self.effects if isinstance(e, (Signal, Kill))]

    @property
    def spawns(self) -> int:
        return sum(isinstance(e, Spawn) for e in self.effects)


class What:
    """Something that can happen, given the run at that moment."""

    def __init__(self, happen: Callable[[Story], object]) -> None:
        self.happen = happen

    def __call__(self, story: Story) -> None:
        self.happen(story)

    def __rshift__(self, state: State) -> "What":
        """Python reads `story | what >> STATE` as `story | (what >> STATE)`: what happens, then the demand."""
        def both(story: Story) -> None:
            self(story)
            story >> state
        return What(both)


start = What(lambda s: s.feed(Start()))
stop = What(lambda s: s.feed(Stop()))
shutdown = What(lambda s: s.feed(Stop(shutdown=True)))
spawned = What(lambda s: s.feed(Spawned(s.process.run, 4242)))
emptied = What(lambda s: s.feed(Emptied(s.process.run)))


def spawn_failed(reason: str = "no", lack: bool = False) -> What:
    return What(lambda s: s.feed(SpawnFailed(s.process.run, reason, lack)))


def launch_failed(reason: str = "no", lack: bool = False) -> What:
    return What(lambda s: s.feed(LaunchFailed(s.process.run, reason, lack)))


def signal_failed(reason: str = "no") -> What:
    return What(lambda s: s.feed(SignalFailed(s.process.run, reason)))


def exited(code: int = 0, populated: bool = False) -> What:
    return What(lambda s: s.feed(Exited(s.process.run, Exit(code), populated)))


def killed(number: int = 9, populated: bool = False) -> What:
    return What(lambda s: s.feed(Exited(s.process.run, Exit(-1, number), populated)))


def after(seconds: float) -> What:
    """Time passes; a deadline that has passed is told."""
    def pass_time(story: Story) -> None:
        end = story.now + seconds
        steps = 0
        while story.process.deadline is not None and story.process.deadline <= end:
            steps += 1
            assert steps < 10_000, "nothing follows from a deadline"
            story.now = max(story.now, story.process.deadline)
            story.feed(Elapsed(story.process.run))
        story.now = end
    return What(pass_time)


def up(**options: object) -> Story:
    """A process that has been asked to start and has a child."""
    return Story(**options) | start | spawned


def running(**options: object) -> Story:
    """One that has been RUNNING for a while."""
    story = up(**options) | after(100) >> State.RUNNING
    story.effects.clear()
    return story
