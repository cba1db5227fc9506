"""A listener that keeps what it gets, letter for letter: recorder.py FILE. Reads text as Supervisor's `len` needs."""

import io
import sys

stdin = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", newline="")
with open(sys.argv[1], "a", encoding="utf-8", newline="") as out:
    while True:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        line = stdin.readline()
        if not line:
            break
        length = int(line.rpartition("len:")[2])
        out.write(f"{line}{stdin.read(length)}\0")
        out.flush()
        sys.stdout.write("RESULT 2\nOK")
        sys.stdout.flush()
