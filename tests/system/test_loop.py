"""The event loop: order, deadlines, signals, and sleep when there is nothing to do."""

import os
import random
import resource
import signal
import time
from collections.abc import Iterator

import pytest

from sdsuper.system.loop import EPOLLIN, EPOLLONESHOT, EPOLLOUT, Loop
from tests.looping import child, fresh_loop, turn_until


@pytest.fixture
def loop() -> Iterator[Loop]:
    with fresh_loop() as made:
        yield made


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield read, write
    os.close(read)
    os.close(write)


def test_timers_in_order(loop: Loop) -> None:
    seen: list[float] = []
    delays = [n / 1000 for n in range(50)]
    random.shuffle(delays)
    begin = time.monotonic()
    for delay in delays:
        loop.at(begin + delay, lambda delay=delay: seen.append(delay))
    turn_until(loop, lambda: len(seen) == 50)
    assert seen == sorted(delays)
    assert time.monotonic() - begin >= 0.049


def test_never_too_early(loop: Loop) -> None:
    for delay in (0, 0.0001, 0.0009, 0.0011, 0.0205):
        due, called = time.monotonic() + delay, []
        loop.at(due, lambda called=called: called.append(time.monotonic()))
        while not called:
            loop.turn()
        assert called[0] >= due


def test_cancelled(loop: Loop) -> None:
    seen: list[str] = []
    loop.soon(0.01, lambda: seen.append("kept"))
    timer = loop.soon(0.005, lambda: seen.append("cancelled"))
    last = loop.soon(0.015, lambda: seen.append("cancelled by another"))
    loop.soon(0.012, last.cancel)
    timer.cancel()
    timer.cancel()
    loop.soon(0.02, loop.stop)
    loop.run()
    assert seen == ["kept"]
    last.cancel()


def test_a_cancelled_timer_wakes_nobody(loop: Loop) -> None:
    loop.soon(0.01, lambda: None).cancel()
    loop.soon(0.2, lambda: None)
    begin = time.monotonic()
    loop.turn()
    assert time.monotonic() - begin >= 0.19


def test_a_timer_that_begins_another(loop: Loop) -> None:
    """Each in a turn of its own, so descriptors get theirs."""
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        loop.soon(0, again)

    loop.soon(0, again)
    for turns in range(1, 6):
        loop.turn()
        assert count <= turns
    assert count > 0


def test_a_descriptor_until_it_is_read(loop: Loop, pipe: tuple[int, int]) -> None:
    read, write = pipe
    seen: list[int] = []
    loop.watch(read, EPOLLIN, seen.append)
    os.write(write, b"x")
    loop.turn()
    loop.turn()
    assert seen == [EPOLLIN, EPOLLIN]
    os.read(read, 10)
    loop.turn(wait=False)
    assert len(seen) == 2
    loop.unwatch(read)
    os.write(write, b"x")
    loop.turn(wait=False)
    assert len(seen) == 2
    loop.unwatch(read)


def test_once_until_armed_again(loop: Loop, pipe: tuple[int, int]) -> None:
    read, write = pipe
    seen: list[int] = []
    loop.watch(read, EPOLLIN | EPOLLONESHOT, seen.append)
    os.write(write, b"x")
    for _ in range(3):
        loop.turn(wait=False)
    assert len(seen) == 1
    loop.rearm(read, EPOLLIN | EPOLLONESHOT)
    loop.turn(wait=False)
    assert len(seen) == 2
    loop.unwatch(read)


def test_writable(loop: Loop, pipe: tuple[int, int]) -> None:
    seen: list[int] = []
    loop.watch(pipe[1], EPOLLOUT, seen.append)
    loop.turn()
    assert seen == [EPOLLOUT]
    loop.unwatch(pipe[1])


def test_plain_files_cannot_be_watched(loop: Loop) -> None:
    with open(__file__) as file, pytest.raises(PermissionError):
        loop.watch(file.fileno(), EPOLLIN, print)


@pytest.mark.parametrize("bulk", [False, True])
def test_unwatched_in_a_callback_of_the_same_turn(loop: Loop, bulk: bool) -> None:
    pipes = [os.pipe() for _ in range(4)]
    seen: list[int] = []

    def take(me: int) -> None:
        seen.append(me)
        for read, _write in pipes:
            if read != me:
                loop.unwatch(read)

    for read, write in pipes:
        loop.watch(read, EPOLLIN | EPOLLONESHOT, lambda _events, read=read: take(read), bulk=bulk)
        os.write(write, b"x")
    for _ in range(5):
        loop.turn(wait=False)
    assert len(seen) == 1
    for read, write in pipes:
        loop.unwatch(read)
        os.close(read)
        os.close(write)


