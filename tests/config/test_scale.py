"""A number of processes that somebody has set wins over numprocs; and where such numbers are kept."""

import pytest

from sdsuper.config.load import load
from sdsuper.config.model import Model
from tests.config.fake import HEAD, MAIN, FakeHost

WEB = "[program:web]\ncommand=/bin/cat %(numprocs)d\nprocess_name=%(program_name)s_%(process_num)d\nnumprocs=2\n"
ONE = "[program:one]\ncommand=/bin/cat\n"


def scaled(text: str, **scale: int) -> Model:
    return load(MAIN, FakeHost({MAIN: HEAD + text}), scale=scale)


def names(model: Model) -> list[str]:
    return [process.name for group in model.groups for process in group.processes]


def test_a_scale_wins_over_numprocs_for_its_program_alone() -> None:
    assert names(scaled(WEB + ONE, web=4)) == ["one", "web_0", "web_1", "web_2", "web_3"]
    assert names(scaled(WEB + ONE, web=1)) == ["one", "web_0"]
    assert names(scaled(WEB, nobody=7)) == ["web_0", "web_1"]


def test_it_counts_from_numprocs_start_and_is_known_as_numprocs() -> None:
    (group,) = scaled(WEB + "numprocs_start=5\n", web=3).groups
    assert [(one.name, one.command) for one in group.processes] == [
        ("web_5", "/bin/cat 3"), ("web_6", "/bin/cat 3"), ("web_7", "/bin/cat 3")]


def test_in_every_group_that_has_the_program() -> None:
    found = scaled(WEB + "[group:a]\nprograms=web\n", web=3)
    assert [(group.name, len(group.processes)) for group in found.groups] == [("a", 3)]


def test_what_cannot_have_it_keeps_its_own_number_with_a_warning() -> None:
    found = scaled(ONE, one=3)
    assert names(found) == ["one"]
    (warning,) = found.warnings
    assert str(warning).startswith(f"{MAIN}:2: warning: [program:one] process_name: must have %(process_num) in it for "
                                   "the 3 processes that the program was scaled to")
    assert names(scaled(ONE, one=1)) == ["one"] and not scaled(ONE, one=1).warnings


@pytest.mark.parametrize(("uid", "environ", "text", "path"), [
    (0, {}, "", "/var/lib/sdsuper/run-sdsuper-control.sock.state"),
    (0, {}, "control_socket=/run/a/b.sock\n", "/var/lib/sdsuper/run-a-b.sock.state"),
    (0, {}, "state_file=kept\n", "/start/kept"),
    (0, {"STATE_DIRECTORY": "/var/lib/x:/var/lib/y"}, "", "/var/lib/x/run-sdsuper-control.sock.state"),
    (7, {"HOME": "/home/u"}, "control_socket=/c\n", "/home/u/.local/state/sdsuper/c.state"),
    (7, {"HOME": "/home/u", "XDG_STATE_HOME": "/s"}, "control_socket=/c\n", "/s/sdsuper/c.state"),
])
def test_where_it_is_kept(uid: int, environ: dict[str, str], text: str, path: str) -> None:
    model = load(MAIN, FakeHost({MAIN: HEAD + text}, uid=uid, environ=environ))
    assert model.supervisord.state_file == path
