"""Who gets in: passwords, foreign sites, other hosts' names, and how often one may guess."""

import hashlib
import http.client
import os
import socket
import subprocess
import sys

import pytest
from starlette.routing import Route, Router

from sdsuper.api.app import make_app
from sdsuper.config.passwords import scrypt_form
from tests.api.web import Connection, Served, ask, basic, call, proxy, raw, serve
from tests.engine.conftest import ROOT, Daemon, Start

STATE = call("supervisor.getState")
RIGHT, WRONG = basic("user", "secret"), basic("user", "wrong")
PROGRAM = "[program:cat]\ncommand=/bin/cat\nstartsecs=0\n"


def up(daemon: Daemon) -> bool:
    return bool(daemon.status("cat")["state"] == "RUNNING")


def paths() -> list[tuple[str, str]]:
    """Method and path of every route there is."""
    router = make_app(None, 0)      # type: ignore[arg-type]
    assert isinstance(router, Router)
    found = []
    for route in router.routes:
        assert isinstance(route, Route)
        path = route.path.replace("{rest:path}", "").replace("{name:path}", "cat").replace("{name}", "style.css")
        found += [(method, path) for method in sorted(route.methods or ())]
    return found


def test_every_route_wants_the_password(start: Start) -> None:
    served = serve(start, PROGRAM)
    assert len(paths()) > 10
    for method, path in [*paths(), ("GET", "/nosuch"), ("OPTIONS", "/"), ("DELETE", "/RPC2"), ("PUT", "/%2e%2e/")]:
        for headers in ({}, {"Authorization": "Bearer x"}):
            reply = ask(served.port, method, path, headers)
            assert reply.status == 401 and reply.headers["WWW-Authenticate"] == 'Basic realm="default"', (method, path)
            assert reply.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert ask(served.port, "POST", "/RPC2", RIGHT, STATE).status == 200
    assert ask(served.path, "POST", "/RPC2", {}, STATE).status == 200      # that listener has none


@pytest.mark.parametrize("stored", [
    "secret", "{SHA}" + hashlib.sha1(b"secret").hexdigest(), scrypt_form("secret", b"salt" * 4),
], ids=["plain", "SHA", "SCRYPT"])
def test_the_forms_of_a_password(start: Start, stored: str) -> None:
    served = serve(start, options=f"username=user\npassword={stored}\n")
    for headers, status in ((WRONG, 401), (basic("User", "secret"), 401), (RIGHT, 200), (RIGHT, 200), ({}, 401)):
        assert ask(served.port, "POST", "/RPC2", headers, STATE).status == status


@pytest.mark.parametrize("header", [
    "", "Basic", "Basic ", "Basic !", "Basic dXNlcg==", "Basic \xff", "Basic dXNlcjpzZWNyZXQ",
    "basic\tdXNlcjpzZWNyZXQ=", "Digest username=user", "Basic " + "A" * 8000, "x" * 8000,
])
def test_garbage_is_no_password(start: Start, header: str) -> None:
    served = serve(start)
    assert ask(served.port, "POST", "/RPC2", {"Authorization": header}, STATE).status == 401


def test_guesses_are_slowed_down_and_others_are_not(start: Start) -> None:
    served = serve(start)
    assert ask(served.port, "POST", "/RPC2", RIGHT, STATE).status == 200      # and is known from now on
    statuses = []
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    for number in range(1000):
        connection.request("POST", "/RPC2", STATE, basic("user", f"guess {number}"))
        reply = connection.getresponse()
        reply.read()
        statuses.append(reply.status)
        if reply.status == 429:
            assert 1 <= int(reply.headers["Retry-After"]) <= 10
    connection.close()
    assert set(statuses) == {401, 429} and statuses.count(401) <= 20
    assert ask(served.port, "POST", "/RPC2", RIGHT, STATE).status == 200      # a known pair is let in
    other = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30, source_address=("127.0.0.2", 0))
    other.request("POST", "/RPC2", STATE, WRONG)
    assert other.getresponse().status == 429        # each user of this machine has sixteen million such addresses
    other.close()
    served.daemon.wait_log("many wrong passwords, 127.0.0.1 has to wait between tries")
    assert "secret" not in served.daemon.log and "guess" not in served.daemon.log


