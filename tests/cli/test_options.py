"""sdsuper.cli.options: Supervisor's way with options, its texts as Supervisor 4.3.0 prints them."""

import pytest

from sdsuper.cli.ctl.options import TABLE
from sdsuper.cli.options import UsageError, parse


@pytest.mark.parametrize(
    ("argv", "values", "words"),
    [
        ([], {}, []),
        (["status"], {}, ["status"]),
        (["-c", "a.conf", "tail", "-f", "x"], {"configuration": "a.conf"}, ["tail", "-f", "x"]),
        (["-ca.conf", "-is", "unix:/s"], {"configuration": "a.conf", "interactive": "1", "serverurl": "unix:/s"}, []),
        (["--conf=a.conf"], {"configuration": "a.conf"}, []),
        (["--conf", "a.conf", "pid"], {"configuration": "a.conf"}, ["pid"]),
        (["--history", "h"], {"history_file": "h"}, []),
        (["--history_file=h"], {"history_file": "h"}, []),
        (["-i", "--", "-c"], {"interactive": "1"}, ["-c"]),
        (["-", "-c"], {}, ["-", "-c"]),
        (["-h", "-h"], {"help": "1"}, []),
    ],
)
def test_what_is_accepted(argv: list[str], values: dict[str, str], words: list[str]) -> None:
    assert parse(argv, TABLE) == (values, words)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["-x"], "option -x not recognized"),
        (["-ix"], "option -x not recognized"),
        (["--nothing"], "option --nothing not recognized"),
        (["-c"], "option -c requires argument"),
        (["--con"], "option --configuration requires argument"),
        (["--help=3"], "option --help must not have an argument"),
        (["--=x"], "option -- not a unique prefix"),
        (["-c", "a", "-c", "b"], "conflicting command line option '-c'"),
        (["-c", "a", "--conf", "b"], "conflicting command line option '--configuration'"),
        (["-i", "-i"], "conflicting command line option '-i'"),
    ],
)
def test_what_is_refused(argv: list[str], text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(argv, TABLE)
    assert str(refused.value) == text
