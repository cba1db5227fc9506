"""sdsuper.systemd.syntax: lines, words and environment files as systemd itself reads them."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdsuper.systemd.syntax import assignment, lines, variables, words
from sdsuper.systemd.unit import list_word
from tests.systemd import real

PIECES = st.text(st.sampled_from("ab$`\"'\\ ;#%=é40u0sx{}"), max_size=12)


@given(PIECES)
@example(r"a\x20b 'c d'e \101\u00e9")
@example("a\\")
def test_words_are_systemds(text: str) -> None:
    try:
        found: list[str] | None = words(text)
    except ValueError:
        found = None
    theirs = real.words(text, real.UNESCAPED)
    if theirs is None or not any("\ufffd" in word for word in theirs):          # bytes that are no text are refused
        assert found == theirs


@given(PIECES)
@pytest.mark.parametrize("flags", [real.UNQUOTED, real.UNESCAPED])
def test_a_word_of_a_list_is_read_as_it_was(flags: int, text: str) -> None:
    assert real.words(f"-{list_word('/' + text)} /x", flags) == [f"-/{text}".replace("%", "%%"), "/x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(r"/bin/find x \; -print", ["/bin/find", "x", ";", "-print"]), ("/bin/x ';' a;b", ["/bin/x", ";", "a;b"]),
     ("/bin/x ; /bin/y", None), ("/bin/x 'a", None), (r"/bin/x \q", None), (r"/bin/x \xff", None),
     (r"/bin/x \x00", None), (r"/bin/x \ud800", None)],
)
def test_words_of_a_command(text: str, expected: list[str] | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"."):
            words(text, command=True)
    else:
        assert words(text, command=True) == expected


@given(st.lists(st.text(st.sampled_from("ab$`\"'\\ \t\n;#%=é"), max_size=12), min_size=1, max_size=3))
def test_an_environment_file_is_read_as_it_was(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    wanted = [(f"V{number}", value) for number, value in enumerate(values)]
    text = "# a comment\n" + "".join(assignment(name, value) for name, value in wanted)
    path = tmp_path_factory.getbasetemp() / "probe.env"
    path.write_text(text)
    assert real.environment_file(path) == [f"{name}={value}" for name, value in wanted]
    assert variables(text) == wanted


@pytest.mark.parametrize(("name", "value", "why"), [
    ("a.b", "hunter2", "systemd takes no variable 'a.b'"), ("1A", "hunter2", "systemd takes no variable '1A'"),
    ("A", "hunter2\x1b", "A has a control character"), ("A", "hunter2\udcff", "A is not UTF-8"),
])
def test_what_no_environment_file_can_have(name: str, value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        assignment(name, value)
    assert "hunter2" not in str(caught.value)


CONTINUED = [
    ("Description=a\\\nNonsense=1\n", 1), ("Description=a\\\\\nNonsense=1\n", 2),
    ("Description=a\\\\\\\nNonsense=1\n", 1),
    ("Description=a\\\n  # b\\\n ; c\nNonsense=1\n", 1), ("Description=a\\\n \nNonsense=1\n", 2),
    ("# a\\\nNonsense=1\n", 1), ("Description=a \\", 1),
    ("Description=a\\b\\\nNonsense=1\n", 1), ("Description=a\rNonsense=1\n", 2),
]


@pytest.mark.parametrize(("text", "count"), CONTINUED)
def test_lines_are_systemds(tmp_path: Path, text: str, count: int) -> None:
    found = lines(text)
    assert len(found) == count
    unit = tmp_path / "probe.service"
    unit.write_bytes(f"[Service]\nExecStart=/bin/true\n[Unit]\n{text}".encode())
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
                          capture_output=True, text=True, check=False).stderr
    assert ("Nonsense" in said) == any(line.startswith("Nonsense") for line in found), said
