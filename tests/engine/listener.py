"""A listener for the tests, in plain Python, as users write them.

listener.py FILE [--bytes] [--script ANSWERS]: writes each event to FILE as a line of JSON (header and payload). Its
answers are OK, or the words of ANSWERS, one for each event, the last one for all that follow: `ok`, `fail`, `die`,
`hang`, `noise`, `badline`, `early` (answers before it has read the payload), `wait:FILE` (answers when FILE is there).
"""

import json
import os
import sys
import time


def main() -> None:
    path, in_bytes = sys.argv[1], "--bytes" in sys.argv
    script = sys.argv[sys.argv.index("--script") + 1].split(",") if "--script" in sys.argv else ["ok"]
    state = path + ".count"                 # answers go on where an earlier run of the listener has ended
    stdin = sys.stdin.buffer if in_bytes else sys.stdin
    while True:
        say("READY\n")
        line = stdin.readline()
        if not line:
            return
        head = dict(word.split(":", 1) for word in (line.decode() if in_bytes else line).split())
        count = os.path.getsize(state) if os.path.exists(state) else 0
        with open(state, "a") as out:
            out.write(".")
        answer = script[min(count, len(script) - 1)]
        if answer == "early":
            say("RESULT 2\nOK")
        payload = stdin.read(int(head["len"]))
        text = payload.decode() if in_bytes else payload
        with open(path, "a") as out:
            out.write(json.dumps({"head": head, "payload": text, "pid": os.getpid()}) + "\n")
        act(answer)


def act(answer: str) -> None:
    if answer == "ok":
        say("RESULT 2\nOK")
    elif answer == "fail":
        say("RESULT 4\nFAIL")
    elif answer == "die":
        os._exit(7)
    elif answer == "hang":
        time.sleep(1000)
    elif answer == "noise":
        say("RESULT 2\nOK" + "traceback (most recent call last)\x1b[0m " + "x" * 200 + "\n")
    elif answer == "badline":
        say("RESULT many\n")
    elif answer.startswith("wait:"):
        while not os.path.exists(answer[5:]):
            time.sleep(0.01)
        say("RESULT 2\nOK")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


main()
