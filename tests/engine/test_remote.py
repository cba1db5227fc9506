"""Lines on their way to real syslog servers, over UDP, TCP and TLS; servers that are away, slow, or others."""

import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from sdsuper.engine.carriers import RELAY_GID
from tests.engine.conftest import Daemon, Start
from tests.engine.syslogd import Certificates, Server, free_port, server

CAT = "[program:web]\ncommand=cat\nstartsecs=0\nstderr_logfile=NONE\nstdout_logfile={target}\n"
#: Writes as many numbered lines as each line that comes in says.
COUNT = """\
import os, sys
while line := sys.stdin.buffer.readline():
    data = b"".join(b"line %d\\n" % n for n in range(int(line)))
    at = 0
    while at < len(data):
        at += os.write(1, data[at:at + 65536])
    open(os.path.dirname(sys.argv[0]) + "/done", "w").close()
"""


def cat(target: str) -> str:
    return CAT.replace("{target}", target)


def say(daemon: Daemon, text: str) -> None:
    daemon.call("WriteStdin", name="web", data=text + "\n")


def relay(daemon: Daemon) -> int:
    """The pid of the process that sends; 0: there is none."""
    for pid in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split():
        try:
            if b"sdsuper.relay" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        except OSError:
            continue
    return 0


def arrives(daemon: Daemon, at: Server, *texts: str) -> None:
    daemon.wait(lambda: at.texts == list(texts), f"{texts} arrive", 30)


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_line_is_a_message(start: Start, kind: str) -> None:
    with server(kind) as there:
        daemon = start("[program:web]\ncommand=sh -c 'read x; echo \"$x\"; echo; echo two; printf three >&2; exit 1'\n"
                       f"startsecs=0\nautorestart=false\nstdout_logfile={there.target}\nstderr_logfile={there.target}\n"
                       "syslog_facility=local3\nsyslog_tag=my tag\nsyslog_stderr_priority=crit\n")
        pid = daemon.pids()["web"]
        say(daemon, "grüße")
        daemon.wait(lambda: len(there.raw) == 3, "all arrive")
        one, two, three = sorted(there.messages, key=lambda message: message.severity, reverse=True)
        assert (one.text, two.text, three.text) == ("grüße", "two", "three")
        assert (one.facility, one.severity, one.app, one.procid, one.msgid) == (
            19, 6, b"my_tag", str(pid).encode(), b"stdout")
        assert (three.facility, three.severity, three.msgid) == (19, 2, b"stderr")
        assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d", one.date)
        assert one.host == os.uname().nodename.encode()
        assert one.fields == {"identifier": "supervisor", "group": "web", "process": "web", "program": "web",
                              "stream": "stdout", "run": "1"}
        assert three.fields == one.fields | {"stream": "stderr", "break": "eof"}


def test_long_lines_are_cut_and_say_so(start: Start, directory: Path) -> None:
    with server("tcp", host="::1") as there:
        daemon = start(cat(f"{{dir}}/out, {there.target}"))
        line = "x" + "é" * 7168
        say(daemon, line)
        daemon.wait(lambda: len(there.raw) == 3, "it arrives")
        assert [message.fields.get("break") for message in there.messages] == ["line-max", "line-max", None]
        assert "".join(there.texts) == line and daemon.text("out") == line + "\n"


def test_many_lines_in_order(start: Start, directory: Path) -> None:
    (directory / "count").write_text(COUNT)
    with server("tcp") as there:
        daemon = start(cat(there.target).replace("command=cat", "command={python} {dir}/count"))
        say(daemon, "20000")
        daemon.wait(lambda: len(there.raw) == 20000, "all arrive", 60)
        assert there.texts == [f"line {n}" for n in range(20000)]
        assert daemon.status("web")["lost_bytes"] == 0


def test_the_process_has_no_rights(start: Start) -> None:
    with server("udp") as there:
        daemon = start(cat(there.target))
        assert relay(daemon) == 0                           # nothing has been written yet
        say(daemon, "one")
        arrives(daemon, there, "one")
        status = Path(f"/proc/{relay(daemon)}/status").read_text()
        assert re.search(rf"^Gid:\t{RELAY_GID}\t{RELAY_GID}\t", status, re.MULTILINE)
        assert not re.search(r"^Uid:\t0", status, re.MULTILINE) and "NoNewPrivs:\t1" in status
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)


