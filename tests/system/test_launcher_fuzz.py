"""Broken specs: a report, never a crash and never a program."""

import os
import random
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdsuper.config.sandbox import Sandbox
from sdsuper.system.process import Launch, Launcher
from sdsuper.system.sandbox import Secrets, steps

from .conftest import needs

REPORT = struct.Struct("=QIIII")
HEAD = struct.Struct("=IIQIIIIiIIIII")
STEP = struct.Struct("=IIIIQQ")
READING, EXECUTING, LAST = 0, 11, 14
MAGIC = 0x31584453


def offer(program: str, spec: bytes) -> tuple[int, list[tuple[int, ...]]]:
    """Start sdsuper-exec on these bytes; its exit code and its reports."""
    memory = os.memfd_create("spec")
    os.write(memory, spec)
    reader, writer = os.pipe()
    low = [os.open("/dev/null", os.O_RDWR) for _ in range(6)]       # whatever is used is above 4
    high = [os.dup(memory), os.dup(writer), os.dup(low[0])]
    try:
        actions = [(os.POSIX_SPAWN_DUP2, high[2], fd) for fd in range(3)]
        actions += [(os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 4)]
        pid = os.posix_spawn(program, ["sdsuper-exec"], {}, file_actions=actions)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(writer)
        os.close(high[1])
        data = os.read(reader, 10_000)
        return code, list(REPORT.iter_unpack(data))
    finally:
        for fd in (memory, reader, high[0], high[2], *low):
            os.close(fd)


@pytest.fixture(scope="module")
def good(release: str) -> Iterator[bytes]:
    """A spec of every part, whose program does not exist."""
    launcher = Launcher(release)
    launch = Launch(0xABCDEF, "/none/program", ("program", "-x", ""), {"A": "1", "LONG": "v" * 300}, "/", 0o22, None, 0,
                    ((7, 100, 200), (4, 0, -1)), None)
    yield launcher._spec(launch)
    launcher.close()


@pytest.fixture(scope="module")
def boxed(release: str) -> Iterator[bytes]:
    """A spec with steps of every kind, at the end of which the program does not exist."""
    sandbox = Sandbox(ionice=3 << 13, cpu_affinity=(0,), scheduler=(3, 0), oom_score_adj=1, capabilities=(1, 1),
                      private_tmp=True, private_devices=True, private_network=True, protect_system="strict",
                      protect_home="tmpfs", inaccessible_paths=("-/srv", "/etc/hostname"), landlock_write=("/tmp",),
                      seccomp="strict", pdeathsig=15)
    launcher = Launcher(release)
    made = steps(sandbox, None, os.getpid(), Secrets("/srv", {"a": b"x"}))
    yield launcher._spec(Launch(5, "/none/program", ("program",), {"A": "1"}, no_new_privs=True, steps=made))
    launcher.close()


def check(code: int, reports: list[tuple[int, ...]]) -> None:
    assert code == 127, f"ended with {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
    (report,) = reports
    assert report[2] <= LAST and report[3] != 0


def test_the_good_one_gets_as_far_as_its_program(sanitized: str, good: bytes) -> None:
    code, ((tag, _pid, stage, error, _detail),) = offer(sanitized, good)
    assert (code, tag, stage, error) == (127, 0xABCDEF, EXECUTING, 2)


@pytest.mark.parametrize("which", ["release", "sanitized"])
def test_every_way_to_cut_it(request: pytest.FixtureRequest, which: str, good: bytes) -> None:
    program = request.getfixturevalue(which)
    ends = [*range(0, 120), *range(120, len(good), 37 if which == "sanitized" else 1)]
    for end in ends:
        code, reports = offer(program, good[:end])
        check(code, reports)
        assert reports[0][2] == READING
        # the same, and the header claims that this is all
        if end >= HEAD.size:
            code, reports = offer(program, good[:4] + struct.pack("=I", end) + good[8:end])
            check(code, reports)
            assert reports[0][2] == READING


