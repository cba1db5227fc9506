"""Real daemons with real HTTP faces."""

from tests.engine.conftest import directory, start

__all__ = ["directory", "start"]
