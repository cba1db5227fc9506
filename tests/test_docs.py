"""What the documentation shows is so: command lines exist, options are in the table, configurations are accepted, man
pages are clean and complete. That the generated parts are current is asked in tests/config/test_settings.py.
"""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.cli import VERBS, daemon, importing, service
from sdsuper.cli.ctl import options
from sdsuper.cli.ctl.commands import ALIASES, COMMANDS
from sdsuper.cli.options import parse, parse_anywhere
from sdsuper.config.settings import ROWS, TABLE, kind_of
from sdsuper.config.source import parse as parse_source
from sdsuper.control.interface import LEVELS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
MAN_PAGES = sorted(ROOT.glob("docs/man/*.[1-8]"))
CTL = options.TABLE | options.GO_TABLE
SUPERVISORD = {**daemon.TABLE, "-d": ("directory", True)}


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Page and text of each fenced block of a language."""
    for page in PAGES:
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            yield page.name, found[1]


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Each command of a pipeline in the `console` blocks, as words."""
    for page, text in blocks("console"):
        for line in text.splitlines():
            if line.startswith(("$ ", "# ")):
                words = shlex.split(line[2:])
                while "|" in words:
                    yield page, words[:words.index("|")]
                    words = words[words.index("|") + 1:]
                yield page, words


def check_action(words: list[str]) -> None:
    assert not words or words[0] in COMMANDS or words[0] in ALIASES, words


def check_sdsuper(words: list[str]) -> None:
    first = words[0] if words else ""
    if first == "ctl":
        check_action(parse(words[1:], CTL)[1])
    elif first in VERBS:
        check_action(words)
    elif first in ("init", "check"):
        module = __import__(f"sdsuper.cli.{first}", fromlist=["_TABLE"])
        assert not parse(words[1:], module._TABLE)[1]
    elif first == "service":
        assert words[1] in ("install", "print", "uninstall", *service.ACTIONS), words
        assert not parse(words[2:], service._TABLE)[1]
    elif first == "import":
        assert words[1] == "systemd" and len(parse_anywhere(words[1:], importing._TABLE)[1]) == 2
    elif first in ("version", "help", "echo_conf"):
        assert not words[1:]
    else:
        assert not parse(words, daemon.TABLE)[1]


def check_command(words: list[str]) -> bool:
    """Whether it is a command of ours; an assertion or UsageError where it could not be given."""
    name, rest = words[0].rpartition("/")[2], words[1:]
    if words[0] == "./dev":
        assert re.search(rf"^{rest[0]}\)$", (ROOT / "dev").read_text(), re.MULTILINE), words
    elif name == "sdsuper":
        check_sdsuper(rest)
    elif name == "supervisorctl":
        check_action(parse(rest, options.TABLE)[1])
    elif name == "supervisord":
        assert not parse(rest, SUPERVISORD)[1]
    else:
        return False
    return True


LINES = list(command_lines())


@pytest.mark.parametrize(("page", "words"), LINES, ids=[f"{page}: {' '.join(words)}"[:60] for page, words in LINES])
def test_a_command_line_could_be_given(page: str, words: list[str]) -> None:
    check_command(words)


def test_the_pages_have_command_lines() -> None:
    ours = [page for page, words in LINES if check_command(words)]
    assert set(ours) == {"README.md", "CONTRIBUTING.md", "daily.md", "install.md", "journal.md", "manual.md"}


@pytest.mark.parametrize(("page", "text"), list(blocks("ini")), ids=lambda text: text[:12].splitlines()[0])
def test_a_configuration_has_only_known_options(page: str, text: str) -> None:
    sections = {}
    assert parse_source(text, page, sections) == []
    assert sections
    for name, section in sections.items():
        kind = kind_of(name)
        assert kind is not None, name
        assert set(section.entries) <= {key.lower() for key in ROWS[kind]}, name


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "docs" / "manual.md"],
                         ids=lambda page: page.name)
def test_options_that_are_named_exist(page: Path) -> None:
    known = {row.name for row in TABLE} | {alias for row in TABLE for alias in row.aliases}
    named = set(re.findall(r"`([a-z][a-z_]+)=[^`]*`", page.read_text()))
    assert named <= known


def test_methods_and_links_exist() -> None:
    for page in PAGES:
        text = page.read_text()
        assert set(re.findall(r"io\.sdsuper\.Control\.([A-Z]\w+)", text)) <= {*LEVELS, "Refused", "NAME"}, page.name
        for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", text):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(file), f"{page.name}: #{anchor}"


def anchors(page: Path) -> set[str]:
    """The names that headings can be reached by."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "text"), list(blocks("python")), ids=lambda text: text[:12].splitlines()[0])
def test_python_examples_call_what_there_is(page: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call":
            assert isinstance(node.args[0], ast.Constant) and node.args[0].value in LEVELS


@pytest.mark.parametrize("page", MAN_PAGES, ids=lambda page: page.name)
def test_a_man_page_is_clean(page: Path) -> None:
    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", str(page)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


def test_the_daemons_page_has_every_option() -> None:
    page = (ROOT / "docs/man/sdsuperd.8").read_text().replace("\\-", "-")
    listed = page.partition(".SH OPTIONS")[2].partition(".SH SIGNALS")[0]
    found = set(re.findall(r'(?<![\w-])--?[?a-z][a-z_-]*', listed))
    assert set(daemon.TABLE) <= found
    assert found <= {*daemon.TABLE, "--directory"}


def test_the_clients_page_has_every_option_and_action() -> None:
    page = (ROOT / "docs/man/sdsuper.1").read_text().replace("\\-", "-")
    assert {option for option in CTL if option not in page} == set()
    assert {word for word in (*COMMANDS, *ALIASES) if not re.search(rf"\b{word}\b", page)} == set()


def shown_by() -> Iterator[tuple[str, str]]:
    """Page and name of each test that a page refers to."""
    for page in PAGES:
        for found in re.finditer(r"`(tests/[\w/]+\.py(?:::\w+)?)`", page.read_text()):
            yield page.name, found[1]


def test_tests_that_pages_name_exist() -> None:
    named = list(shown_by())
    assert len(named) > 40
    missing = []
    for page, name in named:
        path, _, function = name.partition("::")
        file = ROOT / path
        if not file.exists() or (function and not re.search(rf"^def {function}\(", file.read_text(), re.MULTILINE)):
            missing.append(f"{page}: {name}")
    assert not missing


def test_every_option_of_gos_is_in_its_table() -> None:
    page = (ROOT / "docs" / "from-go.md").read_text()
    missing = [row.name for row in TABLE
               if row.since == "go" and not re.search(rf"^\|[^|]*`{row.name}`", page, re.MULTILINE)]
    assert not missing
