"""The console scripts with Supervisor's names: supervisord, supervisorctl, echo_supervisord_conf, pidproxy.

Promises: the first three are the modules of `sdsuper` under another name, with Supervisor's options only; `pidproxy` is
here.
"""

import os
import sys


def supervisord() -> int:
    """Console script `supervisord`: the daemon."""
    from sdsuper.cli.daemon import main

    return main(sys.argv[1:], "supervisord")


def supervisorctl() -> int:
    """Console script `supervisorctl`: `sdsuper ctl` without the options of the Go client."""
    from sdsuper.cli.ctl import main

    return main(sys.argv[1:], sys.argv[0], go=False)


def echo_supervisord_conf() -> int:
    """Console script `echo_supervisord_conf`: a configuration with every option; arguments are ignored."""
    from sdsuper.cli.echo_conf import main

    return main([])


_PIDPROXY_HELP = """\
pidproxy -- run a command and pass signals to the process that its pidfile names

Usage: {prog} PIDFILE COMMAND [ARGUMENT ...]

COMMAND is a path, not searched in PATH. TERM, HUP, INT, USR1, USR2 and QUIT are
passed on. Ends when COMMAND does, with its status (128 + N after signal N).
"""


def pidproxy() -> int:
    """Console script `pidproxy`: see the text above.

    Unlike Supervisor's it ends in the moment the command does (not up to 5 seconds later) and with its status (not 0),
    and after TERM, INT and QUIT it waits for that: whoever stops it knows then that the command is gone.
    """
    import signal

    if len(sys.argv) < 3:
        sys.stdout.write(_PIDPROXY_HELP.format(prog=sys.argv[0]))
        return 1
    pidfile, command = sys.argv[1], sys.argv[2:]

    def forward(number: int, _frame: object) -> None:
        _forward(pidfile, number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
        signal.signal(number, forward)
    path = os.path.abspath(command[0])
    try:
        child = os.posix_spawn(path, command, os.environ, setsigdef=[signal.SIGPIPE])
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror}\n")
        return 127
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _forward(pidfile: str, number: int) -> None:
    try:
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
    except (OSError, ValueError):
        print(f"Can't read child pidfile {pidfile}!", flush=True)
        return
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError) as error:
        print(f"{pidfile}: pid {pid}: {error.strerror}", flush=True)
