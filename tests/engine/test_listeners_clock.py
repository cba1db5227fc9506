"""What listeners are said of in the log as time goes by: an engine in this process, whose minutes are short."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import Start, State, Stop
from sdsuper.engine import listeners as module
from sdsuper.engine.announce import Announcements
from sdsuper.engine.launching import Surroundings
from sdsuper.engine.listeners import Listeners
from sdsuper.engine.outputs import Outputs
from sdsuper.engine.resources import Resources
from sdsuper.engine.supervise import GROUP_ADDED, Engine
from sdsuper.engine.trees import Trees
from sdsuper.logs.journal import Journal
from sdsuper.logs.main import MainLog
from sdsuper.logs.sinks import ConsoleSink, Sink
from sdsuper.system.loop import Loop
from sdsuper.system.process import Launcher
from tests.config.fake import HEAD, read
from tests.looping import fresh_loop, turn_until


class Lines(Sink):
    """Keeps the log."""

    def __init__(self) -> None:
        super().__init__(print)
        self.text = ""

    def write(self, data: memoryview) -> None:
        self.text += bytes(data).decode()

    def messages(self, word: str) -> list[str]:
        """The lines with a word, without their times."""
        return [line.split(" ", 2)[2] for line in self.text.splitlines() if word in line]


class World:
    """An engine, its listeners and their log."""

    def __init__(self, loop: Loop, folder: Path) -> None:
        self.loop, self.lines, log = loop, Lines(), MainLog("info")
        log.sinks = [self.lines]

        def console(_path: str) -> ConsoleSink:
            raise AssertionError("nobody has a console here")

        outputs = Outputs(str(folder), "test", console, Journal(), log.write)
        trees, surroundings = Trees(loop, None, "test"), Surroundings({}, None, (), False)
        self.engine = Engine(loop, log, Launcher(), trees, outputs, Resources(loop, None, log), surroundings)
        self.listeners = Listeners(self.engine, "test")
        self.engine.listeners.append(Announcements(self.engine, self.listeners).state_heard)

    def add(self, section: str) -> list[Slot]:
        """A pool; returns its processes."""
        (group,) = read(HEAD + section).groups
        self.engine.roster.set_group(group)
        self.engine.tell_of_group(group.name, GROUP_ADDED)
        slots = self.engine.roster.members(group.name)
        for slot in slots:
            self.engine.outputs.add(slot.key, slot.config)
        return slots

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        turn_until(self.loop, condition, what)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with fresh_loop() as loop:
        made = World(loop, tmp_path)
        yield made
        made.engine.submit_all([(slot, Stop()) for slot in made.engine.roster])
        made.until(lambda: all(slot.resting for slot in made.engine.roster), "the end of all")
        made.engine.close()


def test_overflows_are_counted_once_in_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OVERFLOW_PAUSE", 0.3)
    world.add("[eventlistener:l]\ncommand=sleep 1000\nevents=REMOTE_COMMUNICATION\nbuffer_size=2\n")
    for _ in range(10):
        world.listeners.publish("REMOTE_COMMUNICATION", "x")
    assert world.lines.messages("overflowed") == ["ERRO pool l event buffer overflowed, discarding event 0"]
    world.until(lambda: len(world.lines.messages("overflowed")) == 2)
    world.listeners.publish("REMOTE_COMMUNICATION", "x")
    world.until(lambda: len(world.lines.messages("overflowed")) == 3)
    assert world.lines.messages("overflowed")[1:] == [
        "ERRO pool l event buffer overflowed, 7 more events discarded, 8 in all",
        "ERRO pool l event buffer overflowed, 1 more events discarded, 9 in all"]
    over = []
    world.loop.soon(0.7, lambda: over.append(True))
    world.until(lambda: over)
    assert len(world.lines.messages("overflowed")) == 3, "nothing is said of nothing"
    world.listeners.publish("REMOTE_COMMUNICATION", "x")
    assert world.lines.messages("overflowed")[3:] == ["ERRO pool l event buffer overflowed, discarding event 9"]


def test_a_listener_that_is_busy_for_long_is_mentioned_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_WARNING", 0.2)
    (slot,) = world.add("[eventlistener:l]\ncommand=sh -c 'echo READY; sleep 1; echo RESULT 2; printf OK; "
                        "echo READY; exec sleep 1000'\nevents=REMOTE_COMMUNICATION\nstartsecs=0\n"
                        "stdout_logfile=NONE\nstderr_logfile=NONE\n")
    world.engine.submit(slot, Start())
    world.listeners.publish("REMOTE_COMMUNICATION", "x")
    world.listeners.publish("REMOTE_COMMUNICATION", "y")
    world.until(lambda: world.lines.messages("busy"))
    over = []
    world.loop.soon(2, lambda: over.append(True))
    world.until(lambda: over)
    assert world.lines.messages("busy") == [
        "WARN l: has been busy with event 0 for 0.2 seconds; listener_timeout would restart it"]
    assert slot.process.state is State.RUNNING and slot.process.run == 1