def test_a_server_that_comes_later(start: Start) -> None:
    port = free_port()
    daemon = start(cat(f"syslog @tcp:127.0.0.1:{port}"))
    for number in range(3):
        say(daemon, f"line {number}")
    daemon.wait_log(f"syslog: tcp:127.0.0.1:{port}: cannot be reached: Connection refused; messages wait")
    with server("tcp", port) as there:
        arrives(daemon, there, "line 0", "line 1", "line 2")
        daemon.wait_log(f"tcp:127.0.0.1:{port}: is reached again")


def test_datagrams_that_are_refused(start: Start) -> None:
    """That nobody listens is told with the next one: the one before is lost, and counted."""
    port = free_port(socket.SOCK_DGRAM)
    daemon = start(cat(f"syslog @udp:127.0.0.1:{port}"))
    for number in range(3):
        say(daemon, f"line {number}")
    daemon.wait_log(f"syslog: udp:127.0.0.1:{port}: cannot be reached: Connection refused; messages wait")
    with server("udp", port) as there:

        def comes() -> bool:
            say(daemon, "more")
            return there.texts.count("more") > 1

        daemon.wait(comes, "they arrive", 30)
        assert any(text.endswith("messages were lost") for text in there.texts)
        daemon.wait_log(f"udp:127.0.0.1:{port}: is reached again")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_name_with_two_addresses(start: Start, directory: Path, host: str) -> None:
    """Whichever of them comes first, and refuses."""
    (directory / "hosts").write_text("127.0.0.1 localhost two.test\n::1 localhost two.test\n")
    own_hosts = ("unshare", "-m", "sh", "-c", f'mount --bind {directory}/hosts /etc/hosts && exec "$@"', "sh")
    with server("udp", host=host) as there:
        daemon = start(cat(f"syslog @udp:two.test:{there.port}"), before=own_hosts)

        def comes() -> bool:
            say(daemon, "more")
            return there.texts.count("more") > 1

        daemon.wait(comes, "they arrive", 30)


def test_a_server_that_is_restarted(start: Start) -> None:
    with server("tcp") as there:
        daemon = start(cat(there.target))
        say(daemon, "one")
        arrives(daemon, there, "one")
        port = there.port
    say(daemon, "two")
    daemon.wait_log("cannot be reached: ")
    with server("tcp", port) as there:
        arrives(daemon, there, "two")
        say(daemon, "three")
        arrives(daemon, there, "two", "three")


def test_a_server_that_does_not_read(start: Start, directory: Path) -> None:
    """Nobody waits for it; what is lost is counted, and the server is told."""
    (directory / "count").write_text(COUNT)
    with server("tcp") as there:
        daemon = start(cat(there.target).replace("command=cat", "command={python} {dir}/count"))
        there.reads.clear()
        say(daemon, "150000")
        daemon.wait(lambda: (directory / "done").exists(), "the program has written everything", 60)
        assert daemon.status("web")["state"] == "RUNNING"
        there.reads.set()
        written, before = 150_000, (0, 0)

        def accounted() -> bool:
            """Losses are told with the next line, so there is one more when nothing comes any more."""
            nonlocal written, before
            found = _counted(there)
            if found == before and sum(found) != written:
                say(daemon, "1")
                written += 1
            before = found
            return found[1] > 0 and sum(found) == written

        daemon.wait(accounted, "all are accounted for", 60)


def _counted(there: Server) -> tuple[int, int]:
    """Lines that have arrived, and lines that were told to be lost."""
    told = [text for text in there.texts if text.endswith("messages were lost")]
    return len(there.raw) - len(told), sum(int(text.split()[0]) for text in told)


def test_a_name_that_nobody_has(start: Start) -> None:
    daemon = start(cat("syslog @tcp:nowhere.invalid"))
    say(daemon, "one")
    daemon.wait_log("syslog: tcp:nowhere.invalid:6514: cannot be reached: ")
    assert daemon.status("web")["state"] == "RUNNING"


