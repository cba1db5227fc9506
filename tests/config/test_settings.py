import re
import subprocess
import sys
from pathlib import Path

import pytest

from sdsuper.cli.echo_conf import sample
from sdsuper.config.model import SupervisordConfig
from sdsuper.config.reading import Reading
from sdsuper.config.row import Change, Scope
from sdsuper.config.settings import ROWS, SECTIONS, TABLE, kind_of, option_hint, section_hint

from .fake import HEAD, FakeHost, read
from .original import original

ROOT = Path(__file__).resolve().parents[2]


def test_each_option_is_there_once_per_section():
    for kind in ROWS:
        names = [row.name for row in TABLE if kind in row.sections]
        assert len(names) == len(set(names))


def test_every_default_converts():
    reading = Reading(FakeHost({}))
    for row in TABLE:
        reading.default(row)


def test_every_option_is_described():
    for row in TABLE:
        assert row.doc.endswith("."), row.name
        assert row.doc[0].isupper() or row.doc.startswith("`"), row.name
        assert row.since in ("supervisor", "go", "sdsuper")


def test_supervisord_options_are_the_fields_of_its_record():
    assert {row.name for row in ROWS["supervisord"].values()} == set(SupervisordConfig._fields) - {"later"}


def test_programs_are_restarted_or_not_but_not_the_daemon():
    assert all(row.change is not Change.DAEMON for row in ROWS["program"].values())
    assert ROWS["program"]["command"].scope is Scope.PROCESS


def test_supervisors_sample_has_no_option_we_do_not_know():
    packages = Path(original("supervisor").__path__[0])
    kind = ""
    for line in (packages / "skel" / "sample.conf").read_text().splitlines():
        line = line.lstrip(";")
        if line.startswith("["):
            kind = line[1 : line.index("]")].partition(":")[0]
        elif "=" in line and line[:1].isalpha() and " " not in line.partition("=")[0].strip():
            assert line.partition("=")[0].strip() in ROWS[kind], line


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("supervisord", "supervisord"),
        ("program:x", "program"),
        ("program:", "program"),
        ("program", None),
        ("x", None),
        ("inet_http_server", "inet_http_server"),
        ("unix_http_server:a", "unix_http_server"),
        ("supervisord:x", None),
        ("unix_http_server2", "unix_http_server"),
        ("group:a:b", "group"),
        ("program-default", "program-default"),
    ],
)
def test_kinds(section, kind):
    assert kind_of(section) == kind


def test_hints():
    assert option_hint("program", "autorestrat") == ", did you mean 'autorestart'?"
    assert option_hint("program", "envfile") == ", did you mean 'envFiles'?"
    assert option_hint("program", "completely_different_thing") == ""
    assert option_hint("program", "x" * 100_000) == ""
    assert section_hint("programm:web") == ", did you mean 'program:web'?"
    assert section_hint("includes") == ", did you mean 'include'?"


def test_the_documentation_is_current():
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_man_page_has_every_option():
    page = ROOT / "docs" / "man" / "supervisord.conf.5"
    assert all(f"\n.B {row.name}\n" in page.read_text() for row in TABLE)


def test_our_sample():
    text = sample()
    assert "Sample supervisor config file" in text.splitlines()[0]
    assert read(text).warnings == ()
    assert {section for section in SECTIONS if f"[{section}" in text} == set(SECTIONS) - {
        "program-default",
        "ctlplugin:",
    }


def test_our_sample_with_everything_in_force():
    lines = [line[1:] if line.startswith(";") and not line.startswith("; ") else line for line in sample().splitlines()]
    text = "\n".join(lines).replace("nobody:nogroup", "nobody:adm").replace("progname1,progname2", "theprogramname")
    for kind in ("eventlistener:thelistenername", "fcgi-program:thefcginame"):
        text = text.replace(f"[{kind}]", f"[{kind}]\ncommand=/bin/cat")
    text = text.replace("process_name=%(program_name)s\n", "").replace("reload_signal=HUP\n", "")     # or the command
    text = re.sub("startup_check_.*\n", "", text)          # or type=forking
    said = [str(problem) for problem in read(text).warnings]
    assert not [line for line in said if "not yet" not in line and "no file matches" not in line]


def test_every_option_of_ours_and_supervisors_is_in_the_sample():
    text = sample()
    for row in TABLE:
        if row.since != "go" and "ctlplugin" not in row.sections and not row.name.startswith("rlimit_"):
            assert f"{row.name}=" in text, row.name


def test_head_is_enough():
    assert read(HEAD).groups == ()
