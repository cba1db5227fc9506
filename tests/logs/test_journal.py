"""The journal's native protocol: what a receiver gets, of every kind of line, and what happens when it does not."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sdsuper.logs import journal as module
from sdsuper.logs.journal import LONGEST, Journal, JournalEntries, JournalSink, available, encoded, is_journal
from sdsuper.logs.main import MainLog
from sdsuper.logs.pipes import READ_BYTES, Pump, Stream
from sdsuper.logs.sinks import Sink
from sdsuper.system.loop import Loop
from tests.logs.journald import Journald, messages, one, parsed
from tests.looping import fresh_loop, turn_until

FIELDS = (("SYSLOG_IDENTIFIER", "web"), ("SDSUPER_PROCESS", "web"))


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    made = Journald(tmp_path / "socket")
    yield made
    made.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(str(tmp_path / "socket"))
    yield made
    made.flush_last(0.0)


@pytest.fixture
def loop() -> Iterator[Loop]:
    with fresh_loop() as made:
        yield made


def sink(journal: Journal, severity: int = 6, said: list[str] | None = None) -> tuple[JournalSink, Sink]:
    """The target of a stream, and one run's part of it."""
    target = JournalSink(journal, severity, encoded(FIELDS), ([] if said is None else said).append)
    run = target.of_run(3)
    run.begin(42)
    return target, run


def test_a_line_is_an_entry_with_fields(journald: Journald, journal: Journal) -> None:
    _target, run = sink(journal)
    run.write(memoryview(b"one\n\ntwo\nthr"))
    first, second = map(one, journald.take())
    usual = {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "web", "SDSUPER_PROCESS": "web", "SYSLOG_PID": "42",
             "SDSUPER_RUN": "3"}
    assert first == {**usual, "MESSAGE": "one"}
    assert second == {**usual, "MESSAGE": "two"}
    run.write(memoryview(b"ee\nfour"))
    assert [one(entry)["MESSAGE"] for entry in journald.take()] == ["three"]
    run.end()
    assert list(map(one, journald.take())) == [{**usual, "MESSAGE": "four", "SDSUPER_LINE_BREAK": "eof"}]
    run.end()
    assert journald.take() == []


@pytest.mark.parametrize(("line", "priority", "message"), [
    (b"<0>panic", b"0", b"panic"), (b"<7>debug", b"7", b"debug"), (b"<3> blank", b"3", b" blank"),
    (b"<8>none", b"6", b"<8>none"), (b"<33>syslog's", b"6", b"<33>syslog's"), (b"<a>tag", b"6", b"<a>tag"),
    (b"<3", b"6", b"<3"), (b"<>", b"6", b"<>"), (b"x<3>", b"6", b"x<3>"), (b"<3><4>", b"3", b"<4>"),
])
def test_a_line_may_begin_with_its_priority(journald: Journald, journal: Journal, line: bytes, priority: bytes,
                                            message: bytes) -> None:
    _target, run = sink(journal)
    run.write(memoryview(line + b"\n"))
    (entry,) = journald.take()
    assert entry["PRIORITY"] == [priority] and entry["MESSAGE"] == [message]
    run.write(memoryview(b"next\n<5>\n"))
    assert [(entry["PRIORITY"], entry["MESSAGE"]) for entry in journald.take()] == [([b"6"], [b"next"])]


@pytest.mark.parametrize("line", [
    b"PRIORITY=0", b"MESSAGE=x", b"\0PRIORITY=0\0", b"\xff\xfe\x00", b"a=b\rPRIORITY=0", b"\x01" * 8, b"=", b" ",
    "é€".encode(),
])
def test_output_is_nothing_but_the_message(journald: Journald, journal: Journal, line: bytes) -> None:
    _target, run = sink(journal)
    run.write(memoryview(line + b"\n"))
    (entry,) = journald.take()
    assert entry.pop("MESSAGE") == [line]
    assert one(entry) == {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "web", "SDSUPER_PROCESS": "web", "SYSLOG_PID": "42",
                          "SDSUPER_RUN": "3"}


