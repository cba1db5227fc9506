"""Every command of ctl: what it prints and its exit status, as supervisorctl 4.3.0 does for the same daemon."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from sdsuper.errors import Refusal

from .fake_daemon import FakeDaemon

Ctl = Callable[..., CompletedProcess[str]]

CAT = "cat                              RUNNING   pid 41, uptime 0:00:05\n"
OFF = "off                              STOPPED   Not started\n"
WEB_0 = "web:web_00                       RUNNING   pid 42, uptime 0:00:05\n"
WEB_1 = "web:web_01                       FATAL     Not started\n"
ALL = CAT + OFF + WEB_0 + WEB_1

TABLE = [
    # status: 3 when one is down, 4 for a bad name, bad names first
    ("status", ALL, 3),
    ("status cat", CAT, 0),
    ("status web", "web: ERROR (no such process)\n", 4),
    ("status web:*", WEB_0 + WEB_1, 3),
    ("status web:", WEB_0 + WEB_1, 3),
    ("status cat all", ALL, 3),
    ("status web:web_00 nope no:* cat",
     "nope: ERROR (no such process)\nno: ERROR (no such group)\n" + WEB_0 + CAT, 4),
    ("status cat;", "cat;: ERROR (no such process)\n", 4),
    ("status c*", CAT, 0),
    ("status web:*0", WEB_0, 0),
    ("status-x", "-x: ERROR (no such process)\n", 4),
    # start
    ("start cat", "cat: ERROR (already started)\n", 0),
    ("start off", "off: started\n", 0),
    ("start nope", "nope: ERROR (no such process)\n", 1),
    ("start nope:*", "nope: ERROR (no such group)\n", 2),
    ("start web:*", "web:web_01: started\n", 0),
    ("start all", "off: started\nweb:web_01: started\n", 0),
    ("start cat web:web_01", "cat: ERROR (already started)\nweb:web_01: started\n", 0),
    ("start o*", "off: started\n", 0),
    ("start x*", "x*: ERROR (no such process)\n", 1),
    ("start-group web", "web:web_01: started\n", 0),
    ("start-group nope", "nope: ERROR (no such group)\n", 2),
    # stop
    ("stop cat", "cat: stopped\n", 0),
    ("stop off", "off: ERROR (not running)\n", 0),
    ("stop nope nope:*", "nope: ERROR (no such process)\nnope: ERROR (no such group)\n", 1),
    ("stop web:*", "web:web_00: stopped\n", 0),
    ("stop x y all", "cat: stopped\nweb:web_00: stopped\n", 0),
    ("stop-group web", "web:web_00: stopped\n", 0),
    # restart
    ("restart cat", "cat: stopped\ncat: started\n", 0),
    ("restart off", "off: ERROR (not running)\noff: started\n", 0),
    ("restart web:*", "web:web_00: stopped\nweb:web_00: started\nweb:web_01: started\n", 0),
    ("restart nope:*", "nope: ERROR (no such group)\nnope: ERROR (no such group)\n", 2),
    ("restart nope", "nope: ERROR (no such process)\nnope: ERROR (no such process)\n", 1),
    # signal
    ("signal HUP cat", "cat: signalled\n", 0),
    ("signal WHAT cat", "cat: ERROR (bad signal name)\n", 1),
    ("signal HUP off", "off: ERROR (not running)\n", 7),
    ("signal HUP nope", "nope: ERROR (no such process)\n", 1),
    ("signal HUP nope:*", "nope: ERROR (no such group)\n", 1),
    ("signal HUP all", "cat: signalled\nweb:web_00: signalled\n", 0),
    # pid
    ("pid", "321\n", 0),
    ("pid cat", "41\n", 0),
    ("pid off", "0\n", 7),
    ("pid cat off nope", "41\n0\nNo such process nope\n", 1),
    ("pid all", "41\n0\n42\n0\n", 0),
    ("pid web:*", "42\n0\n", 0),
    # clear
    ("clear cat", "cat: cleared\n", 0),
    ("clear nope", "nope: ERROR (no such process)\n", 1),
    ("clear all", "cat: cleared\noff: cleared\nweb:web_00: cleared\nweb:web_01: cleared\n", 0),
    ("clear web:*", "web:web_00: cleared\nweb:web_01: cleared\n", 0),
    # tail, maintail: what is wrong
    ("tail -x cat", "Error: bad argument -x\n", 1),
    ("tail cat wibble", "Error: bad channel 'wibble'\n", 1),
    ("tail -5", "Error: tail requires process name\n", 1),
    ("tail nope", "nope: ERROR (no such process name)\n", 1),
    ("tail cat", "cat: ERROR (no log file)\n", 1),
    ("tail -f nope", "==> Press Ctrl-C to exit <==\n", 0),
    ("maintail x", "Error: bad argument x\n", 1),
    ("maintail -x", "Error: bad argument -x\n", 1),
    ("maintail", "supervisord: ERROR (no log file)\n", 1),
    ("maintail -f", "==> Press Ctrl-C to exit <==\n", 0),
    # fg: what is wrong
    ("fg a b", "ERROR: too many process names supplied\n", 1),
    ("fg nope", "ERROR: bad process name supplied\n", 1),
    ("fg web:*", "ERROR: bad process name supplied\n", 1),
    ("fg off", "ERROR: process not running\n", 1),
    # configuration
    ("reread", "No config updates to processes\n", 0),
    ("update", "", 0),
    ("update all", "", 0),
    ("update nope cat", "ERROR: no such group: nope\n", 1),
    ("add", "", 0),
    ("add nope cat", "ERROR: no such process/group: nope\nERROR: process group already active\n", 1),
    ("add cat", "ERROR: process group already active\n", 0),
    ("remove", "", 0),
    ("remove nope cat off",
     "ERROR: no such process/group: nope\nERROR: process/group still running: cat\noff: removed process group\n", 1),
    ("avail",
     "cat                              in use    auto      999:10\n"
     "off                              in use    manual    999:10\n"
     "web:web_00                       in use    auto      999:10\n"
     "web:web_01                       in use    manual    999:10\n", 0),
    # the rest
    ("version", "9.8.7\n", 0),
    ("shutdown", "Shut down\n", 0),
    ("reload", "Restarted supervisord\n", 0),
    ("open x", "ERROR: url must be http:// or unix://\n", 1),
    ("open https://x", "ERROR: url must be http:// or unix://\n", 1),
    ("open unix:///nope", "unix:///nope no such file\n", 0),
    ("help nosuch", "*** No help on nosuch\n", 0),
    ("help help", "help\t\tPrint a list of available actions\nhelp <action>\tPrint help for <action>\n", 0),
    ("? quit", "quit\tExit the supervisor shell.\n", 0),
    ("help EOF", "*** No help on EOF\n", 0),
    ("quit", "\n", 0),
    ("exit", "\n", 0),
    ("EOF", "\n", 0),
    ("wibble", "*** Unknown syntax: wibble\n", 1),
    ("!x", "*** Unknown syntax: !x\n", 1),
    (":x y", "*** Unknown syntax: :x y\n", 1),
]  # fmt: skip


@pytest.mark.parametrize(("line", "stdout", "code"), TABLE, ids=[line for line, _, _ in TABLE])
def test_wording_and_exit_status(ctl: Ctl, line: str, stdout: str, code: int) -> None:
    done = ctl(*line.split())
    assert (done.stdout, done.returncode) == (stdout, code)


@pytest.mark.parametrize("words", [["status cat"], ["status", "cat"], ["  status  cat "]])
def test_words_are_joined_and_split_again(ctl: Ctl, words: list[str]) -> None:
    assert ctl(*words).stdout == CAT


@pytest.mark.parametrize(
    ("command", "first", "code"),
    [
        ("start", "Error: start requires a process name", 2),
        ("stop", "Error: stop requires a process name", 1),
        ("restart", "Error: restart requires a process name", 1),
        ("signal", "Error: signal requires a signal name and a process name", 1),
        ("clear", "Error: clear requires a process name", 1),
        ("tail", "Error: too few arguments", 1),
        ("fg", "ERROR: no process name supplied", 1),
        ("tail a b c d", "Error: too many arguments", 1),
        ("maintail a b", "Error: too many arguments", 1),
        ("reread x", "Error: reread accepts no arguments", 1),
        ("avail x", "Error: avail accepts no arguments", 1),
        ("version x", "Error: version accepts no arguments", 1),
        ("shutdown x", "Error: shutdown accepts no arguments", 1),
        ("reload x", "Error: reload accepts no arguments", 1),
    ],
)
def test_wrong_use_is_followed_by_the_help(ctl: Ctl, command: str, first: str, code: int) -> None:
    done = ctl(*command.split())
    assert done.stdout == first + "\n" + ctl("help", command.split()[0]).stdout
    assert done.returncode == code


def test_list_of_commands(ctl: Ctl) -> None:
    assert ctl("help").stdout == ctl("?").stdout == (
        "\ndefault commands (type help <topic>):\n"
        "=====================================\n"
        "add    exit      open  reload  restart   start   tail   \n"
        "avail  fg        pid   remove  shutdown  status  update \n"
        "clear  maintail  quit  reread  signal    stop    version\n\n"
        "\nmore commands (type help <topic>):\n"
        "==================================\n"
        "cat      enable  health     logs            scale  why\n"
        "diff     events  is-active  reload-program  thaw \n"
        "disable  freeze  is-ready   rotate          usage\n\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "said", "code"),
    [
        ("NO_FILE", "off: ERROR (no such file)\n", 1),
        ("NOT_EXECUTABLE", "off: ERROR (file is not executable)\n", 1),
        ("SPAWN_ERROR", "off: ERROR (spawn error)\n", 7),
        ("ABNORMAL_TERMINATION", "off: ERROR (abnormal termination)\n", 7),
    ],
)
def test_a_start_that_goes_wrong(ctl: Ctl, daemon: FakeDaemon, fault: str, said: str, code: int) -> None:
    daemon.start_faults = {"off": fault}
    done = ctl("start", "off")
    assert (done.stdout, done.returncode) == (said, code)


def test_the_last_failure_decides(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.start_faults = {"off": "SPAWN_ERROR"}
    assert ctl("start", "off", "nope").returncode == 1
    assert ctl("start", "nope", "off").returncode == 7
    assert ctl("start", "nope:*", "cat").returncode == 2


def test_long_names_widen_the_table(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.processes = [daemon.processes[0] | {"name": "n" * 40, "group": "g"}, daemon.processes[0]]
    lines = ctl("status").stdout.splitlines()
    assert lines[0] == f"g:{'n' * 40}   RUNNING   pid 41, uptime 0:00:05"
    assert lines[1] == f"{'cat':<45}RUNNING   pid 41, uptime 0:00:05"


def test_status_of_nothing(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.processes = []
    done = ctl("status")
    assert (done.stdout, done.returncode) == ("", 0)


def test_reread_and_update(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.reread = {"added": ["new"], "changed": ["cat"], "removed": ["old"]}
    daemon.changes = [
        {"group": "old", "kind": "stopped"}, {"group": "old", "kind": "removed"},
        {"group": "cat", "kind": "stopped"}, {"group": "cat", "kind": "updated"}, {"group": "new", "kind": "added"},
    ]  # fmt: skip
    assert ctl("reread").stdout == "cat: changed\nnew: available\nold: disappeared\n"
    everything = (
        "old: stopped\nold: removed process group\ncat: stopped\ncat: updated process group\n"
        "new: added process group\n"
    )
    assert ctl("update").stdout == everything
    assert ctl("update", "new", "all").stdout == everything
    assert ctl("update", "cat", "new").stdout == "cat: stopped\ncat: updated process group\nnew: added process group\n"
    daemon.calls.clear()
    assert ctl("update", "nope").returncode == 1
    assert "Update" not in [method for method, _ in daemon.calls]
    assert ctl("add", "new").stdout == "new: added process group\n"


def test_update_of_what_does_not_stop(ctl: Ctl, daemon: FakeDaemon) -> None:
    daemon.changes = [{"group": "cat", "kind": "stopped"}, {"group": "cat", "kind": "failed"}]
    done = ctl("update")
    assert (done.stdout, done.returncode) == ("cat: stopped\ncat: has problems; not removing\n", 1)


BAD_CONFIG = Refusal("CANT_REREAD", "x.conf:3: error: no")
ENDING = Refusal("SHUTDOWN_STATE")


@pytest.mark.parametrize(
    ("line", "method", "refusal", "said", "code"),
    [
        ("reread", "Reread", BAD_CONFIG, "ERROR: CANT_REREAD: x.conf:3: error: no\n", 1),
        ("reload", "Update", BAD_CONFIG, "ERROR: CANT_REREAD: x.conf:3: error: no\n", 1),
        ("reread", "Reread", ENDING, "ERROR: supervisor shutting down\n", 1),
        ("avail", "ListConfigs", ENDING, "ERROR: supervisor shutting down\n", 1),
        ("update", "Reread", ENDING, "ERROR: already shutting down\n", 1),
        ("reload", "Update", ENDING, "ERROR: already shutting down\n", 1),
        ("shutdown", "Shutdown", ENDING, "ERROR: already shutting down\n", 0),
        ("add x", "AddGroup", ENDING, "ERROR: shutting down\n", 1),
        ("stop cat", "Stop", Refusal("FAILED", "will not die"), "FAILED: will not die\n", 1),
        ("clear cat", "ClearLogs", Refusal("FAILED", "cat"), "cat: ERROR (failed)\n", 1),
        ("tail cat", "OpenLog", Refusal("FAILED", "cat"), "cat: ERROR (unknown error reading log)\n", 1),
    ],
)
def test_what_the_daemon_refuses(
    ctl: Ctl, daemon: FakeDaemon, line: str, method: str, refusal: Refusal, said: str, code: int
) -> None:
    daemon.refuse[method] = refusal
    done = ctl(*line.split())
    assert (done.stdout, done.returncode) == (said, code)


@pytest.mark.parametrize(
    ("line", "method", "fault"),
    [("update", "Reread", BAD_CONFIG), ("status", "GetState", ENDING), ("start cat", "Start", ENDING)],
)
def test_other_refusals_are_the_error_line_that_scripts_look_for(
    ctl: Ctl, daemon: FakeDaemon, line: str, method: str, fault: Refusal
) -> None:
    daemon.refuse[method] = fault
    done = ctl(*line.split())
    assert done.stdout.startswith(f"error: <class 'xmlrpc.client.Fault'>, <Fault {fault.code}: '{fault}'>: file: ")
    assert done.returncode == 1


def test_json(ctl: Ctl, daemon: FakeDaemon) -> None:
    before, after = ctl("-o", "json", "status"), ctl("status", "-o", "json")
    assert before.stdout == after.stdout
    assert (before.returncode, after.returncode) == (0, 0)
    read = json.loads(before.stdout)
    assert read == {"schema": "sdsuper.status/1", "processes": daemon.processes}
    some = ctl("status", "nope", "cat", "--output=json")
    assert [one["name"] for one in json.loads(some.stdout)["processes"]] == ["cat"]
    assert (some.stderr, some.returncode) == ("nope: ERROR (no such process)\n", 4)
    avail = json.loads(ctl("avail", "-o", "json").stdout)
    assert avail["schema"] == "sdsuper.avail/1"
    assert avail["configs"][0]["command"] == "/bin/cat"


def test_another_format(ctl: Ctl) -> None:
    assert ctl("status", "-o", "yaml").returncode == 2
    done = ctl("-o", "yaml", "status")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: invalid value for -o 'yaml': table or json expected\nFor help, use sdsuper ctl -h\n"
    )  # fmt: skip
    assert ctl("status", "cat", "-o", "table").stdout == CAT
