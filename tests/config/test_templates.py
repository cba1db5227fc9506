"""[template:x], extends and [program-default]: what a program takes over, from where, how often a mistake is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.model import Model, ProcessConfig
from sdsuper.config.places import Place, Places
from sdsuper.config.reload import plan

from .fake import HEAD, MAIN, read, said


def process(model: Model, name: str = "x") -> ProcessConfig:
    (found,) = [each for group in model.groups for each in group.processes if each.name == name]
    return found


def x(text: str, more: str = "extends=t", **others: object) -> ProcessConfig:
    return process(read(f"{HEAD}{text}\n[program:x]\ncommand=/bin/cat\n{more}\n", **others))


# ---- the order ----------------------------------------------------------------------------------------------------

def test_the_nearest_counts():
    text = ("[DEFAULT]\nstartsecs=1\nnice=1\npriority=1\numask=001\nstopwaitsecs=1\n"
            "[program-default]\nnice=2\npriority=2\numask=002\nstopwaitsecs=2\n"
            "[template:a]\npriority=3\numask=003\nstopwaitsecs=3\n[template:b]\numask=004\nstopwaitsecs=4\n")
    found = x(text, "extends=a, b\nstopwaitsecs=5")
    assert (found.startsecs, found.nice, found.priority, found.umask, found.stopwaitsecs) == (1, 2, 3, 4, 5)
    assert x(text, "extends=b,a").umask == 3


def test_a_template_counts_with_all_that_is_behind_it():
    text = ("[template:base]\nstartsecs=1\nnice=1\npriority=1\n[template:a]\nextends=base\nnice=2\n"
            "[template:b]\nextends=base\npriority=3\n")
    found = x(text, "extends=a,b")
    assert (found.startsecs, found.nice, found.priority) == (1, 1, 3), "what b has from base wins over a"
    found = x(text, "extends=b,a")
    assert (found.startsecs, found.nice, found.priority) == (1, 2, 1)


def test_everything_that_makes_processes_extends():
    text = (f"{HEAD}[template:t]\ncommand=/bin/cat\nnice=7\nevents=TICK\nsocket=tcp://h:1\npriority=5\n"
            "[program:p]\nextends=t\n[eventlistener:e]\nextends=t\n[fcgi-program:f]\nextends=t\n")
    model = read(text)
    assert model.warnings == ()
    assert {group.name: (group.priority, group.events, len(group.sockets)) for group in model.groups} == {
        "e": (5, ("TICK",), 0), "f": (5, (), 1), "p": (5, (), 0)}
    assert [group.processes[0].nice for group in model.groups] == [7, 7, 7]


def test_a_template_makes_no_process():
    assert read(f"{HEAD}[template:t]\ncommand=/bin/cat\n").groups == ()


def test_names_are_those_of_the_program_and_here_of_the_file():
    model = read(f"{HEAD}[include]\nfiles=d/*.conf\n[program:x]\nextends=t\nnumprocs=2\n", {
        "/etc/d/t.conf": "[template:t]\ncommand=%(here)s/run %(program_name)s %(process_num)d %(ENV_A)s\n"
                         "process_name=%(program_name)s%(process_num)d\nenvironment=A=\"%(group_name)s\"\n"})
    assert [each.command for each in model.groups[0].processes] == ["/etc/d/run x 0 x", "/etc/d/run x 1 x"]


def test_defaults_are_for_programs_alone():
    text = f"{HEAD}[program-default]\nnice=5\n[eventlistener:e]\ncommand=/bin/cat\nevents=TICK\n"
    assert process(read(text), "e").nice is None


NAMES = "abcde"


@given(st.fixed_dictionaries({name: st.tuples(st.lists(st.sampled_from(NAMES), max_size=3),
                                              st.sets(st.sampled_from(("nice", "priority", "startsecs"))))
                              for name in NAMES}))
def test_any_templates_are_either_a_circle_or_what_the_rule_says(drawn: dict[str, tuple[list[str], set[str]]]) -> None:
    numbers = {name: number for number, name in enumerate(NAMES, 1)}
    text = "".join(f"[template:{name}]\nextends={','.join(others)}\n" + "".join(
        f"{option}={numbers[name]}\n" for option in sorted(own)) for name, (others, own) in drawn.items())
    text = f"{HEAD}{text}[program:x]\ncommand=/bin/cat\nextends=a\n"

    def flat(name: str, way: tuple[str, ...]) -> dict[str, int]:
        assert name not in way, "a circle"
        found: dict[str, int] = {}
        for other in drawn[name][0]:
            found |= flat(other, (*way, name))
        return found | dict.fromkeys(drawn[name][1], numbers[name])

    try:
        wanted = {name: flat(name, ()) for name in NAMES}["a"]
    except AssertionError:
        told = said(text)
        assert told and all("goes round in a circle" in line for line in told)
    else:
        found = process(read(text))
        assert {"nice": None, "priority": 999, "startsecs": 1} | wanted == {
            option: getattr(found, option) for option in ("nice", "priority", "startsecs")}


# ---- what is merged -----------------------------------------------------------------------------------------------

def test_environment_is_merged():
    text = ("[program-default]\nenvironment=A=1,B=1,C=1,D=1\n[template:base]\nenvironment=B=2,C=2,D=2\n"
            "[template:t]\nextends=base\nenvironment=C=3,D=3\n")
    assert dict(x(text, "extends=t\nenvironment=D=4").environment) == {"A": "1", "B": "2", "C": "3", "D": "4"}
    assert dict(x(text, "").environment) == dict.fromkeys("ABCD", "1")


def test_supervisors_default_section_is_replaced_as_there():
    text = "[DEFAULT]\nenvironment=A=1,B=1\n"
    assert dict(x(text, "environment=B=2").environment) == {"A": "1", "B": "2"}, "[supervisord] has it, too"
    text = "[supervisord]\nenvironment=Z=0\n[DEFAULT]\nenvironment=A=1\n[template:t]\nenvironment=T=1\n"
    model = read(f"{text}[program:x]\ncommand=/bin/cat\nextends=t\n")
    assert dict(process(model).environment) == {"Z": "0", "T": "1"}


def test_files_are_replaced():
    files = {"/a": "", "/b": ""}
    assert [file.path for file in x("[template:t]\nenvironment_file=/a", files=files).environment_files.own] == ["/a"]
    found = x("[template:t]\nenvironment_file=/a", "extends=t\nenvironment_file=/b", files=files)
    assert [file.path for file in found.environment_files.own] == ["/b"]


def test_an_empty_value_is_a_value():
    assert x("[template:t]\nexitcodes=7", "extends=t\nexitcodes=").exitcodes == ()
    assert dict(x("[template:t]\nenvironment=A=1", "extends=t\nenvironment=").environment) == {"A": "1"}


# ---- mistakes -----------------------------------------------------------------------------------------------------

PROGRAMS = "".join(f"[program:{name}]\ncommand=/bin/cat\nextends=t\n" for name in ("p", "q", "r"))


@pytest.mark.parametrize(("line", "problem"), [
    ("startsecs=soon", "3: error: [template:t] startsecs: cannot read 'soon' as seconds (number >= 0 expected)"),
    ("directory=%(nope)s", "3: error: [template:t] directory: %(nope): no such name here, known are ENV_..., "
     "group_name, here, host_node_name, numprocs, process_num, program_name"),
    ("environment=A", "3: error: [template:t] environment: cannot read name=value pairs at the start (NAME=\"value\" "
     "with commas between expected)"),
    ("user=%(program_name)s", "3: error: [template:t] user: no such user: 'p'"),
    ("autorestrat=true", "3: warning: [template:t] autorestrat: no such option, did you mean 'autorestart'?"),
    ("stopasgroup=true\nkillasgroup=false", "4: error: [template:t] killasgroup: cannot be false when stopasgroup is "
     "true"),
])
def test_a_mistake_is_told_once_with_its_place(line: str, problem: str) -> None:
    assert said(f"{HEAD}[template:t]\n{line}\n{PROGRAMS}") == [problem]


def test_a_template_that_is_not_there():
    assert said(f"{HEAD}[template:web]\n[program:x]\ncommand=/bin/cat\nextends=wbe, other\n") == [
        "5: error: [program:x] extends: no such template: 'other'",
        "5: error: [program:x] extends: no such template: 'wbe', did you mean 'web'?"]


@pytest.mark.parametrize(("templates", "way"), [
    ({"a": "a"}, "3: error: [template:a] extends: goes round in a circle: a ({f}:3) -> a"),
    ({"a": "b", "b": "c", "c": "a"},
     "7: error: [template:c] extends: goes round in a circle: a ({f}:3) -> b ({f}:5) -> c ({f}:7) -> a"),
    ({"a": "b", "b": "c", "c": "b"}, "7: error: [template:c] extends: goes round in a circle: b ({f}:5) -> c ({f}:7) "
     "-> b"),
])
def test_a_circle_is_told_once_with_the_way_round(templates: dict[str, str], way: str) -> None:
    text = "".join(f"[template:{name}]\nextends={other}\n" for name, other in templates.items())
    programs = "".join(f"[program:{name}]\ncommand=/bin/cat\nextends={name}\n" for name in templates)
    assert said(f"{HEAD}{text}{programs}") == [way.replace("{f}", MAIN)]


def test_templates_that_share_one_are_no_circle():
    text = "[template:d]\nnice=1\n[template:b]\nextends=d\n[template:c]\nextends=d\n[template:t]\nextends=b,c,d\n"
    assert x(text).nice == 1


@pytest.mark.parametrize("section", ["DEFAULT", "program-default"])
def test_extends_has_its_places(section: str) -> None:
    assert said(f"{HEAD}[{section}]\nextends=t\n[template:t]\n") == [
        f"3: error: [{section}] extends: belongs into a program or a template, not in here"]


def test_go_is_told_that_environments_are_merged():
    text = f"{HEAD}[program-default]\nexitcodes=0\nenvironment=A=1\n[program:x]\ncommand=/bin/cat\nenvironment=B=1\n"
    assert said(text) == [
        "7: warning: [program:x] environment: is merged with the environment of [program-default] and of templates, in "
        "Go's supervisord it replaces that of [program-default]"]


# ---- places -------------------------------------------------------------------------------------------------------

TEXT = """\
[supervisord]
environment=
  G="1",
  H="2"