def test_names_with_newlines_are_nothing_but_names() -> None:
    assert parsed(encoded([("SDSUPER_PROCESS", "a\nPRIORITY=0\n"), ("X", ""), ("Y", "\udcff")])) == {
        "SDSUPER_PROCESS": [b"a\nPRIORITY=0\n"], "X": [b""], "Y": [b"\\udcff"]}


@pytest.mark.parametrize("step", [1000, LONGEST, 256 * 1024])
def test_a_line_of_ten_megabytes_comes_in_pieces(tmp_path: Path, journal: Journal, step: int) -> None:
    with fresh_loop() as loop:
        journal.attend(loop)
        journald = Journald(tmp_path / "socket")
        target, run = sink(journal)
        line, entries = b"<4>" + b"0123456789" * 1_000_000, []
        for at in range(0, len(line), step):
            run.write(memoryview(line[at:at + step]))
            entries += journald.take()
            while journal.waits:
                loop.turn()
                entries += journald.take()
        run.write(memoryview(b"\nshort\n"))
        entries += journald.take()
        journald.close()
    assert target.lost == 0
    *pieces, short = entries
    assert b"".join(messages(pieces)) == line[3:]
    assert {entry["PRIORITY"][0] for entry in pieces} == {b"4"}
    assert [entry.get("SDSUPER_LINE_BREAK") for entry in pieces] == [[b"line-max"]] * (len(pieces) - 1) + [None]
    assert all(len(message) >= LONGEST - 3 for message in messages(pieces[:-1])) and len(pieces) < 210
    assert short["MESSAGE"] == [b"short"] and short["PRIORITY"] == [b"6"]


def test_an_entry_beyond_a_datagram_is_a_file(journald: Journald, journal: Journal) -> None:
    own = JournalEntries(journal, [("SYSLOG_IDENTIFIER", "sdsuperd")], print)
    own.add("error", "x" * 5_000_000 + "\nend", {})
    own.add("warn", "after it", {"SDSUPER_STATE": "FATAL"})
    large, small = journald.take()
    assert journald.files == 1
    assert large == {"PRIORITY": [b"3"], "SYSLOG_IDENTIFIER": [b"sdsuperd"], "MESSAGE": [b"x" * 5_000_000 + b"\nend"]}
    assert one(small) == {"PRIORITY": "4", "SYSLOG_IDENTIFIER": "sdsuperd", "SDSUPER_STATE": "FATAL",
                          "MESSAGE": "after it"}


