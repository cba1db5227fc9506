"""The status page, as a browser sees it."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from tests.api.web import Reply, ask, serve
from tests.engine.conftest import Start

PROGRAMS = """[program:cat]
command=/bin/cat
startsecs=0
stdout_logfile={dir}/cat.log
[program:bad]
command=/nonexistent
autostart=false
[program:quick]
command=/bin/false
startretries=0
autostart=false
[program:odd&<b>"]
command=/bin/cat
autostart=false
startsecs=0
stdout_logfile=NONE
[program:two]
command=/bin/sleep 1000
process_name=%(program_name)s_%(process_num)d
numprocs=2
autostart=false
startsecs=0
"""
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Page(HTMLParser):
    """What is on a page."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        assert reply.status == 200 and reply.headers["Content-Type"] == "text/html; charset=utf-8"
        self.source = reply.body.decode()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def post(path: str, body: str, place: str = "/index.html") -> Reply:
    return ask(path, "POST", place, FORM, body)


def message(reply: Reply) -> str:
    assert reply.status == 303, reply
    place = reply.headers["Location"]
    assert place.startswith("/?message=")
    return unquote(place.removeprefix("/?message="))


def test_the_table(start: Start) -> None:
    path = serve(start, PROGRAMS).path
    for place in ("/", "/index.html"):
        page = Page(ask(path, "GET", place))
        assert re.search(r"running\s+pid \d+, uptime \d:\d\d:\d\d\s+cat\s+Restart\s+Stop\s+Clear Log\s+"
                         r"Tail -f Stdout\s+Tail -f Stderr", page.text)
        assert re.search(r"stopped\s+Not started\s+two:two_0\s+Start\s+Clear Log\s+", page.text)
        assert 'odd&<b>"' in page.text and "<b>" not in page.source
        assert "http" not in page.source and "<script" not in page.source and "style=" not in page.source
        for tag, attributes in page.tags:
            assert not any(name.startswith("on") for name in attributes)
            if tag == "form":
                assert attributes["method"] == "post"
            place = attributes.get("href") or attributes.get("src") or ""
            assert place.startswith("/") or not place
            if place and not place.startswith("/logtail/"):        # which never ends
                assert ask(path, "GET", place).status in (200, 303), place
    assert ask(path, "GET", "/ok.html").body == b"OK"
    assert ask(path, "GET", "/static/style.css").headers["Content-Type"] == "text/css; charset=utf-8"


def test_a_message_is_text(start: Start) -> None:
    page = Page(ask(serve(start, PROGRAMS).path, "GET", "/?message=%3Cscript%3Ealert(1)%3C/script%3E%26"))
    assert "<script>alert(1)</script>&" in page.text and "script" not in [tag for tag, _ in page.tags]


def test_actions(start: Start) -> None:
    served = serve(start, PROGRAMS)
    path, daemon = served.path, served.daemon
    assert message(post(path, "processname=two%3Atwo_0&action=start")) == "Process two:two_0 started"
    assert daemon.status("two:two_0")["state"] == "RUNNING"
    assert message(post(path, "processname=two%3Atwo_0&action=start")) == "ERROR: Process two:two_0: already started"
    before = daemon.status("cat")["pid"]
    assert message(post(path, "processname=cat&action=restart", "/")) == "Process cat restarted"
    assert daemon.status("cat")["pid"] not in (0, before)
    assert message(post(path, "processname=cat&action=stop")) == "Process cat stopped"
    assert message(post(path, "processname=cat&action=restart")) == "Process cat restarted"
    assert message(post(path, "processname=bad&action=start")) == "ERROR: Process bad: no such file"
    assert message(post(path, "processname=quick&action=start")) == "ERROR: Process quick: spawn error"
    (daemon.directory / "cat.log").write_text("x")
    assert message(post(path, "processname=cat&action=clearlog")) == "Log for cat cleared"
    assert (daemon.directory / "cat.log").read_text() == ""
    for name in ("nosuch", "all", "c*", "two:*"):
        for action in ("start", "stop", "restart", "clearlog"):
            assert message(post(path, f"processname={name}&action={action}")) == f"No such process named {name}"
    assert message(post(path, "action=restartall")).startswith("All restarted at ")
    assert daemon.status("two:two_1")["state"] == "RUNNING"
    assert message(post(path, "action=stopall")).startswith("All stopped at ")
    assert daemon.status("cat")["state"] == "STOPPED"
    assert message(ask(path, "GET", "/index.html?action=refresh")).startswith("Page refreshed at ")


@pytest.mark.parametrize("body", ["", "action=", "action=start", "processname=cat", "action=shutdown&processname=cat",
                                  "a=b&" * 200, "%ff%fe=%zz", "\xff"])
def test_a_form_that_is_none_of_ours(start: Start, body: str) -> None:
    served = serve(start, PROGRAMS)
    assert post(served.path, body).status == 400
    assert ask(served.path, "POST", "/", {"Content-Type": "text/plain"}, "action=stopall").status == 415
    assert served.daemon.status("cat")["state"] == "RUNNING"


def test_the_end_of_a_log(start: Start) -> None:
    served = serve(start, PROGRAMS)
    (served.daemon.directory / "cat.log").write_bytes(b"y" * 5000 + b"</pre><script>\x1b[31m\xff\x00\n")
    page = Page(ask(served.path, "GET", "/tail.html?processname=cat"))
    assert "</pre><script>" in page.text and "script" not in [tag for tag, _ in page.tags]
    assert page.text.count("y") < 1050 < 2000 < Page(ask(served.path, "GET", "/tail.html?processname=cat&limit=3000")
                                                    ).text.count("y")
    for query, text in (("", "No process name found"), ("?processname=", "No process name found"),
                        ("?processname=odd%26%3Cb%3E%22", 'No file for odd&<b>"'),
                        ("?processname=nosuch", "ERROR: BAD_NAME: nosuch"), ("?processname=c*", "ERROR: BAD_NAME: c*"),
                        ("?processname=cat&limit=x", "yyy"), ("?processname=cat&limit=99999999999999", "yyy")):
        assert text in Page(ask(served.path, "GET", "/tail.html" + query)).text
