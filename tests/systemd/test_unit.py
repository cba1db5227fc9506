"""sdsuper.systemd.unit: the text of the unit, as systemd.syntax(7) and systemd.service(5) read it."""

import re

import pytest

from sdsuper.systemd.unit import unit


def value(text: str, key: str) -> str:
    """The value of a directive that is there once."""
    found = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    assert len(found) == 1, found
    return str(found[0])


def test_plain_paths_are_written_as_they_are() -> None:
    text = unit("/usr/bin/sdsuper", "/usr/bin/sdsuperd", "/etc/supervisord.conf")
    assert value(text, "ExecStart") == "/usr/bin/sdsuperd --nodaemon --silent --configuration /etc/supervisord.conf"
    assert value(text, "ExecReload") == "/usr/bin/sdsuper ctl --configuration /etc/supervisord.conf reload"


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
    text = unit("/usr/bin/sdsuper", "/usr/bin/sdsuperd", path)
    assert value(text, "ExecStart").endswith(f" --configuration {word}")
    assert value(text, "ExecReload") == f"/usr/bin/sdsuper ctl --configuration {word} reload"


@pytest.mark.parametrize("path", ["/srv/a\nExecStartPre=/bin/evil", "/srv/\r", "/srv/\x7f", "/srv/\0"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_path_can_become_a_directive(path: str, place: int) -> None:
    paths = ["/a", "/b", "/c"]
    paths[place] = path
    with pytest.raises(ValueError, match="no control characters expected"):
        unit(*paths)


def test_every_line_is_a_section_a_directive_or_empty() -> None:
    lines = unit("/a", "/b", "/c").splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[Unit]", "[Service]", "[Install]"]
    assert not [line for line in lines if line and not re.fullmatch(r"\[\w+\]|[A-Z]\w+=\S.*", line)]
    assert max(map(len, lines)) < 2048      # LONG_LINE_MAX is more, people's editors are not


def test_only_what_programs_do_without_is_taken_away() -> None:
    text = unit("/a", "/b", "/c")
    for kept in ("NoNewPrivileges", "ProtectSystem", "PrivateTmp", "MemoryDenyWriteExecute", "RestrictNamespaces",
                 "ProtectControlGroups", "PrivateUsers", "PrivateNetwork"):
        assert f"{kept}=" not in text
    assert value(text, "SystemCallErrorNumber") == "EPERM"      # without it a program is killed
    assert value(text, "Delegate") == "yes"
    assert value(text, "KillMode") == "mixed"
