"""GET /conf/NAME: the file of a program's that clients may read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.web import ask, basic, proxy, serve
from tests.engine.conftest import ROOT, Start

PROGRAM = "[program:web]\ncommand=sleep 1000\nautostart=false\nconf_file={dir}/web.conf\n"


def test_the_file_of_a_program_is_served(start: Start) -> None:
    served = serve(start, PROGRAM + "[program:other]\ncommand=sleep 1000\nautostart=false\n")
    file = served.daemon.directory / "web.conf"
    assert ask(served.path, "GET", "/conf/web").status == 404
    file.write_bytes(b"port = 80 # \xc3\xa4\xff\n")
    found = ask(served.path, "GET", "/conf/web")
    assert (found.status, found.body.decode()) == (200, "port = 80 # ä�\n")
    assert found.headers["Content-Type"] == "text/plain;charset=utf-8"
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    file.write_text("x" * 3_000_000)
    assert len(ask(served.path, "GET", "/conf/web:web").body) == 3_000_000
    assert ask(served.path, "HEAD", "/conf/web").body == b""
    assert ask(served.path, "POST", "/conf/web").status == 405


@pytest.mark.parametrize("place", ["/conf/", "/conf/nosuch", "/conf/w*", "/conf/all", "/conf/web:*", "/conf/plain",
                                   "/conf/../../etc/passwd", "/conf/%00", "/conf/web/x", "/conf"])
def test_what_is_not_there(start: Start, place: str) -> None:
    served = serve(start, PROGRAM + "[program:plain]\ncommand=sleep 1000\nautostart=false\n")
    (served.daemon.directory / "web.conf").write_text("x")
    assert ask(served.path, "GET", place).status == 404


def test_it_is_guarded_as_everything_else(start: Start) -> None:
    served = serve(start, PROGRAM)
    (served.daemon.directory / "web.conf").write_text("secret")
    assert ask(served.port, "GET", "/conf/web").status == 401
    assert ask(served.port, "GET", "/conf/web", {"Host": "evil.example", **basic("user", "secret")}).status == 421
    assert ask(served.port, "GET", "/conf/web", basic("user", "secret")).body == b"secret"


@pytest.mark.root
def test_it_is_opened_as_the_programs_user(start: Start) -> None:
    served = serve(start, PROGRAM + "user=nobody\n")
    file: Path = served.daemon.directory / "web.conf"
    file.write_text("of root alone")
    file.chmod(0o600)
    assert ask(served.path, "GET", "/conf/web").status == 503, "the program's user may not read it"
    os.chown(file, 65534, -1)
    assert ask(served.path, "GET", "/conf/web").body == b"of root alone"
    hidden = served.daemon.directory / "hidden"
    hidden.write_text("of root alone")
    hidden.chmod(0o600)
    file.unlink()
    file.symlink_to(hidden)
    assert ask(served.path, "GET", "/conf/web").status == 503
    file.unlink()
    os.link(hidden, file)
    assert ask(served.path, "GET", "/conf/web").status == 503
    file.unlink()
    os.mkfifo(file)
    assert ask(served.path, "GET", "/conf/web").status == 503
    assert os.geteuid() == 0 and served.daemon.status("web")["state"] == "STOPPED"


def test_reload_over_xml_rpc(start: Start) -> None:
    served = serve(start, "[program:web]\ncommand=sh -c 'trap \"touch {dir}/hup\" HUP; touch {dir}/up; "
                          "while :; do sleep 0.05; done'\nstartsecs=0\nkillasgroup=true\nreload_signal=HUP\n"
                          "[program:job]\ncommand=sleep 1000\nautostart=false\ncron=@daily\n"
                          "[program:slow]\ncommand=sleep 1000\nstartsecs=0\nreload_command=sh -c 'sleep 0.2; exit 5'\n")
    served.daemon.wait(lambda: (served.daemon.directory / "up").exists(), "it listens")
    with proxy(served.path) as server:
        assert server.sdsuper.reloadProcess("web") is True
        served.daemon.wait(lambda: (served.daemon.directory / "hup").exists(), "it has heard")
        with pytest.raises(Exception, match="FAILED: slow: reload_command: exit status 5"):
            server.sdsuper.reloadProcess("slow")
        (row,) = server.sdsuper.reloadProcess("slow:*")
        assert (row["status"], row["description"]) == (30, "FAILED: slow: reload_command: exit status 5")
        assert server.sdsuper.reloadProcess("job:*") == []
        with pytest.raises(Exception, match="FAILED: job: has neither reload_command nor reload_signal"):
            server.sdsuper.reloadProcess("job")
        assert "; next at " in server.supervisor.getProcessInfo("job")["description"]
        assert "next_start" not in server.supervisor.getProcessInfo("job")


def test_ctl_reloads_over_http(start: Start) -> None:
    program = "command=sleep 1000\nstartsecs=0\nreload_command=true\n"
    served = serve(start, f"[program:a]\n{program}[program:b]\n{program}numprocs=2\nprocess_name=b%(process_num)d\n"
                          "[program:none]\ncommand=sleep 1000\nstartsecs=0\n")

    def ctl(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "sdsuper", "ctl", "-s", f"http://127.0.0.1:{served.port}", "-u", "user", "-p",
                   "secret", "reload-program", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/",
                              env={**os.environ, "PYTHONPATH": str(ROOT)})
        return done.returncode, done.stdout + done.stderr

    assert ctl("a") == (0, "a: reloaded\n")
    assert ctl("b:*") == (0, "b:b0: reloaded\nb:b1: reloaded\n")
    assert ctl("b:*1") == (0, "b:b1: reloaded\n")
    assert ctl("all") == (0, "a: reloaded\nb:b0: reloaded\nb:b1: reloaded\n")
    assert ctl("none")[0] == 1 and "neither reload_command nor reload_signal" in ctl("none")[1]
    assert ctl("nosuch") == (1, "nosuch: ERROR (no such process)\n")