def test_the_process_is_killed(start: Start) -> None:
    with server("tcp") as there:
        daemon = start(cat(there.target))
        say(daemon, "one")
        arrives(daemon, there, "one")
        first = relay(daemon)
        os.kill(first, signal.SIGKILL)
        daemon.wait_log("the process for syslog servers ended unexpectedly (terminated by SIGKILL)")
        say(daemon, "two")
        daemon.wait(lambda: there.texts[-1] == "two", "it arrives", 30)
        assert relay(daemon) not in (0, first)


def test_what_it_had_when_it_was_killed_is_counted(start: Start) -> None:
    port = free_port()
    daemon = start(cat(f"{{dir}}/out, syslog @tcp:127.0.0.1:{port}"))
    say(daemon, "line 0")
    daemon.wait_log("cannot be reached: ")
    for number in range(1, 5):
        say(daemon, f"line {number}")
    daemon.wait(lambda: daemon.text("out").count("\n") == 5, "the daemon has read them all")
    assert daemon.status("web")["lost_bytes"] == 0          # and has handed them over, for it answers
    os.kill(relay(daemon), signal.SIGKILL)
    daemon.wait_log(f"syslog: tcp:127.0.0.1:{port}: 5 messages are lost at most")
    say(daemon, "six")
    with server("tcp", port) as there:
        arrives(daemon, there, "5 messages were lost", "six")
        assert (there.messages[0].facility, there.messages[0].severity) == (5, 4)
        daemon.stop()
    assert "in the end" not in daemon.log                   # the five were told already


def test_what_it_had_when_it_hung_at_the_end_is_told(start: Start) -> None:
    port = free_port()
    daemon = start(cat(f"syslog @tcp:127.0.0.1:{port}"))
    say(daemon, "one")
    daemon.wait_log("cannot be reached: ")
    os.kill(relay(daemon), signal.SIGSTOP)
    assert daemon.stop() == 0
    assert f"syslog: tcp:127.0.0.1:{port}: 1 messages are lost at most" in daemon.log


def test_a_process_that_hangs(start: Start, directory: Path) -> None:
    """The daemon has less patience here."""
    (directory / "count").write_text(COUNT)
    script = ("import runpy, sys; from sdsuper.logs import remote; remote.STUCK_SECONDS = 0.5; "
              "sys.argv = sys.argv[3:]; runpy.run_module('sdsuper', run_name='__main__')")
    with server("tcp") as there:
        daemon = start(cat(there.target).replace("command=cat", "command={python} {dir}/count"),
                       before=(sys.executable, "-c", script))
        say(daemon, "1")
        arrives(daemon, there, "line 0")
        os.kill(relay(daemon), signal.SIGSTOP)
        say(daemon, "20000")
        daemon.wait_log("the process for syslog servers takes nothing: killing it")
        daemon.wait(lambda: there.texts[-1] == "line 19999", "the rest arrives", 30)


def test_the_last_words_of_a_daemon(start: Start) -> None:
    with server("tcp") as there:
        daemon = start(cat(there.target), main={"logfile": there.target})
        say(daemon, "one")
        daemon.wait(lambda: "one" in there.texts, "it arrives")
        assert daemon.stop() == 0
        texts = there.texts
        assert texts[0].startswith("supervisord started with pid ") or "critical" in texts[0] or "root" in texts[0]
        assert "received SIGTERM indicating exit request" in texts
        assert "stopped: web (terminated by SIGTERM)" in texts
        started = next(message for message in there.messages if message.text.startswith("spawned: 'web'"))
        assert (started.facility, started.severity, started.app) == (3, 6, b"supervisor")
        assert started.procid == str(daemon.pid).encode()
        assert started.fields["group"] == "web" and started.fields["state"] == "STARTING"


