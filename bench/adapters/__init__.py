"""The managers that can be measured, by name."""
from __future__ import annotations

import importlib.util
from pathlib import Path

from .base import Adapter
from .cmin import CminAdapter
from .supervisor import GoSupervisordAdapter, SdsuperAdapter, SupervisorAdapter

ALL: dict[str, type[Adapter]] = {a.name: a for a in (
    CminAdapter, SdsuperAdapter, SupervisorAdapter, GoSupervisordAdapter)}


def load_plugin(path: str) -> None:
    """A file with further Adapter subclasses (prototypes, forks)."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Adapter) and value.__module__ == module.__name__:
            ALL[value.name] = value