@pytest.mark.parametrize(("field", "value"), [
    ("magic", 0), ("size", 0), ("size", 1 << 31), ("flags", 32), ("flags", 1 << 31),
    ("groups", 65537), ("groups", 2**32 - 1), ("groups", 65536),
    ("rlimits", 17), ("rlimits", 2**32 - 1), ("rlimits", 16),
    ("steps", 1), ("steps", 513), ("steps", 2**32 - 1), ("argc", 0),
    ("argc", 2**32 - 1), ("argc", 4), ("argc", 2), ("envc", 3), ("envc", 1), ("envc", 2**32 - 1),
])
def test_a_header_that_lies(sanitized: str, good: bytes, field: str, value: int) -> None:
    at = {"magic": 0, "size": 1, "flags": 3, "groups": 8, "rlimits": 9, "argc": 10, "envc": 11, "steps": 12}[field]
    head = list(HEAD.unpack_from(good))
    head[at] = value
    code, reports = offer(sanitized, HEAD.pack(*head) + good[HEAD.size:])
    check(code, reports)
    assert reports[0][2] == READING


def test_no_spec_at_all(sanitized: str) -> None:
    check(*offer(sanitized, b""))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes(sanitized: str, good: bytes, data: st.DataObject) -> None:
    """Random tails behind a header that is right, and single bytes changed; the program in it must not come to run."""
    if data.draw(st.booleans()):
        counts = [data.draw(st.integers(0, 40)) for _ in range(4)]
        tail = data.draw(st.binary(max_size=400)).replace(b"/", b"?")
        flags = data.draw(st.sampled_from([0, 1, 4]))
        spec = HEAD.pack(MAGIC, HEAD.size + len(tail), 5, flags, 0, 0, 0, 0, *counts, 0) + tail
    else:
        at = data.draw(st.integers(0, 55))
        spec = good[:at] + data.draw(st.binary(min_size=1, max_size=1)) + good[at + 1:]
    code, reports = offer(sanitized, spec)
    check(code, reports)


@pytest.mark.root
@pytest.mark.parametrize("which", ["release", "sanitized"])
def test_every_way_to_cut_the_steps(request: pytest.FixtureRequest, which: str, boxed: bytes) -> None:
    program = request.getfixturevalue(which)
    for end in range(HEAD.size, len(boxed), 41 if which == "sanitized" else 5):
        for spec in (boxed[:end], boxed[:4] + struct.pack("=I", end) + boxed[8:end]):
            code, reports = offer(program, spec)
            check(code, reports)
            assert reports[0][2] == READING


@pytest.mark.root
@pytest.mark.parametrize(("field", "value"), [
    ("code", 0), ("code", 15), ("code", 2**32 - 1), ("flags", 4), ("flags", 2**32 - 1), ("bytes", 0),
    ("bytes", 2**32 - 1), ("bytes", 1 << 20),
])
def test_a_step_that_lies(sanitized: str, boxed: bytes, field: str, value: int) -> None:
    at = {"code": 0, "flags": 1, "bytes": 2}[field]
    for number in (0, 5, HEAD.unpack_from(boxed)[-1] - 1):
        place = HEAD.size + number * STEP.size
        step = list(STEP.unpack_from(boxed, place))
        step[at] = value
        code, reports = offer(sanitized, boxed[:place] + STEP.pack(*step) + boxed[place + STEP.size:])
        check(code, reports)
        assert reports[0][2] == READING


@pytest.mark.root
def test_steps_out_of_order(sanitized: str, boxed: bytes) -> None:
    first, second = (boxed[HEAD.size + n * STEP.size:HEAD.size + (n + 1) * STEP.size] for n in (0, 1))
    code, reports = offer(sanitized, boxed[:HEAD.size] + second + first + boxed[HEAD.size + 2 * STEP.size:])
    check(code, reports)
    assert reports[0][2:4] == (READING, 74)         # EBADMSG


@pytest.mark.root
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_step(sanitized: str, boxed: bytes, data: st.DataObject) -> None:
    """Bytes of the steps and their texts changed: reports, and mounts that nobody else sees."""
    mounts = Path("/proc/self/mountinfo")
    before = mounts.read_text()
    spec = bytearray(boxed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(HEAD.size, len(boxed) - 1))
        spec[at] = data.draw(st.integers(0, 255))
    if b"/none/program\0" in spec:
        code, reports = offer(sanitized, bytes(spec))
        assert code in (127, -15, -9), code         # a death signal that was asked for
        assert len(reports) >= (code == 127)
    assert mounts.read_text() == before


@needs("valgrind")
def test_broken_ones_under_valgrind(grinded: str, good: bytes, tools: Path) -> None:
    chosen = random.Random(1)
    for _ in range(6):
        at = chosen.randrange(HEAD.size)
        check(*offer(grinded, good[:at] + bytes([chosen.randrange(256)]) + good[at + 1:]))
    check(*offer(grinded, good[:-1]))
    assert not any(log.read_text() for log in tools.glob("log.*"))
