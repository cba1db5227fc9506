import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.expand import Names, environment_names, expand

NAMES = Names({"process_num": 3, "here": "/etc"}, Names(environment_names({"SECRET": "hunter2", "HOME": "/root"})))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("%(here)s/x", "/etc/x"),
        ("w%(process_num)02d", "w03"),
        ("100%%", "100%"),
        ("%(ENV_HOME)s", "/root"),
        ("%(process_num)x", "3"),
    ],
)
def test_expanded(text, result):
    assert expand(text, NAMES) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%(nope)s", "%(nope): no such name here, known are ENV_..., here, process_num"),
        ("%(ENV_NOPE)s", "%(ENV_NOPE): the environment has no 'NOPE'"),
        (
            "date +%Y",
            "cannot expand '%Y' (unsupported format character 'Y' (0x59) at index 7): %(name)s expected, "
            "and %% for a percent sign",
        ),
        ("date +%s", "cannot expand '%s': %(name)s expected, and %% for a percent sign"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ValueError) as caught:
        expand(text, NAMES)
    assert str(caught.value) == message


@given(st.text(alphabet="%()abs03dr-. ", max_size=16))
def test_never_shows_the_environment(text):
    try:
        assert "hunter2" not in expand(text, NAMES)
    except ValueError as error:
        assert "hunter2" not in str(error)