@pytest.mark.root
def test_unix_peers_are_counted_by_user(start: Start) -> None:
    daemon = start("[unix_http_server]\nfile={dir}/http.sock\nchmod=0777\nusername=user\npassword=secret\n")
    path = str(daemon.directory / "http.sock")
    statuses = [ask(path, "POST", "/RPC2", basic("user", f"{n}"), STATE).status for n in range(10)]
    assert statuses[:5] == [401] * 5 and statuses[9] == 429
    done = subprocess.run([sys.executable, "-c", "import sys; from tests.api.web import *; "
                           "print(ask(sys.argv[1], 'POST', '/RPC2', basic('user', 'secret'), "
                           "call('supervisor.getState')).status)", path],
                          cwd=ROOT, user=65534, group=65534, extra_groups=[], capture_output=True, text=True,
                          env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.stdout == "200\n", done.stderr


def test_other_sites_change_nothing(start: Start) -> None:
    served = serve(start, PROGRAM)
    here = {"Host": f"127.0.0.1:{served.port}", **RIGHT}
    stop = call("supervisor.stopProcess", "<params><param><value>cat</value></param></params>")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for foreign in (
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "evil"},
        {"Origin": f"http://127.0.0.1:{served.port + 1}"}, {"Origin": "http://127.0.0.1"},
        {"Origin": f"http://127.0.0.1:{served.port}.evil.example"}, {"Origin": f"http://x@127.0.0.1:{served.port}"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    ):
        assert ask(served.port, "POST", "/RPC2", {**here, **foreign, "Content-Type": "text/plain"}, stop).status == 403
        for path in ("/", "/index.html"):
            reply = ask(served.port, "POST", path, {**here, **foreign, **form}, "action=stop&processname=cat")
            assert reply.status == 403, foreign
    assert ask(served.port, "GET", "/index.html?action=stop&processname=cat", here).status == 405
    assert ask(served.port, "GET", "/?processname=cat&action=stopall", here).status == 405
    assert up(served.daemon)
    same = {"Origin": f"http://127.0.0.1:{served.port}", "Sec-Fetch-Site": "same-origin"}
    assert ask(served.port, "POST", "/RPC2", {**here, **same}, stop).status == 200
    assert not up(served.daemon)


def test_other_names_are_not_ours(start: Start) -> None:
    served = serve(start, options="username=user\npassword=secret\nallowed_hosts=panel.example, other.example\n")
    name = socket.gethostname()
    for host in ("127.0.0.1", f"127.0.0.1:{served.port}", "[::1]:9", "localhost", "LOCALHOST:80", name,
                 name.split(".")[0], "panel.example", "Panel.Example.:443", "10.1.2.3"):
        assert ask(served.port, "GET", "/ok.html", {"Host": host, **RIGHT}).status == 200, host
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "",
                 "panel.example.evil", "a b", "[::1", "evil.example:127.0.0.1", "127.0.0.1/x"):
        assert ask(served.port, "GET", "/ok.html", {"Host": host, **RIGHT}).status == 421, host
    assert raw(served.port, b"GET /ok.html HTTP/1.0\r\nAuthorization: " + RIGHT["Authorization"].encode()
               + b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")       # no browser leaves it out
    assert ask(served.path, "GET", "/ok.html", {"Host": "anything.example"}).status == 200
    assert ask(served.path, "GET", "/ok.html", {"Host": "evil.example", "Origin": "http://evil.example"}).status == 421


def test_headers_of_every_answer(start: Start) -> None:
    served: Served = serve(start, PROGRAM)
    for path in ("/", "/nosuch", "/static/style.css", "/ok.html", "/index.html?action=stop"):
        headers = ask(served.path, "GET", path).headers
        assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "sdsuper" and headers.get_all("Date") and len(headers.get_all("Date") or ()) == 1


def test_a_kept_connection_is_asked_each_time(start: Start) -> None:
    served = serve(start)
    connection = Connection(served.port)
    for headers, status in ((RIGHT, 200), ({}, 401), (WRONG, 401), (RIGHT, 200)):
        connection.request("POST", "/RPC2", STATE, headers)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status
    connection.close()
    with proxy(served.path) as server:
        assert server.supervisor.getState()["statename"] == "RUNNING"


@pytest.mark.parametrize("origin", ["http://[::1", "http://[", "null", "://", "http://", "http://a b", "x" * 5000, "é"])
def test_an_origin_that_is_none(start: Start, origin: str) -> None:
    served = serve(start)
    for headers in ({"Origin": origin.encode()}, {"Origin": origin.encode(), **RIGHT}):
        status = ask(served.port, "POST", "/RPC2", headers, STATE).status
        assert status == 403, (origin, status)
    assert "Traceback" not in served.daemon.log


def test_half_a_body_without_a_password_is_not_waited_for(start: Start) -> None:
    served = serve(start)
    with socket.create_connection(("127.0.0.1", served.port), 30) as peer:
        peer.sendall(b"POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n<")
        answer = b""
        while data := peer.recv(1000):          # refused long before BODY_SECONDS, and ended
            answer += data
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_the_status_page_lets_browsers_send_an_origin(start: Start) -> None:
    """With `no-referrer` they send "Origin: null" for a form of our own page, which is refused (Fetch standard)."""
    served = serve(start, PROGRAM)
    assert ask(served.path, "GET", "/").headers["Referrer-Policy"] == "same-origin"
    assert ask(served.path, "POST", "/RPC2", {"Origin": "null", "Sec-Fetch-Site": "same-origin"}, STATE).status == 403


def test_following_is_for_get_alone(start: Start) -> None:
    served = serve(start, PROGRAM)
    for path in ("/mainlogtail", "/logtail/cat"):
        assert ask(served.path, "HEAD", path).status == 405