@contextmanager
def child(work: Callable[[int], object]) -> Iterator[int]:
    """A process that writes to a pipe; the end to read from, which is closed by who reads it to its end."""
    read, write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read, False)
    pid = os.fork()
    if not pid:
        try:
            work(write)
        finally:
            os._exit(0)
    os.close(write)
    try:
        yield read
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def write_all(fd: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.write(fd, data[at:at + 65536])


# ---- a journald that is slow, or away --------------------------------------------------------------------------------

def line(number: int) -> bytes:
    return b"line %06d\n" % number


def test_a_flood_arrives_in_order_and_nothing_blocks(journald: Journald, journal: Journal, loop: Loop) -> None:
    journal.attend(loop)
    target, run = sink(journal)
    run.write(memoryview(b"".join(map(line, range(3000)))))     # far more than a socket's queue takes
    assert journal.waits and target.lost == 0 and target.waiting > 0
    found = []

    def all_there() -> bool:
        found.extend(journald.take(7))
        return len(found) >= 3000

    turn_until(loop, all_there, "the rest follows as the receiver reads")
    assert messages(found) == [line(number)[:-1] for number in range(3000)]
    assert not journal.waits and target.waiting == 0 and target.lost == 0
    run.write(memoryview(b"directly\n"))
    assert messages(journald.take()) == [b"directly"]


def test_who_floods_a_journald_that_does_not_read_loses_his_own_lines(journald: Journald, journal: Journal,
                                                                       loop: Loop) -> None:
    journal.attend(loop)
    said: list[str] = []
    loud, flood = sink(journal, said=said)
    quiet, calm = sink(journal)
    begun = time.process_time()
    for _number in range(40):
        flood.write(memoryview(b"".join(map(line, range(2000)))))
    assert time.process_time() - begun < 10
    calm.write(memoryview(b"a quiet line\n"))
    assert loud.lost > 0 and loud.lost % len(line(0)) == 0 and loud.waiting <= module.SHARE_BYTES
    assert said == [f"the journal takes no more ({journald.path}: it does not read: Resource temporarily unavailable); "
                    f"{len(line(0))} bytes lost so far"], "said once, not for each line"
    found: list[bytes] = []

    def all_there() -> bool:
        found.extend(messages(journald.take()))
        return not journal.waits

    turn_until(loop, all_there, "what waited arrives")
    found += messages(journald.take())
    assert found[-1] == b"a quiet line" and quiet.lost == 0
    assert len(found) - 1 + loud.lost // len(line(0)) == 80_000


def test_a_program_waits_for_a_slow_journald(journald: Journald, journal: Journal, loop: Loop) -> None:
    journal.attend(loop)
    pump, (target, run) = Pump(loop), sink(journal)
    data, found = b"".join(map(line, range(100_000))), []

    def step() -> bool:
        found.extend(messages(journald.take(50)))
        assert target.waiting < module.FULL_BYTES + READ_BYTES * 30
        return len(found) == 100_000

    with child(lambda write: write_all(write, data)) as read:
        stream = Stream(read, (run,), False, lambda _stream: None)
        pump.add(stream)
        turn_until(loop, step, "all lines", limit=60)
    assert found == data.split(b"\n")[:-1] and target.lost == 0


def test_no_program_waits_for_a_journald_that_stands_still(journald: Journald, journal: Journal, loop: Loop,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.3)
    journal.attend(loop)
    pump, (target, run) = Pump(loop), sink(journal)
    data, ended = b"".join(map(line, range(300_000))), []
    with child(lambda write: write_all(write, data)) as read:
        pump.add(Stream(read, (run,), False, ended.append))
        turn_until(loop, lambda: ended, "the program is done", limit=60)
    assert target.lost > 0
    found: list[bytes] = []

    def all_there() -> bool:
        found.extend(messages(journald.take()))
        return not journal.waits

    turn_until(loop, all_there, "what waited arrives")
    assert len(found) + len(messages(journald.take())) + target.lost // len(line(0)) == 300_000


def test_nothing_is_lost_while_journald_is_away(journald: Journald, journal: Journal, loop: Loop) -> None:
    journal.attend(loop)
    target, run = sink(journal)
    run.write(memoryview(b"before\n"))
    assert messages(journald.take()) == [b"before"]
    journald.close()
    run.write(memoryview(b"away\n"))
    run.write(memoryview(b"still away\n"))
    assert journal.waits
    journald.open()
    found: list[bytes] = []

    def both() -> bool:
        found.extend(messages(journald.take()))
        return len(found) == 2

    turn_until(loop, both, "it is found again")
    assert found == [b"away", b"still away"] and target.lost == 0


def test_a_journald_that_goes_while_its_queue_is_full(journald: Journald, journal: Journal, loop: Loop) -> None:
    journal.attend(loop)
    _target, run = sink(journal)
    run.write(memoryview(b"".join(map(line, range(3000)))))
    assert journal.waits
    gone = len(journald.take())
    run.write(memoryview(b"last\n"))
    journald.close()                        # with what it had not read, which nobody can know of
    journald.open()
    found: list[bytes] = []

    def done() -> bool:
        found.extend(messages(journald.take()))
        return b"last" in found

    turn_until(loop, done, "the new one gets what waited")
    numbers = [int(message.split()[1]) for message in found[:-1]]
    assert gone > 0 and numbers == list(range(numbers[0], 3000))


def test_without_a_journal_the_first_lines_wait(tmp_path: Path, journal: Journal, loop: Loop) -> None:
    said: list[str] = []
    target, run = sink(journal, said=said)
    for _number in range(50):
        run.write(memoryview(b"x" * 100_000 + b"\n"))
    assert not run.full, "nobody waits for who is not there"
    assert target.waiting <= module.SHARE_BYTES and target.lost > 0 and len(said) == 1
    assert said[0].startswith(f"the journal takes no more ({tmp_path}/socket: No such file or directory)")
    journal.flush_last(time.monotonic() + 60)
    assert target.waiting == 0 and target.lost >= 5_000_000


def test_the_daemon_ends_when_all_has_been_taken(journald: Journald, journal: Journal) -> None:
    _target, run = sink(journal)
    run.write(memoryview(b"".join(map(line, range(500)))))
    reader = os.fork()
    if not reader:                          # somebody who reads meanwhile, as journald does
        count = 0
        journald.socket.setblocking(True)
        journald.socket.settimeout(30)
        while count < 500:
            journald.socket.recv(1 << 16)
            count += 1
        os._exit(0)
    journal.flush_last(time.monotonic() + 30)
    assert os.waitpid(reader, 0)[1] == 0
    assert not journal.waits


# ---- the daemon's own log --------------------------------------------------------------------------------------------

class Kept(Sink):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__(print)
        self.text = ""

    def write(self, data: memoryview) -> None:
        self.text += bytes(data).decode()


def test_the_daemons_lines_have_priorities_and_no_dates(journald: Journald, journal: Journal) -> None:
    log = MainLog("blather")
    log.write("info", "before anything is open")
    log.entries = [JournalEntries(journal, [("SYSLOG_IDENTIFIER", "sdsuperd")], print)]
    levels = {"critical": "2", "error": "3", "warn": "4", "info": "6", "debug": "7", "trace": "7", "blather": "7"}
    for level in levels:
        log.write(level, level)
    log.flush()
    found = list(map(one, journald.take()))
    assert [entry["MESSAGE"] for entry in found] == ["before anything is open", *levels]
    assert [entry["PRIORITY"] for entry in found[1:]] == list(levels.values())


def test_a_file_beside_the_journal_has_supervisors_lines(journald: Journald, journal: Journal) -> None:
    log, kept = MainLog("info"), Kept()
    log.sinks, log.entries = [kept], [JournalEntries(journal, (), print)]
    log.write("info", "spawned: 'web' with pid 5", {"SDSUPER_GROUP": "web", "SDSUPER_PROCESS": "web"})
    log.flush()
    assert kept.text.endswith(" INFO spawned: 'web' with pid 5\n") and kept.text[:2] == "20"
    assert one(journald.take()[0])["SDSUPER_PROCESS"] == "web"


def test_a_change_of_state_is_one_entry(journald: Journald, journal: Journal) -> None:
    log = MainLog("info")
    log.entries = [JournalEntries(journal, (), print)]
    web = {"SDSUPER_GROUP": "g", "SDSUPER_PROCESS": "web"}
    other = {"SDSUPER_GROUP": "g", "SDSUPER_PROCESS": "other"}
    change = {"MESSAGE_ID": "1" * 32}
    log.write_change("error", "web: BACKOFF -> FATAL", web | change)
    log.write("info", "gave up: web entered FATAL state", web)
    log.write("info", "more of web", web)
    log.write_change("info", "web: STOPPED -> STARTING", web | change)
    log.write("info", "about another", other)
    log.write_change("info", "other: STOPPED -> STARTING", other | change)
    log.write("info", "about nobody")
    log.write_change("debug", "too little to say", web | change)
    log.flush()
    found = [one(entry) for entry in journald.take()]
    assert [(entry["PRIORITY"], entry["MESSAGE"], "MESSAGE_ID" in entry) for entry in found] == [
        ("3", "gave up: web entered FATAL state", True), ("6", "more of web", False),
        ("6", "web: STOPPED -> STARTING", True), ("6", "about another", False),
        ("6", "other: STOPPED -> STARTING", True), ("6", "about nobody", False),
    ]


def test_which_descriptor_is_the_journal(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        facts = os.fstat(ours.fileno())
        stream = f"{facts.st_dev}:{facts.st_ino}"
        assert is_journal(ours.fileno(), stream)
        assert not is_journal(theirs.fileno(), stream)
        assert not is_journal(ours.fileno(), None)
        assert not is_journal(ours.fileno(), "")


def test_whether_there_is_a_journal(tmp_path: Path, journald: Journald) -> None:
    assert available(str(journald.path))
    assert not available(str(tmp_path))
    assert not available(str(tmp_path / "none"))