def test_a_daemons_log_goes_to_several_places(start: Start) -> None:
    with server("tcp") as one, server("udp") as other:
        daemon = start(cat("NONE"), main={"logfile": f"a.log, {one.target}, b.log, {other.target}"})
        daemon.call("RotateLogs")
        daemon.wait((daemon.directory / "b.log.1").exists, "both files are rotated")
        assert "spawned: 'web'" in daemon.text("a.log.1")
        assert daemon.stop() == 0
        assert daemon.text("a.log.1") == daemon.text("b.log.1")
        assert daemon.text("a.log") == daemon.text("b.log")
        lines = [line.split(" ", 3)[3] for line in (daemon.text("a.log.1") + daemon.text("a.log")).splitlines()]
        for there in (one, other):
            daemon.wait(lambda there=there: "stopped: web (terminated by SIGTERM)" in there.texts, "the last words")
            assert [text for text in there.texts if text in lines] == lines


def test_a_daemon_ends_soon_without_its_server(start: Start) -> None:
    daemon = start(cat(f"syslog @tcp:127.0.0.1:{free_port()}"))
    say(daemon, "one")
    daemon.wait_log("cannot be reached: ")
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 10
    assert "1 messages are lost in the end" in daemon.log and "lost at most" not in daemon.log


def test_an_end_without_a_loss_tells_of_none(start: Start) -> None:
    with server("tcp") as there:
        daemon = start("[program:web]\ncommand=sh -c 'trap \"echo two; exit\" TERM; echo one; while :; do sleep 0.05; "
                       f"done'\nstdout_logfile={there.target}\n")
        arrives(daemon, there, "one")
        assert daemon.stop() == 0
        daemon.wait(lambda: there.texts == ["one", "two"], "the last words arrive")
    assert "lost" not in daemon.log


# ---- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificates(directory: Path) -> Certificates:
    return Certificates(directory / "certificates")


def test_tls(start: Start, certificates: Certificates) -> None:
    os.chmod(certificates.ca, 0o600)                        # the daemon reads it, not the process
    with server("tls", context=certificates.context("server", "IP:127.0.0.1")) as there:
        daemon = start(cat(there.target), main={"syslog_ca": str(certificates.ca)})
        for text in ("one", "two"):
            say(daemon, text)
        arrives(daemon, there, "one", "two")


def test_tls_with_a_certificate_of_our_own(start: Start, certificates: Certificates) -> None:
    certificate, key = certificates.sign("client", "DNS:client")
    with server("tls", context=certificates.context("server", "DNS:localhost", True)) as there:
        target = there.target.replace("127.0.0.1", "localhost")
        daemon = start(cat(target), main={"syslog_ca": str(certificates.ca), "syslog_cert": str(certificate),
                                          "syslog_key": str(key)})
        say(daemon, "one")
        arrives(daemon, there, "one")
        secret = key.read_text().splitlines()[1].encode()
        for name in ("cmdline", "environ"):
            assert secret not in Path(f"/proc/{relay(daemon)}/{name}").read_bytes()
        assert secret.decode() not in daemon.log


@pytest.mark.parametrize(("alternative", "trusted", "why"), [
    ("IP:127.0.0.1", False, "unable to get local issuer certificate|self-signed certificate"),
    ("IP:127.0.0.2", True, "IP address mismatch"),
])
def test_a_certificate_that_is_not_to_be_trusted(start: Start, certificates: Certificates, alternative: str,
                                                 trusted: bool, why: str) -> None:
    with server("tls", context=certificates.context("server", alternative)) as there:
        daemon = start(cat(there.target), main={"syslog_ca": str(certificates.ca)} if trusted else {})
        say(daemon, "one")
        daemon.wait(lambda: re.search(rf"its certificate is not accepted \(.*({why})", daemon.log), "it says so")
        assert there.raw == []


def test_certificates_that_cannot_be_used(start: Start, directory: Path) -> None:
    (directory / "bad").write_text("nothing\n")
    daemon = start(cat("syslog @tls:127.0.0.1"), main={"syslog_ca": str(directory / "bad")})
    say(daemon, "one")
    daemon.wait_log("tls:127.0.0.1:6514: cannot be reached: cannot use the certificates: ")
    daemon.stop()
    daemon = start(cat("syslog @tls:127.0.0.1"), main={"syslog_ca": str(directory / "none")}, place="two")
    say(daemon, "one")
    daemon.wait_log(f"cannot read {directory}/none: No such file or directory")
