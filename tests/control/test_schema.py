"""The interface's text is the truth: it is complete, and parameters are held to it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.control.interface import DESCRIPTION, INTERFACE, LEVELS, Level
from sdsuper.control.schema import parse
from sdsuper.control.server import SERVICE_DESCRIPTION

SCHEMA = parse(DESCRIPTION)


def test_every_method_has_a_level_and_every_level_a_method() -> None:
    assert SCHEMA.methods.keys() == LEVELS.keys()
    assert Level.NOTHING not in LEVELS.values()


def test_the_text_names_its_interface_and_knows_its_types() -> None:
    assert f"\ninterface {INTERFACE}\n" in DESCRIPTION
    known = {"bool", "int", "float", "string", *SCHEMA.types}
    of_methods = (fields for pair in SCHEMA.methods.values() for fields in pair)
    for fields in [*SCHEMA.types.values(), *SCHEMA.errors.values(), *of_methods]:
        for kind, _optional, _array in fields.values():
            assert kind in known
    assert SCHEMA.errors == {"Refused": {"fault": ("string", False, False), "code": ("int", False, False),
                                         "detail": ("string", False, False)}}


def test_nothing_in_the_text_is_passed_over() -> None:
    for word, found in (("method", SCHEMA.methods), ("type", SCHEMA.types), ("error", SCHEMA.errors)):
        assert sum(line.startswith(word + " ") for line in DESCRIPTION.splitlines()) == len(found)
    assert sum(line.startswith("  ") for line in DESCRIPTION.splitlines()) == \
        sum(map(len, SCHEMA.types.values())) + len(SCHEMA.methods["GetState"][1])


def test_varlinks_own_interface() -> None:
    schema = parse(SERVICE_DESCRIPTION)
    assert schema.methods.keys() == {"GetInfo", "GetInterfaceDescription"}
    assert schema.errors.keys() == {"InterfaceNotFound", "MethodNotFound", "MethodNotImplemented", "InvalidParameter",
                                    "PermissionDenied", "ExpectedMore"}


@pytest.mark.parametrize(("method", "parameters", "wrong"), [
    ("List", {}, None),
    ("List", {"name": None}, None),
    ("List", {"name": "web"}, None),
    ("List", {"name": 1}, "name"),
    ("List", {"name": ["web"]}, "name"),
    ("List", {"other": 1}, "other"),
    ("List", {"name": 1, "other": 1}, "other"),
    ("Start", {}, "name"),
    ("Start", {"name": None}, "name"),
    ("Start", {"name": "web", "wait": True}, None),
    ("Start", {"name": "web", "wait": 1}, "wait"),
    ("Start", {"name": "web", "wait": "true"}, "wait"),
    ("Signal", {"name": "web"}, "signal"),
    ("Update", {"groups": []}, None),
    ("Update", {"groups": ["a", "b"]}, None),
    ("Update", {"groups": "a"}, "groups"),
    ("Update", {"groups": ["a", 1]}, "groups"),
    ("Update", {"groups": ["a", None]}, "groups"),
    ("Update", {"groups": {"a": 1}}, "groups"),
    ("Shutdown", {"now": True}, "now"),
])
def test_parameters(method: str, parameters: dict[str, object], wrong: str | None) -> None:
    assert SCHEMA.check(method, parameters) == wrong


def test_replies() -> None:
    result = {"name": "web", "group": "web", "status": 80, "fault": "SUCCESS", "description": "OK"}
    assert SCHEMA.check_reply("Start", {"results": [result, result]}) is None
    for broken in (result | {"status": "80"}, result | {"status": True}, result | {"more": 1}, result | {"name": None},
                   {"name": "web"}, "web", None):
        assert SCHEMA.check_reply("Start", {"results": [result, broken]}) == "results"
    assert SCHEMA.check_reply("Shutdown", {}) is None
    assert SCHEMA.check_reply("Start", {}) == "results"


def test_what_the_language_has() -> None:
    schema = parse("# words\ninterface a.b\ntype T (x: ?int, y: []float)\nmethod M(t: T, ts: ?[]T) -> (ok: bool)")
    assert schema.types == {"T": {"x": ("int", True, False), "y": ("float", False, True)}}
    assert schema.methods["M"] == ({"t": ("T", False, False), "ts": ("T", True, True)}, {"ok": ("bool", False, False)})
    assert schema.check("M", {"t": {"y": [1, 2.5]}}) is None
    assert schema.check("M", {"t": {"y": [1, True]}}) == "t"
    assert schema.check("M", {"t": {"x": 1.5, "y": []}}) == "t"
    assert schema.check("M", {"t": {"y": []}, "ts": [{"y": []}, {"y": [1]}]}) is None


@pytest.mark.parametrize("text", [
    "interface a.b\nmethod M(", "interface a.b\nmethod M(x int) -> ()", "interface a.b\nmethod M() ()",
    "interface a.b\nmethod M() -> ", "interface a.b\ntype T {x: int}", "interface a.b\nclass T (x: int)",
    "interface a.b\nmethod M(x: [string]int) -> ()", "interface a.b\ntype T (x: (a, b))", "interface",
    "interface a.b\ntype", "interface a.b\ntype T (x:", "interface a.b\ntype T (x: ?",
    "interface a.b\ntype T (x: Unknown)",
    "interface a.b\ntype T (x: int y: int)", "interface a.b\nmethod M(x: ->) -> ()",
])
def test_what_it_cannot_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


text = st.text(max_size=5)
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | text,
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))


@settings(deadline=None)
@given(method=st.sampled_from(sorted(LEVELS)),
       parameters=st.dictionaries(st.sampled_from(["name", "wait", "groups", "x"]), values))
def test_any_parameters_get_an_answer(method: str, parameters: dict[str, object]) -> None:
    wrong = SCHEMA.check(method, parameters)
    fields = SCHEMA.methods[method][0]
    if wrong is None:
        assert parameters.keys() <= fields.keys()
    else:
        assert wrong in parameters or wrong in fields
