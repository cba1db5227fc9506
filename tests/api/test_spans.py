"""Offset and length: our arithmetic against Supervisor's own functions, on a real file."""

import json
import os
import subprocess
from itertools import product
from pathlib import Path

from sdsuper.api import logs
from sdsuper.errors import Refusal
from tests.engine.conftest import ROOT

ORIGINAL = """
import json, sys
from supervisor.options import readFile, tailFile
found = []
for offset, length in json.load(sys.stdin):
    try:
        read = readFile(sys.argv[1], offset, length).decode()
    except ValueError as error:
        read = error.args[0]
    found.append([read, tailFile(sys.argv[1], offset, length)])
json.dump(found, sys.stdout)
"""


def test_the_parts_of_a_log_are_supervisors(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for content in (b"", b"a", b"0123456789"):
        path.write_bytes(content)
        cases = list(product([*range(-13, 14), 1 << 31], [*range(-3, 14), 1 << 31]))
        done = subprocess.run([ROOT / ".venv/original/bin/python", "-c", ORIGINAL, path], input=json.dumps(cases),
                              capture_output=True, text=True, check=True)
        fd = os.open(path, os.O_RDONLY)
        try:
            for (offset, length), (read, tail) in zip(cases, json.loads(done.stdout), strict=True):
                try:
                    start, end = logs.span(fd, offset, length)
                    found = content[start:end].decode()
                except Refusal as refusal:
                    found = refusal.fault
                assert found == read, (content, offset, length)
                start, end, overflow = logs.tail_span(len(content), offset, length)
                assert [content[start:end].decode(), len(content), overflow] == tail, (content, offset, length)
        finally:
            os.close(fd)
