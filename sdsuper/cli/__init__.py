"""The command line of sdsuper: one word chooses a module, which is imported only then.

Promises: nothing is imported here but sys, so that `sdsuper version` and `sdsuper status` start quickly. Every module
of this package that is a command has `main(argv, …) -> int`, the exit status. Must not: know any command's options.
"""

import sys

#: Words of `sdsuper ctl` that are commands of `sdsuper` itself, too; `version` and `help` mean something else there.
VERBS = frozenset((
    "add", "avail", "cat", "clear", "diff", "disable", "enable", "events", "fg", "freeze", "health", "is-active",
    "is-ready", "logs", "logtail", "maintail", "open", "pid", "reload", "reload-program", "remove", "reread", "restart",
    "rotate", "scale", "shutdown", "signal", "start", "start-group", "status", "stop", "stop-group", "tail", "thaw",
    "update", "usage", "why",
))  # fmt: skip

HELP = """\
sdsuper -- supervises programs and controls the daemon that does it

sdsuper [options]                 run the daemon (sdsuper -h shows its options)
sdsuper ctl [options] [action]    control a running daemon; without an action: a shell
sdsuper start|stop|status|...     the same as sdsuper ctl start|stop|status|...
sdsuper check [-c FILE]           look for mistakes in a configuration
sdsuper init -o FILE              write a small configuration to start from
sdsuper service install           make a service of systemd of it, or of one program
sdsuper import systemd UNIT       print a program's section for a service of systemd
sdsuper passwd                    print a password as the configuration should have it
sdsuper echo_conf                 print a configuration with every option
sdsuper version                   print the version

sdsuper ctl help lists the actions; sdsuper(1) describes all of it.
"""


def main(argv: list[str] | None = None) -> int:
    """Run `sdsuper` with `argv` (without the program's name; the process's own when None)."""
    words = sys.argv[1:] if argv is None else argv
    first = words[0] if words else ""
    verb = (first.split() or [""])[0]
    if first == "ctl" or verb in VERBS:
        from sdsuper.cli.ctl import main as ctl

        return ctl(words[1:] if first == "ctl" else words)
    if first in ("version", "--version", "-v"):
        from sdsuper.cli.version import main as version

        return version(words[1:])
    if first == "help":
        sys.stdout.write(HELP)
        return 0
    if first == "passwd":
        from sdsuper.cli.passwd import main as passwd

        return passwd(words[1:])
    if first == "service":
        from sdsuper.cli.service import main as service

        return service(words[1:])
    if first == "import":
        from sdsuper.cli.importing import main as importing

        return importing(words[1:])
    if first in ("check", "init", "echo_conf", "echo-conf"):
        return _config_command(first, words[1:])
    if first and not first.startswith("-"):
        sys.stderr.write(f"Error: no such command: {first}\nFor help, use sdsuper help\n")
        return 2
    from sdsuper.cli.daemon import main as daemon

    return daemon(words, "sdsuper")


def _config_command(word: str, argv: list[str]) -> int:
    if word == "check":
        from sdsuper.cli.check import main as check

        return check(argv)
    if word == "init":
        from sdsuper.cli.init import main as init

        return init(argv)
    from sdsuper.cli.echo_conf import main as echo_conf

    return echo_conf(argv)
