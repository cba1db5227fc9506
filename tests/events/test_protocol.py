"""What listeners say: the states of Supervisor, however the bytes are cut."""

import json
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.events.protocol import Conversation, News, Phase

ORIGINAL = Path(__file__).parents[2] / ".venv/original/bin/python"

#: Run with the original's Python: its dispatcher hears the same pieces, and is served whenever it is READY.
SCRIPT = """
import json, sys
from supervisor import dispatchers, events
from supervisor.states import EventListenerStates, getEventListenerStateDescription

class Thing:
    def __getattr__(self, name):
        return lambda *a, **k: None

rejected = []
events.subscribe(events.EventRejectedEvent, rejected.append)
answers = []
for pieces in json.load(sys.stdin):
    process, options = Thing(), Thing()
    process.config, process.group = Thing(), Thing()
    process.config.name, process.config.stdout_logfile, process.config.options = "l", None, options
    process.config.options.logger = Thing()
    process.group.config = Thing()
    process.group.config.result_handler = dispatchers.default_handler
    dispatcher = dispatchers.PEventListenerDispatcher(process, "stdout", 0)
    states = []
    for piece in pieces:
        options.readfd = lambda fd: bytes.fromhex(piece)
        del rejected[:]
        dispatcher.handle_read_event()
        states.append([getEventListenerStateDescription(process.listener_state), len(rejected)])
        if process.listener_state == EventListenerStates.READY:
            process.listener_state, process.event = EventListenerStates.BUSY, object()
    answers.append(states)
json.dump(answers, sys.stdout)
"""

WORDS = (b"READY\n", b"RESULT 2\nOK", b"RESULT 4\nFAIL", b"RESULT 2\nOKREADY\n", b"RESULT 2\nNO", b"ANSWER 2\nOK",
         b"RESULT  2 \nOK", b"RESULT x\n", b"RESULT\n", b"RESULT 1_0\n0123456789", b"\n", b"READ", b"noise\n",
         b"RESULT \xff\n", b"RESULT 3\nOK\n", b"OK")


def scripts() -> list[list[bytes]]:
    """What listeners may say, in pieces; most say something right for a while."""
    luck = random.Random(3)
    found = []
    for _ in range(600):
        said = b"".join(luck.choice(WORDS[:5] if luck.random() < 0.9 else WORDS) for _ in range(luck.randrange(1, 9)))
        if luck.random() < 0.8:
            said = b"READY\n" + said
        cuts = sorted(luck.sample(range(1, len(said)), min(len(said) - 1, luck.randrange(6)))) if len(said) > 1 else []
        found.append([said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)])
    return found


def hear(pieces: list[bytes]) -> list[tuple[str, int]]:
    """Our states after each piece, and the rejections it brought."""
    conversation, states = Conversation(), []
    for piece in pieces:
        busy = conversation.phase is Phase.BUSY
        rejected = 0
        for said in conversation.feed(piece):
            if said.news is News.REJECTED or (said.news is News.BROKEN and busy):
                rejected += 1
            busy = False
        states.append((conversation.phase.name, rejected))
        if conversation.phase is Phase.READY:
            conversation.serve()
    return states


def test_the_same_states_as_supervisors() -> None:
    cases = scripts()
    done = subprocess.run([ORIGINAL, "-c", SCRIPT], capture_output=True, text=True, timeout=60,
                          input=json.dumps([[piece.hex() for piece in pieces] for pieces in cases]))
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    states = set()
    for pieces, expected in zip(cases, theirs, strict=True):
        assert hear(pieces) == [tuple(pair) for pair in expected], pieces
        states |= {state for state, _rejected in expected}
    assert states == {"ACKNOWLEDGED", "READY", "BUSY", "UNKNOWN"}, "the cases reach every state"


def test_every_transition() -> None:
    conversation = Conversation()
    assert conversation.phase is Phase.ACKNOWLEDGED
    assert [said.news for said in conversation.feed(b"READY\n")] == [News.READY]
    conversation.serve()
    assert conversation.feed(b"RESULT 2\nO") == []
    assert [said.news for said in conversation.feed(b"KREADY\n")] == [News.ACCEPTED, News.READY]
    conversation.serve()
    assert [said.news for said in conversation.feed(b"RESULT 4\nFAIL")] == [News.REJECTED]
    assert conversation.phase is Phase.ACKNOWLEDGED
    assert conversation.feed(b"READY\n" * 2)[-1] == (News.BROKEN, b"READY\n"), "nobody has asked it"
    assert conversation.feed(b"READY\n") == [] and conversation.phase is Phase.UNKNOWN, "there is no way back"


@pytest.mark.parametrize("said, words", [
    (b"RESULT -1\nOK", b"RESULT -1"), (b"RESULT x\n", b"RESULT x"), (b"\n", b""), (b"RESULT\n", b"RESULT"),
    (b"RESULT " + b"9" * 5000, b"RESULT " + b"9" * 5000), (b"RESULT " + b"9" * 5000 + b"\n", b"RESULT " + b"9" * 5000),
])
def test_bad_result_lines(said: bytes, words: bytes) -> None:
    conversation = Conversation()
    conversation.feed(b"READY\n")
    conversation.serve()
    assert conversation.feed(said) == [(News.BROKEN, words)]


@pytest.mark.parametrize("answer", [b"", b"O", b"OKAY", b"ok", b"OK\n"])
def test_anything_but_ok_is_a_rejection(answer: bytes) -> None:
    conversation = Conversation()
    conversation.feed(b"READY\n")
    conversation.serve()
    assert conversation.feed(b"RESULT %d\n%s" % (len(answer), answer)) == [(News.REJECTED, b"")]
    assert conversation.feed(b"READY\n") == [(News.READY, b"")]


def test_a_large_answer_takes_no_memory() -> None:
    conversation = Conversation()
    conversation.feed(b"READY\n")
    conversation.serve()
    assert conversation.feed(b"RESULT 1000000000000\n") == []
    for _ in range(100):
        assert conversation.feed(b"x" * 1_000_000) == []
    assert sum(len(getattr(conversation, name)) for name in ("_rest", "_answer")) < 100


@given(st.lists(st.sampled_from([b"OK", b"FAIL", b"", b"a longer answer\n"]), max_size=8), st.data())
def test_cuts_do_not_matter(answers: list[bytes], data: st.DataObject) -> None:
    conversation = Conversation()
    for said, expected in [(b"READY\n", [News.READY])] + [
        (b"RESULT %d\n%sREADY\n" % (len(answer), answer),
         [News.ACCEPTED if answer == b"OK" else News.REJECTED, News.READY]) for answer in answers
    ]:
        found = []
        while said:
            cut = data.draw(st.integers(1, len(said)))
            found += [piece.news for piece in conversation.feed(said[:cut])]
            said = said[cut:]
        assert found == expected
        conversation.serve()


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_nothing_that_is_said_breaks_it(pieces: list[bytes]) -> None:
    conversation = Conversation()
    for piece in pieces:
        for said in conversation.feed(piece):
            assert said.words == b"" or said.news is News.BROKEN
        if conversation.phase is Phase.READY:
            conversation.serve()
