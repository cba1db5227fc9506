"""The suite notices when the core is broken."""

import pytest

from tests.core.mutations import MUTATIONS, survives


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation[3])
def test_a_broken_core_is_noticed(mutation: tuple[str, str, str, str]) -> None:
    assert not survives(*mutation[:3])
