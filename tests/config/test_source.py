"""The INI dialect, beside Python's own parser as Supervisor sets it up."""

import configparser
import time

from hypothesis import example, given
from hypothesis import strategies as st

from sdsuper.config.model import Severity
from sdsuper.config.source import Section, parse


def entries(text: str) -> dict[str, dict[str, str]]:
    sections: dict[str, Section] = {}
    problems = parse(text, "f", sections)
    assert not [problem for problem in problems if problem.severity is Severity.ERROR]
    return {name: {key: entry.value for key, entry in section.entries.items()} for name, section in sections.items()}


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, "f", {})]


def by_python(text: str) -> dict[str, dict[str, str]] | None:
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    try:
        parser.read_string(text.replace("\r\n", "\n").replace("\r", "\n"))  # as reading a file does
    except configparser.Error:
        return None
    found = {name: dict(parser._sections[name]) for name in parser.sections()}  # type: ignore[attr-defined]
    return found | ({"DEFAULT": dict(parser.defaults())} if parser.defaults() else {})


def test_delimiters_and_case():
    assert entries("[a]\nKey = v\nother:w\nurl=http://x:1/\nx : a=b") == {
        "a": {"key": "v", "other": "w", "url": "http://x:1/", "x": "a=b"}
    }


def test_inline_comments_need_white_space_and_know_no_quotes():
    assert entries('[a]\nk=a;b#c\nl=sh -c "a ; b"\nm=x\t# y\nn= ; z\n; k=2\n  # k=3') == {
        "a": {"k": "a;b#c", "l": 'sh -c "a', "m": "x", "n": ""}
    }


def test_continuation_lines_join_and_lose_their_comments():
    assert entries("[a]\nk=one\n  two ; no\n; comment\n\n  three\nl=x") == {"a": {"k": "one\ntwo\n\nthree", "l": "x"}}


def test_indented_options_are_options_when_the_first_is():
    assert entries("[a]\n  k=1\n  l=2") == {"a": {"k": "1", "l": "2"}}


def test_repeated_key_names_both_places():
    assert problems("[a]\nk=1\n\nK=2") == ["f:4: warning: [a] k: is given twice, this one replaces that of f:2"]
    assert entries("[a]\nk=1\nk=2") == {"a": {"k": "2"}}


def test_repeated_section_is_merged():
    assert problems("[a]\nk=1\n[b]\n[a]\nl=2") == [
        "f:4: warning: [a] this section is already at f:1, the two are merged"
    ]
    assert entries("[a]\nk=1\n[b]\n[a]\nl=2") == {"a": {"k": "1", "l": "2"}, "b": {}}


def test_broken_header_does_not_change_the_section_before():
    sections: dict[str, Section] = {}
    found = parse("[program:a]\ncommand=a\n[program:x\ncommand=x\n[]\ncommand=y", "f", sections)
    assert sections["program:a"].entries["command"].value == "a"
    assert [str(problem) for problem in found] == [
        "f:3: error: [program:a] cannot read '[program:x' as a section header ([name] expected)",
        "f:5: error: cannot read '[]' as a section header ([name] expected)",
    ]


def test_text_before_a_section_is_said_once():
    assert problems("a=1\nb=2\n[a]\n") == ["f:1: error: 'a=1' stands before any section header"]


def test_line_without_delimiter():
    assert problems("[a]\nk\n=v\n") == [
        "f:2: error: [a] cannot read 'k' as an option (key = value expected)",
        "f:3: error: [a] cannot read '=v' as an option (key = value expected)",
    ]


def test_a_long_broken_line_is_not_shown_in_full():
    assert "hunter2hunter2hunter2hunter2" not in problems("[a]\nPASSWORD_IS_hunter2hunter2hunter2hunter2")[0]


def test_swallowed_header():
    assert problems("[a]\nk=v\n  [b]\n") == [
        "f:3: warning: [a] k: '[b]' is indented and so part of the value of 'k', not a section header"
    ]


def test_text_after_header():
    assert problems("[a] b\n") == ["f:1: warning: [a] 'b' after the section header is ignored"]


def test_entries_know_their_file_and_line():
    sections: dict[str, Section] = {}
    parse("[a]\nk=1\n", "one", sections)
    parse("\n[a]\nl=1\n", "two", sections)
    assert [str(entry.where) for entry in sections["a"].entries.values()] == ["one:2", "two:3"]


#: Lines near the border of the dialect. One comment sign only, for Pythons differ where both are in a line.
line = st.one_of(
    st.sampled_from(
        [
            "[a]",
            "[b]",
            "  [a]",
            "[DEFAULT]",
            "k=v",
            "K: v",
            "  k=w",
            "\tx",
            "",
            "   ",
            "; c",
            "  ; c",
            "k=a ;b",
            "k=a;b ;c",
            "k=",
            "k",
            "=v",
            "[x",
            "[]",
            "a]b=c",
            "[a] x",
            "k = [a]",
            "\x0bk=1",
            "k=1\x1c;2",
        ]
    ),
    st.text(alphabet="ab[]=:; \t\r%", max_size=12),
)


@given(st.lists(line, max_size=12).map("\n".join))
@example("[a]\nk=v\n\n\n  w\n")
def test_same_as_python(text):
    sections: dict[str, Section] = {}
    found = parse(text, "f", sections)
    expected = by_python(text)
    if any(problem.severity is Severity.ERROR for problem in found):
        # Beyond what Python refuses only a line that begins with [ and is no header.
        assert expected is None or any("section header" in problem.message for problem in found)
        return
    ours = {name: {key: entry.value for key, entry in section.entries.items()} for name, section in sections.items()}
    if not ours.get("DEFAULT", True):
        del ours["DEFAULT"]
    assert ours == expected


@given(st.text())
def test_any_text_is_read(text):
    parse(text, "f", {})


def test_a_thousand_sections_are_quick():
    text = "".join(f"[program:p{n}]\ncommand=/bin/sleep {n}\na=1\nb=2\nc=3\nd=4\n\n" for n in range(1000))
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        parse(text, "f", {})
        best = min(best, time.perf_counter() - start)
    assert best < 0.1  # 6 ms when nothing else runs
