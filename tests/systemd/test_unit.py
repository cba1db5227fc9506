"""sdsuper.systemd.unit: the text of the units, as systemd.syntax(7) and systemd.service(5) read it, and as
systemd-analyze judges it.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from sdsuper.systemd.unit import (
    DROP_INS,
    HARDENINGS,
    SOCKET,
    Plan,
    instance_unit,
    packaged,
    unit,
    unprivileged_unit,
    user_unit,
)

PLAN = Plan("/usr/bin/sdsuper", "/usr/bin/sdsuperd", "/etc/supervisord.conf")
ALL = {"default": unit(PLAN), "hardened": unit(PLAN._replace(hardening="hardened")),
       "strict": unit(PLAN._replace(hardening="strict", writable=("/srv/a b", "/var/lib/x"))),
       "instance": instance_unit(PLAN), "unprivileged": unprivileged_unit(PLAN, "daemon"), "user": user_unit(PLAN)}


def value(text: str, key: str) -> str:
    """The value of a directive that is there once."""
    found = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    assert len(found) == 1, found
    return str(found[0])


def test_plain_paths_are_written_as_they_are() -> None:
    text = unit(PLAN)
    assert value(text, "ExecStart") == "/usr/bin/sdsuperd --nodaemon --silent --configuration /etc/supervisord.conf"
    assert value(text, "ExecReload") == (
        "/usr/bin/sdsuper ctl --configuration /etc/supervisord.conf --pid $MAINPID reload")


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/srv/my own.conf", '"/srv/my own.conf"'),             # one word
        ("/srv/100%h.conf", "/srv/100%%h.conf"),                # no specifier
        ("/srv/$HOME/${x}.conf", "/srv/$$HOME/$${x}.conf"),     # no variable
        ('/srv/a"b.conf', '"/srv/a\\"b.conf"'),
        ("/srv/it's.conf", '"/srv/it\'s.conf"'),
        ("/srv/a\\b.conf", '"/srv/a\\\\b.conf"'),
        ("/srv/a;b.conf", '"/srv/a;b.conf"'),                   # no second command
        ("/srv/é.conf", "/srv/é.conf"),
    ],
)
def test_nothing_in_a_path_has_a_meaning(path: str, word: str) -> None:
    text = unit(Plan(path, path, path, "strict", writable=(path,)))
    bare = word.replace("$$", "$")                          # no variables in the path of what is run, nor in lists
    assert value(text, "ExecStart") == f"{bare} --nodaemon --silent --configuration {word}"
    assert value(text, "ExecReload") == f"{bare} ctl --configuration {word} --pid $MAINPID reload"
    assert value(text, "ReadWritePaths") == f"-{bare}"


@pytest.mark.parametrize("path", ["/srv/a\nExecStartPre=/bin/evil", "/srv/\r", "/srv/\x7f", "/srv/\0"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_path_can_become_a_directive(path: str, place: int) -> None:
    paths = ["/a", "/b", "/c"]
    paths[place] = path
    with pytest.raises(ValueError, match="no control characters expected"):
        unit(Plan(*paths))


@pytest.mark.parametrize("name", ALL)
def test_every_line_is_a_section_a_directive_or_empty(name: str) -> None:
    lines = ALL[name].splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[Unit]", "[Service]", "[Install]"]
    assert not [line for line in lines if line and not re.fullmatch(r"\[\w+\]|[A-Z]\w+=.*", line)]
    assert max(map(len, lines)) < 2048      # LONG_LINE_MAX is more, people's editors are not


def test_only_what_programs_do_without_is_taken_away() -> None:
    text = unit(PLAN)
    for kept in ("NoNewPrivileges", "ProtectSystem", "PrivateTmp", "MemoryDenyWriteExecute", "RestrictNamespaces",
                 "ProtectControlGroups", "PrivateUsers", "PrivateNetwork"):
        assert f"{kept}=" not in text
    assert value(text, "SystemCallErrorNumber") == "EPERM"      # without it a program is killed
    assert value(text, "Delegate") == "yes"
    assert value(text, "KillMode") == "mixed"


@pytest.mark.parametrize("place", ["config", "daemon", "writable"])
def test_a_strict_daemon_sees_the_homes_that_it_needs(place: str) -> None:
    strict = PLAN._replace(hardening="strict", writable=("/srv",))
    assert value(unit(strict), "ProtectHome") == "yes"
    path = "/home/x/app"
    given = strict._replace(**{place: (path,) if place == "writable" else path})
    assert value(unit(given), "ProtectHome") == "read-only"
    if place == "writable":
        assert value(unit(given), "ReadWritePaths") == f"-{path}", "below it can be written"


def test_a_reload_by_notification_is_only_for_those_who_know_it() -> None:
    assert "Type=notify\n" in unit(PLAN) and "Type=notify\n" in unit(PLAN._replace(systemd=252))
    assert "Type=notify-reload\nReloadSignal=SIGCONT\n" in unit(PLAN._replace(systemd=253))


# ---- what systemd says ----------------------------------------------------------------------------------------------

def exposure(text: str, folder: Path, name: str = "probe.service") -> float:
    """How exposed a unit is, from 0 to 10."""
    (folder / name).write_text(text)
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", str(folder / name)],
                          capture_output=True, text=True, check=True)
    assert not done.stderr, done.stderr         # a word that systemd does not know
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])


@pytest.mark.parametrize(("name", "most"), [("default", 6.3), ("hardened", 4.7), ("strict", 3.0), ("instance", 6.3),
                                            ("unprivileged", 1.6)])
def test_exposure(tmp_path: Path, name: str, most: float) -> None:
    assert exposure(ALL[name], tmp_path, "probe@.service" if name == "instance" else "probe.service") <= most


def test_a_drop_in_does_the_same_as_the_hardening_of_its_name(tmp_path: Path) -> None:
    plain = unit(PLAN).partition("\n[Install]")[0]
    for name in HARDENINGS[1:]:
        added = DROP_INS[name].partition("[Service]\n")[2]
        assert exposure(plain + "\n" + added, tmp_path) == exposure(unit(PLAN._replace(hardening=name)), tmp_path)


def test_compat_gives_everything_back(tmp_path: Path) -> None:
    bare = "[Service]\nType=notify\nExecStart=/bin/true\nDelegate=yes\nUMask=0022\n"
    given = unit(PLAN).partition("\n[Install]")[0] + "\n" + DROP_INS["compat"].partition("[Service]\n")[2]
    assert exposure(given, tmp_path) == exposure(bare, tmp_path)


def test_every_packaged_unit_is_understood(tmp_path: Path) -> None:
    for name, text in packaged().items():
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text.replace("/usr/bin/sdsuperd", "/bin/true").replace("/usr/bin/sdsuper", "/bin/true")
                         .replace("sdsuper-unprivileged\n", "daemon\n"))
    units = [str(tmp_path / name) for name in packaged() if name.endswith((".service", ".socket"))]
    for unit_file in units:
        words = ["--user"] if "/user/" in unit_file else []
        if "@" in unit_file:
            unit_file = unit_file.replace("@", "@x")
            Path(unit_file).write_text(instance_unit(PLAN).replace("/usr/bin/sdsuperd", "/bin/true")
                                       .replace("/usr/bin/sdsuper", "/bin/true"))
        done = subprocess.run(["systemd-analyze", *words, "verify", "--man=no", "--recursive-errors=no", unit_file],
                              capture_output=True, text=True, check=False,
                              env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
        assert (done.returncode, done.stderr) == (0, ""), unit_file
    assert "SocketMode=0600" in SOCKET