def test_many_at_once_all_get_their_turn(loop: Loop) -> None:
    pipes = [os.pipe() for _ in range(200)]
    counts = dict.fromkeys((read for read, _ in pipes), 0)

    def take(fd: int) -> None:
        counts[fd] += 1

    for read, write in pipes:
        loop.watch(read, EPOLLIN, lambda _events, read=read: take(read))
        os.write(write, b"x")
    turn_until(loop, lambda: min(counts.values()) >= 3)
    assert max(counts.values()) <= 12
    for read, write in pipes:
        loop.unwatch(read)
        os.close(read)
        os.close(write)


def test_bulk_work_comes_last_and_in_portions(loop: Loop) -> None:
    """A flood of output on many pipes holds up a client by no more than a few pieces."""
    pipes = [os.pipe() for _ in range(30)]
    order: list[str] = []
    for read, write in pipes[:-1]:
        def take(_events: int, read: int = read) -> None:
            order.append("bulk")
            loop.rearm(read, EPOLLIN | EPOLLONESHOT)

        loop.watch(read, EPOLLIN | EPOLLONESHOT, take, bulk=True)
        os.write(write, b"x")
    loop.turn()
    loop.turn()
    client, end = pipes[-1]
    loop.watch(client, EPOLLIN, lambda _events: order.append("client"))
    os.write(end, b"x")
    begin = len(order)
    turn_until(loop, lambda: "client" in order)
    assert order.index("client") - begin <= 4
    loop.unwatch(client)
    turn_until(loop, lambda: order.count("bulk") > 200)
    for read, write in pipes:
        loop.unwatch(read)
        os.close(read)
        os.close(write)


def test_signals_come_before_descriptors_and_deaths_before_signals(loop: Loop, pipe: tuple[int, int]) -> None:
    read, write = pipe
    order: list[str] = []
    loop.on_signal(signal.SIGUSR1, lambda: order.append("usr1"))
    loop.on_signal(signal.SIGCHLD, lambda: order.append("chld"))
    loop.watch(read, EPOLLIN, lambda _events: order.append("descriptor"))
    os.write(write, b"x")
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGCHLD)
    loop.turn()
    assert order == ["chld", "usr1", "descriptor"]
    loop.unwatch(read)


def test_a_signal_wakes_the_loop_and_interrupts_nothing(loop: Loop) -> None:
    loop.on_signal(signal.SIGUSR1, loop.stop)
    parent = os.getpid()

    def send() -> None:
        time.sleep(0.05)
        os.kill(parent, signal.SIGUSR1)

    with child(send):
        loop.run()


def test_a_child_that_ends(loop: Loop) -> None:
    reaped: list[int] = []
    loop.on_signal(signal.SIGCHLD, lambda: reaped.append(os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT).si_pid))
    with child(lambda: None) as pid:
        turn_until(loop, lambda: reaped)
        assert reaped[0] == pid


def test_what_a_callback_raises(loop: Loop, pipe: tuple[int, int]) -> None:
    read, write = pipe
    seen: list[str] = []
    loop.on_error = lambda error: seen.append(str(error))

    def wrong(text: str) -> None:
        raise ValueError(text)

    loop.on_signal(signal.SIGUSR1, lambda: wrong("signal"))
    loop.soon(0, lambda: wrong("timer"))
    loop.soon(0, lambda: seen.append("after the timer"))
    loop.watch(read, EPOLLIN | EPOLLONESHOT, lambda _events: wrong("descriptor"))
    os.write(write, b"x")
    os.kill(os.getpid(), signal.SIGUSR1)
    turn_until(loop, lambda: len(seen) == 4)
    assert seen == ["signal", "descriptor", "timer", "after the timer"]
    loop.unwatch(read)


def test_without_anybody_to_tell_it_is_raised(loop: Loop) -> None:
    loop.soon(0, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        turn_until(loop, lambda: False)


def test_nothing_to_do_no_wake_ups() -> None:
    """Measured in a process of its own: half a second of sleep is one sleep."""
    read, write = os.pipe()
    idle, never = os.pipe()

    def sleep() -> None:
        with fresh_loop() as loop:
            loop.watch(idle, EPOLLIN, print)
            loop.on_signal(signal.SIGUSR1, lambda: None)
            for _ in range(100):
                loop.soon(0.1, lambda: None).cancel()
            loop.soon(0.5, loop.stop)
            before = resource.getrusage(resource.RUSAGE_SELF)
            loop.run()
            after = resource.getrusage(resource.RUSAGE_SELF)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            os.write(write, f"{after.ru_nvcsw - before.ru_nvcsw} {cpu}".encode())

    with child(sleep):
        os.close(write)
        switches, cpu = os.read(read, 100).split()
    for fd in (read, idle, never):
        os.close(fd)
    assert int(switches) <= 3 and float(cpu) < 0.05


def test_closing_gives_everything_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with fresh_loop() as loop:
        loop.on_signal(signal.SIGUSR1, lambda: None)
        inner_wakeup = signal.set_wakeup_fd(-1)
        assert inner_wakeup >= 0
        signal.set_wakeup_fd(inner_wakeup)
    assert signal.set_wakeup_fd(-1) == -1
    assert signal.getsignal(signal.SIGUSR1) == before
