"""Environment files: their grammar, compared with python-dotenv where both mean the same, and the options that name
them."""

import io

import dotenv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.dotenv import parse
from sdsuper.config.model import EnvironmentFile, EnvironmentFiles, MissingFile
from sdsuper.config.reload import needs_restart
from sdsuper.control.effective import options

from .fake import HEAD, one, read, said, says

REFUSED, FINE, TOLD = MissingFile.REFUSED, MissingFile.FINE, MissingFile.TOLD
GOOD = {"/a": "A=1\n", "/b": "B=2\n"}


def variables(text: str, known: dict[str, str] | None = None) -> dict[str, str]:
    found = parse(text.encode(), "/f", (known or {}).get)
    assert not found.problems, found.problems
    assert found.lines.keys() == found.variables.keys()
    return found.variables


# ---- the grammar --------------------------------------------------------------------------------------------------

SAME = [
    "", "\n\n", "# only a comment", "  # one more\n\n\t\n", "A=1", "A=1\n", "A=1\r\nB=2\r\n", "A=", "A=\nB=", "A=''",
    'A=""', "export A=1", "  export\tA=1", "A = 1", "A =  two words  ", "A=two words # comment", "A=a#b", "A=#c",
    "A=1 #", "A='x # y' # z", 'A="x # y"# z', "A='1\n2\n'\nB=3", 'A="1\n2"\nB=3', r'A="q\"\\\n\t\r"', "A=a'b\"c",
    "A=a=b==", "A=1\nA=2", "A_1=x", "a.b=c", r"A=C:\new\table", "A=http://h/?q=1&r=2", "A=$X$", "A='$X'", "export=1",
    "A=é", "A='日本'", 'A="-----BEGIN KEY-----\nabc/+=\n-----END KEY-----\n"',
]


@pytest.mark.parametrize("text", SAME)
def test_what_means_the_same_everywhere(text: str) -> None:
    assert variables(text) == dotenv.dotenv_values(stream=io.StringIO(text), interpolate=False)


PLAIN = st.text("abcXYZ019 #'\"=:/@-_.,;!?()[]{}<>|&*%^~+\\é", max_size=12).map(str.strip).filter(
    lambda text: text[:1] not in ("'", '"'))
SINGLE = st.text("abc #\"=:;{}\n\t", max_size=12).map(lambda text: f"'{text}'")
DOUBLE = st.lists(st.sampled_from(["a", " ", "#", "'", "=", "\n", "\t", "é", r"\n", r"\r", r"\t", r"\\", r'\"']),
                  max_size=10).map(lambda parts: f'"{"".join(parts)}"')
LINES = st.one_of(
    st.tuples(st.sampled_from(["", " ", "export ", "\texport  "]), st.sampled_from(["A", "B", "C_1", "d.e"]),
              st.sampled_from(["=", " =", "\t="]), st.one_of(PLAIN, SINGLE, DOUBLE), st.sampled_from(["", " ", " # c"])
              ).map("".join),
    st.sampled_from(["", "  ", "# A=1", "\t# 'x"]))


@given(st.lists(LINES, max_size=6), st.sampled_from(["", "\n"]))
def test_files_that_both_read(lines: list[str], end: str) -> None:
    text = "\n".join(lines) + end
    assert variables(text) == dotenv.dotenv_values(stream=io.StringIO(text), interpolate=False)


@pytest.mark.parametrize(("text", "value"), [
    ("${B}", "b"), ("x${B}y${B}", "xbyb"), ('"${B} \\${B}"', "b ${B}"), ("'${B}'", "${B}"), ("${OUT}", "side"),
    ("${NO:-d}", "d"), ("${NO:-}", ""), ("${EMPTY:-d}", "d"), ('"${NO:-two words}"', "two words"), ("${EMPTY}", ""),
    ("$B", "$B"), ("$(date)", "$(date)"), ("`date`", "`date`"), ("$2y$10$x", "$2y$10$x"), ("\\${B}", "\\b"),
    ('"\\`\\\'"', "`'"),
])
def test_references_and_what_is_none(text: str, value: str) -> None:
    found = variables(f"B=b\nEMPTY=\nA={text}\n", {"OUT": "side", "B": "not this one"})
    assert found["A"] == value


