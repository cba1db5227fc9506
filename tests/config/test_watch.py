"""Options about changed files, and what a command's words name."""

import shlex

import pytest

from sdsuper.config.model import Watch
from sdsuper.config.reload import needs_restart
from sdsuper.config.watch import script

from .fake import one, says


def test_nothing_is_watched_unless_it_is_said() -> None:
    assert one("").watch == Watch() == one("restart_delay=3\nrestart_file_pattern=*.py").watch


def test_the_record() -> None:
    found = one("restart_when_binary_changed=true\nrestart_directory_monitor=/srv/a, /srv/%(program_name)s\n"
                "restart_file_pattern=*.py, *.html\nrestart_file_exclude=x/y,*.tmp\n"
                "restart_cmd_when_binary_changed=/bin/reload %(program_name)s\n"
                "restart_signal_when_file_changed=HUP\nrestart_delay=0.25").watch
    assert found.binary and found.directories[0] == "/srv/a" and "%" not in found.directories[1]
    assert found.patterns == ("*.py", "*.html") and found.excludes == ("x/y", "*.tmp")
    assert found.binary_command.startswith("/bin/reload ") and found.file_signals == (1,) and found.delay == 0.25


def test_it_is_taken_over_without_a_restart() -> None:
    assert not needs_restart(one(""), one("restart_when_binary_changed=true"))


@pytest.mark.parametrize(("options", "said"), [
    ("restart_delay=soon", "cannot read 'soon' as seconds (number from 0 to 3600, such as 1.5 expected)"),
    ("restart_delay=3601", "cannot read '3601' as seconds"),
    ("restart_delay=-1", "cannot read '-1' as seconds"),
    ("restart_directory_monitor=,", "cannot read ',' as directories"),
    ("restart_file_pattern=*.py", "restart_file_pattern: has no effect without restart_directory_monitor"),
    ("restart_cmd_when_binary_changed=x", "has no effect without restart_when_binary_changed"),
    ("restart_delay=2", "has no effect without restart_when_binary_changed or restart_directory_monitor"),
    ("restart_directory_monitor=/a\nrestart_cmd_when_file_changed=x\nrestart_signal_when_file_changed=HUP",
     "restart_signal_when_file_changed: has no effect, for restart_cmd_when_file_changed comes first"),
    ("restart_directory_monitor=/a\nrestart_cmd_when_file_changed='x", "cannot be split into words"),
])
def test_what_is_wrong(options: str, said: str) -> None:
    assert any(said in line for line in says(options)), says(options)


@pytest.mark.parametrize(("command", "found"), [
    ("/srv/app --port 80", None),
    ("python app.py", (0, "app.py", "")),
    ("/usr/bin/python3.11 -u -W ignore -X dev app.py --x", (0, "app.py", "")),
    ("python3 -m http.server 80", (0, "", "http.server")),
    ("python3 -c 'print(1)'", (0, "", "")),
    ("python3 -", (0, "", "")),
    ("pypy3 x.py", (0, "x.py", "")),
    ("node --require ./a.js --max-old-space-size=100 server.js", (0, "server.js", "")),
    ("nodejs server.js", (0, "server.js", "")),
    ("sh -c 'exec x'", (0, "", "")),
    ("/bin/sh -eu run.sh a b", (0, "run.sh", "")),
    ("bash -O extglob run.sh", (0, "run.sh", "")),
    ("bash -- -odd", (0, "-odd", "")),
    ("java -Xmx1g -cp a:b -jar app.jar x", (0, "app.jar", "")),
    ("java -cp a com.example.Main", (0, "", "")),
    ("php8.2 -d x=1 a.php", (0, "a.php", "")),
    ("env -i A=1 B=2 python3 app.py", (4, "app.py", "")),
    ("env A=1 /srv/app", (2, "", "")),
    ("nohup setsid ruby app.rb", (2, "app.rb", "")),
    ("env", None),
    ("pythonic app.py", None),
    ("ruby", (0, "", "")),
])
def test_the_script_of_a_command(command: str, found: tuple[int, str, str] | None) -> None:
    assert script(shlex.split(command)) == found
