from sdsuper.config.lifecycle import Condition, Need
from sdsuper.config.model import (
    FcgiSocket,
    GroupKind,
    Model,
)

from .fake import HEAD, MAIN, read, said

CAT = "command=/bin/cat\n"


def names(model: Model) -> dict[str, list[str]]:
    return {group.name: [process.name for process in group.processes] for group in model.groups}


def test_groups_and_order():
    text = (
        HEAD
        + "".join(
            f"[program:{name}]\ncommand={name}\npriority={priority}\n"
            for name, priority in (("b", 5), ("a", 5), ("z", 1), ("c", 999), ("d", 1))
        )
        + "[group:g]\nprograms=c, d\npriority=2\n"
    )
    assert list(names(read(text)).items()) == [("z", ["z"]), ("g", ["d", "c"]), ("a", ["a"]), ("b", ["b"])]


def test_group_names_in_expansion():
    model = read(HEAD + "[program:p]\ncommand=%(group_name)s\n[group:g]\nprograms=p\n[group:h]\nprograms=p\n")
    assert [(group.name, group.processes[0].command) for group in model.groups] == [("g", "g"), ("h", "h")]
    assert "grouped more than once" in str(model.warnings[0])


def test_group_mistakes():
    assert said(
        HEAD + "[group:g]\nprograms=x,y\n[program:y]\ncommand=y\n[fcgi-program:y]\ncommand=y\nsocket=tcp://h:1\n"
    )[:2] == [
        "3: error: [group:g] programs: 'y' is both a program and an fcgi-program",
        "3: error: [group:g] programs: no such program: 'x'",
    ]
    assert said(HEAD + "[group:g]\n") == ["2: warning: [group:g] has no programs, so the group is empty"]
    assert "error" in said(HEAD + "[group:a b]\n")[0]


def test_a_name_for_two_groups():
    text = HEAD + "[program:g]\ncommand=x\npriority={}\n[program:p]\ncommand=p\n[group:g]\nprograms=p\n"
    assert names(read(text.format(999))) == {"g": ["p"]}
    assert said(text.format(999)) == [
        f"2: warning: [program:g] is left out, for [group:g] at {MAIN}:7 has the name 'g'"
    ]
    assert names(read(text.format(1))) == {"g": ["g"]}  # as Supervisor: the one that sorts first


def test_equal_process_names():
    assert said(
        HEAD
        + "[program:a]\ncommand=a\nprocess_name=n\n[program:b]\ncommand=b\nprocess_name=n\n[group:g]\nprograms=a,b\n"
    ) == ["8: warning: [group:g] several processes have the name 'n', only the last of them is used"]


def test_event_listener():
    model = read(
        HEAD + "[eventlistener:l]\ncommand=l\nevents=tick_5,PROCESS_STATE\n[eventlistener:m]\ncommand=m\nevents=EVENT\n"
        "priority=3\nbuffer_size=7\n"
    )
    first, second = model.groups
    assert (first.kind, first.priority, first.processes[0].priority) == (GroupKind.EVENTLISTENER, -1, 999)
    assert (first.events, first.buffer_size) == (("TICK_5", "PROCESS_STATE"), 0)
    assert (second.priority, second.processes[0].priority, second.buffer_size) == (3, 3, 7)
    assert (second.listener_timeout, second.payload_bytes) == (0, False)
    (third,) = read(
        HEAD + "[eventlistener:n]\ncommand=n\nevents=EVENT\nlistener_timeout=90\npayload_length=Bytes\n"
    ).groups
    assert (third.listener_timeout, third.payload_bytes) == (90, True)
    assert said(HEAD + "[eventlistener:l]\ncommand=l\nredirect_stderr=true\nbuffer_size=0\n") == [
        "2: error: [eventlistener:l] events: is required",
        "4: error: [eventlistener:l] redirect_stderr: cannot be true for an event listener, whose output is the "
        "protocol",
        "5: error: [eventlistener:l] buffer_size: cannot read '0' as a number (number from 1 to 2147483648 expected)",
    ]


def test_what_a_listener_cannot_have():
    assert said(
        HEAD + "[eventlistener:l]\ncommand=l\nevents=EVENT\nresult_handler=laforge:judge\n"
        "stdout_capture_maxbytes=1KB\nstdout_events_enabled=true\nstderr_events_enabled=true\npayload_length=words\n"
    ) == [
        "5: warning: [eventlistener:l] result_handler: 'laforge:judge' is not used: the daemon runs no code of others, "
        "answers are judged as supervisor.dispatchers:default_handler does",
        "6: warning: [eventlistener:l] stdout_capture_maxbytes: is ignored: a listener's output is the protocol",
        "7: warning: [eventlistener:l] stdout_events_enabled: is ignored: a listener's output is the protocol",
        "9: error: [eventlistener:l] payload_length: cannot read 'words' as a unit (characters or bytes expected)",
    ]
    assert said(HEAD + "[eventlistener:l]\ncommand=l\nevents=EVENT\n"
                "result_handler=supervisor.dispatchers:default_handler\n") == []


def test_fcgi():
    text = HEAD + "[fcgi-program:f]\ncommand=f\nsocket=unix:///run/%(program_name)s\nuser=deploy\n"
    (group,) = read(text).groups
    assert (group.kind, group.sockets) == (
        GroupKind.FCGI,
        (("f", FcgiSocket("unix:///run/f", None, (1000, 1000), 0o700)),),
    )
    (group,) = read(text + "[group:g]\nprograms=f\n").groups
    assert (group.kind, [name for name, _ in group.sockets]) == (GroupKind.PROGRAM, ["f"])
    assert "2: error: [fcgi-program:f] socket_owner and socket_mode are for unix sockets only" in said(
        HEAD + "[fcgi-program:f]\ncommand=f\nsocket=tcp://h:1\nsocket_mode=0700\n"
    )
    assert "2: error: [fcgi-program:f] socket: is required" in said(HEAD + "[fcgi-program:f]\ncommand=f\n")


def test_all_that_is_said_of_one_dependency_holds():
    text = (HEAD + f"[program:jobs]\n{CAT}[program:web]\n{CAT}depends_on=jobs?, jobs:jobs:completed\n"
            "[group:site]\nprograms=web\ndepends_on=jobs, jobs:jobs:started\n")
    (web,) = next(group for group in read(text).groups if group.name == "site").processes
    assert set(web.depends.needs) == {Need("jobs", "jobs", condition, False)
                                      for condition in (Condition.READY, Condition.COMPLETED, Condition.STARTED)}
