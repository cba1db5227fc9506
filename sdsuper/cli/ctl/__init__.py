"""`sdsuper ctl`, and supervisorctl: control a running daemon.

Promises: Supervisor's commands, wording and exit statuses (supervisorctl 4.3.0), over the control socket. What a
command does not need is not imported: a `status` is over before argparse would be loaded.
"""

import io
import os
import sys

from sdsuper.cli.ctl.options import Options, fail
from sdsuper.cli.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.cli.ctl.session import Session


def main(argv: list[str], prog: str = "sdsuper ctl", go: bool = True) -> int:
    """Do one action, or be a shell. `go` adds the options of the Go supervisord's client. Returns the exit status."""
    from sdsuper.cli.ctl.session import Session

    _open_output()
    try:
        options = Options(argv, prog, go)
    except UsageError as error:
        return fail(prog, error)
    session = Session(options)
    try:
        status = _use(session)
        session.flush()
        return 1 if session.deaf else status
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # a command's own never come here
        session.hush(error)
        return 1
    finally:
        session.disconnect()


def _open_output() -> None:
    """Have outputs that can be written to, also where they were closed (`>&-`), and letters that they do not know."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _use(session: "Session") -> int:
    options = session.options
    if options.help:
        sys.stdout.write(options.help)
        return 0
    if options.words:
        from sdsuper.cli.ctl.commands import run_line

        run_line(session, " ".join(options.words))
        if not options.interactive:
            return session.status
    from sdsuper.cli.ctl.shell import run

    run(session)
    return 0