def test_without_surroundings_nobody_asks_for_them():
    assert parse(b"A=${OUT}x", "/f").variables == {"A": "x"}


def test_blanks_before_a_comment_are_no_value():
    assert variables("A= # comment\nB=  #\nC=1") == {"A": "", "B": "", "C": "1"}


QUOTE, BEHIND = "the quote is not closed", "there is more behind the closing quote"
BACKSLASH = "a backslash in double quotes goes before one of n r t \\ \" ' $ ` only"
DOLLAR = ("cannot read what follows ${ (${NAME} or ${NAME:-default} expected, and single quotes around what is meant "
          "as it is)")


@pytest.mark.parametrize(("text", "problems"), [
    ("A\n=b\n1A=x\nA-=1\nA: b\nok=1\nA B=1\n", [(n, "NAME=VALUE expected") for n in (1, 2, 3, 5, 7)]),
    ("A=1\nB='x\ny=1\n", [(2, QUOTE)]), ('A=1\nB="x\\"\n', [(2, QUOTE)]),
    ("A='it\\'s'\nB=1", [(1, BEHIND)]), ('A="1\n2"3\nB', [(1, BEHIND), (3, "NAME=VALUE expected")]),
    (r'A="\d"', [(1, BACKSLASH)]), (r'A="\x41"', [(1, BACKSLASH)]), ('A="\\\n"', [(1, BACKSLASH)]),
    ("A=${", [(1, DOLLAR)]), ("A=${a b}", [(1, DOLLAR)]), ("A=${B:?no}", [(1, DOLLAR)]), ("A=${}", [(1, DOLLAR)]),
    ("A=1\nB=${NO}", [(2, "${} names a variable that is not there (${NAME:-} for an empty one)")]),
    ("A=1\nB=x\0y", [(2, "there is a NUL byte in the text")]),
])
def test_what_is_refused(text: str, problems: list[tuple[int, str]]) -> None:
    assert parse(text.encode(), "/f", {}.get).problems == problems


def test_bytes_that_are_no_text():
    assert parse(b"A=1\nB=\xff\n", "/f").problems == [(2, "is no text (UTF-8 expected)")]
    assert parse(b"\xef\xbb\xbfA=1", "/f").variables == {"A": "1"}


@given(st.lists(st.sampled_from(["s3cret", "A", "=", "'", '"', "\n", " ", "#", "${", "}", ":-", "\\", "export ", "\0"]),
                max_size=30))
def test_nothing_of_a_file_is_in_a_message(parts: list[str]) -> None:
    found = parse("".join(parts).encode(), "/f", {}.get)
    assert "s3cret" not in repr(found) + repr(found.problems)


def test_an_open_quote_in_a_large_file_takes_no_time():
    assert parse(b'A="' + b"\\a" * 400_000, "/f").problems == [(1, QUOTE)]


# ---- the options --------------------------------------------------------------------------------------------------

def test_without_them_there_are_no_files():
    assert one("").environment_files == EnvironmentFiles()


def test_records():
    files = one("environment_file=/a, -/b,c\nenvFiles=/d\nenvironment=Z=1,Y=2", files={
        **GOOD, "/start/c": "", "/d": ""}).environment_files
    assert files == EnvironmentFiles((), (
        EnvironmentFile("/d", TOLD), EnvironmentFile("/a", REFUSED), EnvironmentFile("/b", FINE),
        EnvironmentFile("/start/c", REFUSED)), ("Y", "Z"))
    assert one("environment_file=").environment_files == EnvironmentFiles()


def test_those_of_all_programs():
    text = (f"{HEAD}environment_file=/a\n[program:x]\ncommand=/bin/cat\n"
            "[eventlistener:e]\ncommand=/bin/cat\nevents=TICK\n")
    model = read(text, GOOD)
    assert [group.processes[0].environment_files for group in model.groups] == [
        EnvironmentFiles((EnvironmentFile("/a"),))] * 2
    assert model.warnings == ()