[program-default]
startsecs=3
environment=A="1"
[template:t]
nice=5
environment=B="x
 y",
 ; a comment

 C="1", D="1"
[program:x]
command=/bin/cat
extends=t
environment=D="2",
  E="3"
"""


def test_places():
    model = read(TEXT)
    own, common = model.places["program:x"], model.places["supervisord"]
    assert own.find("command") == Place(MAIN, 16)
    assert own.find("startsecs") == Place(MAIN, 6, "program-default")
    assert own.find("nice") == Place(MAIN, 9, "template:t")
    assert own.find("umask") is None and own.find("environment G") is None
    assert {name: own.find(f"environment {name}") for name in "ABCDE"} == {
        "A": Place(MAIN, 7, "program-default"), "B": Place(MAIN, 10, "template:t"), "C": Place(MAIN, 14, "template:t"),
        "D": Place(MAIN, 18), "E": Place(MAIN, 19)}
    assert {name: common.find(f"environment {name}") for name in "GH"} == {
        "G": Place(MAIN, 3, "supervisord"), "H": Place(MAIN, 4, "supervisord")}


def test_another_line_is_no_change():
    before, after = read(TEXT), read(TEXT.replace("[template:t]", "; moved\n\n[template:t]"))
    assert before.groups == after.groups and before.places != after.places
    assert plan(before, after).changed == ()


def test_a_change_of_a_template_is_one_of_its_programs():
    change, = plan(read(TEXT), read(TEXT.replace("nice=5", "nice=6"))).changed
    assert [each.name for each in change.restarted] == ["x"]


def test_sections_that_are_alike_share_their_columns():
    text = HEAD + "".join(f"[program:p{n}]\ncommand=/bin/cat\nnice=1\n" for n in range(50))
    found: list[Places] = [places for name, places in read(text).places.items() if name.startswith("program:")]
    assert len(found) == 50
    for column in range(1, 4):
        assert len({id(places[column]) for places in found}) == 1
