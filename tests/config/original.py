"""Supervisor itself, from the environment that ./dev makes for it beside ours, or from wherever the tests run."""

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest


def original(name: str) -> ModuleType:
    """One of Supervisor's modules; the test is skipped where there is none."""
    for folder in (os.environ.get("SDSUPER_PEER_BIN"), f"{sys.prefix}/original/bin", os.path.dirname(sys.executable)):
        for packages in Path(folder or "/nowhere").parent.glob("lib/python3*/site-packages"):
            if (packages / "supervisor").is_dir() and str(packages) not in sys.path:
                sys.path.append(str(packages))
    return pytest.importorskip(name)


def groups(path: str) -> list[object]:
    """The process groups Supervisor makes of a file. Raises ValueError as it does."""
    options = original("supervisor.options").ServerOptions()
    options.configfile = path
    options.process_config(do_usage=False)
    return list(options.process_group_configs)