def test_names_of_each_process():
    text = (f"{HEAD}[program:x]\ncommand=/bin/cat\nnumprocs=2\nprocess_name=%(process_num)d\n"
            "environment_file=-/%(program_name)s-%(process_num)d\n")
    (group,) = read(text).groups
    assert [process.environment_files.own[0].path for process in group.processes] == ["/x-0", "/x-1"]


@pytest.mark.parametrize(("line", "problem"), [
    ("environment_file=/no", "/no: no such file, and the program cannot start"),
    ("envFiles=/no", "/no: no such file, and the program starts without it"),
    ("environment_file=/bad", "/bad:1: NAME=VALUE expected; /bad:3: the quote is not closed; the program cannot start"),
    ("environment_file=-/bad, /no", "/bad:1: NAME=VALUE expected; /bad:3: the quote is not closed; the program cannot "
     "start; /no: no such file, and the program cannot start"),
    ("environment_file=/many", "/many:1: NAME=VALUE expected; /many:2: NAME=VALUE expected; /many:3: NAME=VALUE "
     "expected; 2 more mistakes; the program cannot start"),
])
def test_a_file_is_looked_at(line: str, problem: str) -> None:
    files = {"/bad": "s3cret\nA=1\nB='s3cret\n", "/many": "s3cret\n" * 5}
    assert says(f"exitcodes=0\n{line}", files=files) == [f"5: warning: [program:x] {line.partition('=')[0]}: {problem}"]


def test_a_long_line_of_blanks_takes_no_longer_than_its_length():
    blanks = " " * 500_000              # minutes, if it were the square of it
    assert variables(f"A=x{blanks}y\nB=x{blanks}# z\nC={blanks}# z\nD=#{blanks}\n") == {
        "A": f"x{blanks}y", "B": "x", "C": "", "D": "#"}


def test_few_lines_cannot_ask_for_all_memory():
    lines = ["A0=s3cret-secret", *(f"A{n}={f'${{A{n - 1}}}' * 10}" for n in range(1, 12))]
    found = parse("\n".join(lines).encode(), "/f")
    assert found.problems[0] == (6, "the ${} of the file bring in more than 1 MiB")
    assert sum(map(len, found.variables.values())) < 3 << 20
    big = "x" * 300_000
    assert variables("A=${BIG}${BIG}\n", {"BIG": big}) == {"A": big * 2}
    assert parse(b"A=1\nB=\"${BIG}${BIG}${BIG}${BIG}\"\n", "/f", {"BIG": big}.get).problems[0][0] == 2


def test_one_that_may_be_missing_is_missing():
    assert says("environment_file=-/no") == []
    assert says("environment_file=/x", files={"/x": "A=${WHO_KNOWS}\n"}) == []


@pytest.mark.parametrize("text", ["/a,,/b", ",", "-", "/a,-"])
def test_lists_that_are_none(text: str) -> None:
    assert says(f"environment_file={text}") == [
        f"4: error: [program:x] environment_file: cannot read {text!r} as environment files (paths with single commas "
        "between, `-` before one that may miss expected)"]


def test_another_file_needs_another_run():
    before, after = one("environment_file=/a", files=GOOD), one("environment_file=/b", files=GOOD)
    assert needs_restart(before, after)


def test_cat_shows_names_alone():
    text = f"{HEAD}environment_file=/a\n[program:x]\ncommand=/bin/cat\nenvironment_file=/b,-/c\nenvFiles=/d\n"
    (group,) = read(text, {"/a": "A=s3cret", "/b": "B=s3cret", "/d": "D=s3cret"}).groups
    assert options(group.processes[0]) == [
        ("command", "/bin/cat"), ("environment_file", "/b, -/c"), ("envFiles", "/d"),
        ("supervisord.environment_file", "/a")]
    assert "s3cret" not in repr(group)


def test_the_option_of_the_daemon_is_checked_too():
    assert said(f"{HEAD}environment_file=/no\n") == [
        "2: warning: [supervisord] environment_file: /no: no such file, and the program cannot start"]
