import pytest

from sdsuper.config.model import LogConfig, LogTarget, ProcessConfig, TargetKind
from sdsuper.config.reload import needs_restart, plan
from sdsuper.config.row import Change
from sdsuper.config.settings import ROWS, TABLE

from .fake import HEAD, one, read

THREE = HEAD + "[program:a]\ncommand=a\n[program:b]\ncommand=b\n[program:c]\ncommand=c\n"


def kinds(before: str, after: str) -> dict[str, list[str]]:
    """What a plan says, by name."""
    found = plan(read(before), read(after))
    told = {
        "added": [group.name for group in found.added],
        "removed": list(found.removed),
        "daemon": list(found.daemon),
    }
    for change in found.changed:
        for kind, members in (("added", change.added), ("restarted", change.restarted), ("applied", change.applied)):
            told[f"{change.new.name} {kind}"] = [process.name for process in members]
        told[f"{change.new.name} removed"] = list(change.removed)
    return {kind: names for kind, names in told.items() if names}


def test_the_first_start_is_a_reload_from_nothing():
    model = read(THREE)
    assert plan(None, model) == (model.groups, (), (), ())


def test_nothing_changed():
    assert plan(read(THREE), read("; a comment\n" + THREE)) == ((), (), (), ())


def test_added_changed_removed():
    after = THREE.replace("command=b", "command=bb").replace("[program:c]", "[program:d]")
    assert kinds(THREE, after) == {"added": ["d"], "removed": ["c"], "b restarted": ["b"]}


def test_live_changes_do_not_restart():
    assert kinds(THREE, THREE + "startsecs=9\nautorestart=true\nstdout_logfile_maxbytes=1MB\n") == {"c applied": ["c"]}
    assert kinds(THREE, THREE + "startsecs=9\numask=077\n") == {"c restarted": ["c"]}


def test_more_processes_leave_the_others_alone():
    text = HEAD + "[program:w]\ncommand=w\nprocess_name=w%(process_num)d\nnumprocs={}\n"
    assert kinds(text.format(2), text.format(4)) == {"w added": ["w2", "w3"]}
    assert kinds(text.format(3), text.format(1)) == {"w removed": ["w1", "w2"]}


def test_a_group_can_change_without_its_processes():
    group = "[group:g]\nprograms=a,b\npriority={}\n"
    (change,) = plan(read(THREE + group.format(1)), read(THREE + group.format(2))).changed
    assert (change.new.priority, *change[1:]) == (2, (), (), (), ())


def test_a_program_that_joins_a_group():
    assert kinds(THREE, THREE + "[group:g]\nprograms=a,b\n") == {"added": ["g"], "removed": ["a", "b"]}


def test_another_kind_of_group():
    text = HEAD + "[{}:x]\ncommand=x\n{}"
    assert kinds(text.format("program", ""), text.format("eventlistener", "events=EVENT\n")) == {"x restarted": ["x"]}
    fcgi = text.format("fcgi-program", "socket=tcp://h:1\n")
    assert kinds(fcgi, fcgi.replace("h:1", "h:2")) == {"x restarted": ["x"]}


def test_daemon():
    server = "[inet_http_server]\nport=1\n"
    after = THREE.replace(HEAD, HEAD + "minfds=7\nidentifier=x\n") + server
    assert kinds(THREE, after) == {"daemon": ["identifier", "inet_http_server", "minfds"]}
    assert kinds(THREE + server, "\n" + THREE + server) == {}
    assert kinds(THREE, THREE.replace(HEAD, HEAD + "environment=A=1\n")) == {
        "a restarted": ["a"],
        "b restarted": ["b"],
        "c restarted": ["c"],
    }


def test_every_field_has_a_rule():
    ruled = {row.field.partition(".")[0] for row in TABLE if row.field}
    assert ruled == set(ProcessConfig._fields) - {"program"}
    assert {row.field for row in TABLE if row.field.startswith("stdout.")} == {
        f"stdout.{name}" for name in LogConfig._fields
    }


@pytest.mark.parametrize(
    "row", [row for row in dict.fromkeys(ROWS["program"].values()) if row.field], ids=lambda row: row.name
)
def test_the_table_is_what_happens(row):
    """Another value of each field restarts the process if and only if one of the field's rows says so."""
    process = one("")
    field, _, part = row.field.partition(".")
    value = getattr(process, field)
    other = value._replace(**{part: object()}) if part else object()
    if row.field == "stdout.targets":
        other = value._replace(targets=(LogTarget(TargetKind.SYSLOG),))
    changed = process._replace(**{field: other})
    assert needs_restart(process, changed) == (row.change is Change.RESTART)


def test_a_stream_that_becomes_captured():
    process = one("stdout_logfile=NONE")
    assert needs_restart(process, process._replace(stdout=process.stdout._replace(events_enabled=True)))
    assert needs_restart(process, process._replace(stdout=process.stdout._replace(capture_maxbytes=1)))
    assert not needs_restart(process, process._replace(stdout=process.stdout._replace(maxbytes=1)))
