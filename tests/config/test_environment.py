import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdsuper.config.environment import environment

from .original import original


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {}),
        ("A=1", {"A": "1"}),
        ("A=1,B=2,", {"A": "1", "B": "2"}),
        ("A=\"1, 2\",B='x # y'", {"A": "1, 2", "B": "x # y"}),
        ("A=/usr/bin:/bin,\nB=+1.5-(x)", {"A": "/usr/bin:/bin", "B": "+1.5-(x)"}),
        ('A=""', {"A": ""}),
        ('A="1";B="2"', {"A": "1", "B": "2"}),
    ],
)
def test_plain(text, variables):
    assert environment(text) == (variables, [])


@pytest.mark.parametrize(
    ("text", "variables", "note"),
    [
        ("A=~/x", {"A": "~"}, "A: the value ends before '/'; put it in quotes"),
        ("A=$HOME", {"A": "$"}, "A: the value ends before 'H'; put it in quotes"),
        ("A=x*", {"A": "x"}, "A: the value ends before '*'; put it in quotes"),
        ("A=a#b,B=2", {"A": "a"}, "the rest of a line behind # is ignored; a value with # needs quotes"),
        (
            "A=http://h/?q=1,B=2",
            {"A": "http://h/", "q": "1", "B": "2"},
            "A: the value ends before '?'; put it in quotes",
        ),
        ("A=,", {"A": ","}, 'A: the value is a comma; write A="" for an empty one'),
        ("A=1,A=2", {"A": "2"}, "A is given twice, the last one counts"),
        ('"A"=1', {'"A"': "1"}, '"A": the quotes are part of the variable\'s name'),
    ],
)
def test_mangled_values_get_a_note(text, variables, note):
    found, notes = environment(text)
    assert found == variables
    assert note in notes


@pytest.mark.parametrize("text", ["A", "A=", "A=1 B=2", "A=1,B", "=1,", 'A="1'])
def test_refused(text):
    with pytest.raises(ValueError):
        environment(text)


def test_values_are_not_shown():
    with pytest.raises(ValueError) as caught:
        environment('A="hunter2",B hunter3')
    assert "hunter" not in str(caught.value)
    assert str(caught.value) == "cannot read name=value pairs after 'A' (NAME=\"value\" with commas between expected)"


@given(st.text(alphabet="AB=,;'\"# \n\\$~é/:.\t\r", max_size=24))
@example("A=a#b\nc")
def test_same_as_supervisor(text):
    datatypes = original("supervisor.datatypes")
    try:
        expected = datatypes.dict_of_key_value_pairs(text)
    except ValueError:
        with pytest.raises(ValueError):
            environment(text)
        return
    if any("=" in name for name in expected):  # no environment can have such a name
        with pytest.raises(ValueError):
            environment(text)
    else:
        assert environment(text)[0] == expected
