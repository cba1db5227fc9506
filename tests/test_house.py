"""The house rules, as tests: layers, purity, sizes, imports of the daemon, lint, types, one version."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sdsuper"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: The package or module: its layer, and the side of the bar on which it stands (architecture, "Layers"). The longest
#: name that fits counts. A module may import what is lower on its own side or in the middle, and what is in its own
#: package.
LAYERS = {
    "sdsuper": (0, "middle"),               # the version
    "sdsuper.errors": (0, "middle"),
    "sdsuper.config": (1, "middle"),
    "sdsuper.core.vocabulary": (1, "middle"),
    "sdsuper.logs.rotate": (1, "middle"),
    "sdsuper.logs.ansi": (1, "middle"),
    "sdsuper.logs.capture": (1, "middle"),
    "sdsuper.logs.messages": (1, "middle"),
    "sdsuper.core": (2, "left"),
    "sdsuper.logs.opening": (2, "right"),
    "sdsuper.system": (3, "right"),
    "sdsuper.logs": (3, "right"),
    "sdsuper.events": (3, "left"),
    "sdsuper.systemd": (3, "left"),
    "sdsuper.systemd.notify": (3, "right"),
    "sdsuper.systemd.journal": (3, "right"),
    "sdsuper.systemd.fdstore": (3, "right"),
    "sdsuper.control": (4, "both"),
    "sdsuper.client": (5, "both"),
    "sdsuper.usage": (5, "both"),
    "sdsuper.engine": (5, "both"),
    "sdsuper.cli": (6, "both"),
    "sdsuper.api": (6, "both"),
    "sdsuper.relay": (6, "both"),
    "sdsuper.probe": (6, "both"),
    "sdsuper.__main__": (7, "both"),
}

#: What pure modules are, and what they may never import.
PURE = {
    "sdsuper.errors", "sdsuper.config", "sdsuper.core", "sdsuper.events", "sdsuper.logs.rotate", "sdsuper.logs.ansi",
    "sdsuper.logs.capture", "sdsuper.logs.messages", "sdsuper.systemd",
}
IMPURE = {
    "asyncio", "logging", "os", "random", "select", "socket", "subprocess", "sys", "threading", "time",
}
PURE_NAMES = {"pathlib": {"PurePath", "PurePosixPath"}}

#: Starting the daemon imports none of these.
TOO_DEAR = {
    "argparse", "asyncio", "configparser", "ctypes", "dataclasses", "http", "importlib.metadata", "inspect", "logging",
    "pathlib", "shlex", "ssl", "subprocess", "tempfile", "unittest", "xml", "xmlrpc",
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def longest(name: str, table: set[str] | dict[str, tuple[int, str]]) -> str | None:
    while name:
        if name in table:
            return name
        name = name.rpartition(".")[0]
    return None


def imports(path: Path) -> Iterator[tuple[str, str | None, int]]:
    """Module, name (None: the module itself) and line of every import, in functions too, those for types left out."""
    tree = ast.parse(path.read_text())
    for parent in ast.walk(tree):
        if isinstance(parent, ast.If) and isinstance(parent.test, ast.Name) and parent.test.id == "TYPE_CHECKING":
            parent.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                yield node.module or "", alias.name, node.lineno


def test_imports_go_down() -> None:
    wrong = []
    known = {name_of(path) for path in MODULES}
    for path in MODULES:
        here = name_of(path)
        place = longest(here, LAYERS)
        assert place is not None and (place != "sdsuper" or here == "sdsuper"), f"{here} has no layer"
        layer, side = LAYERS[place]
        for module, name, line in imports(path):
            if module.partition(".")[0] != "sdsuper":
                continue
            there = f"{module}.{name}" if f"{module}.{name}" in known else module
            other = longest(there, LAYERS)
            assert other is not None
            other_layer, other_side = LAYERS[other]
            sideways = here.split(".")[:2] == there.split(".")[:2]
            if other_layer > layer or (other_layer == layer and not sideways):
                wrong.append(f"{path}:{line}: {here} (layer {layer}) imports {there} (layer {other_layer})")
            elif {side, other_side} == {"left", "right"}:
                wrong.append(f"{path}:{line}: {here} imports {there} across the bar")
    assert not wrong, "\n".join(wrong)


def test_pure_modules_import_nothing_that_acts() -> None:
    wrong = []
    for path in MODULES:
        if longest(name_of(path), PURE) is None:
            continue
        for module, name, line in imports(path):
            top = module.partition(".")[0]
            if top in PURE_NAMES:
                if name not in PURE_NAMES[top]:
                    wrong.append(f"{path}:{line}: {module}.{name}")
            elif top in IMPURE:
                wrong.append(f"{path}:{line}: {module}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sizes_and_opening(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400, "more than 400 lines"
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not text.strip(), "no docstring says what the module is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= 50, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", sorted((PACKAGE / "system/exec").glob("*.[ch]")), ids=lambda path: path.name)
def test_size_of_the_launcher(path: Path) -> None:
    assert path.read_text().count("\n") <= 400


def test_the_daemon_imports_little() -> None:
    code = "import sys; before = set(sys.modules); import sdsuper.cli.daemon, sdsuper.engine.daemon; " \
           "print(*(set(sys.modules) - before))"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    dear = {name for name in loaded if longest(name, TOO_DEAR)}
    foreign = {name.partition(".")[0] for name in loaded} - {"sdsuper"} - set(sys.stdlib_module_names)
    assert not dear
    assert not foreign


def test_lint() -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_types() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["dev", "bin/sdsuper", ".ci/run"])
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


def test_dev_is_plain_shell() -> None:
    shell = shutil.which("dash") or "/bin/sh"
    done = subprocess.run([shell, "-n", ROOT / "dev"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_one_version() -> None:
    from sdsuper import VERSION

    for build in ("meson.build", "packaging/compat/meson.build"):
        found = re.search(r"version: '([^']+)'", (ROOT / build).read_text())
        assert found is not None and found[1] == VERSION, build

