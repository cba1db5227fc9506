"""The daemon's command line: `sdsuper [options]`, `sdsuperd`, and `supervisord` with Supervisor's meaning of `-d`.

Promises: Supervisor's options and exit statuses (0 after an orderly end, 2 for anything wrong with command line,
configuration, limits, privileges or sockets); command line before file before default. Must not: import what a client
needs.
"""

import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from sdsuper import VERSION
from sdsuper.cli.given import given_variables
from sdsuper.cli.options import UsageError, parse
from sdsuper.config.load import load, search
from sdsuper.config.model import Model
from sdsuper.config.search import search_paths
from sdsuper.errors import ConfigError, StartError
from sdsuper.system.host import RealHost

#: option -> (key of [supervisord] or name of ours, takes a value)
TABLE = {
    "-c": ("configuration", True), "--configuration": ("configuration", True), "-n": ("nodaemon", False),
    "--nodaemon": ("nodaemon", False), "-s": ("silent", False), "--silent": ("silent", False), "-h": ("help", False),
    "-?": ("help", False), "--help": ("help", False), "-v": ("version", False), "--version": ("version", False),
    "-u": ("user", True), "--user": ("user", True), "-m": ("umask", True), "--umask": ("umask", True),
    "-d": ("daemon", False), "--daemon": ("daemon", False), "--directory": ("directory", True),
    "-l": ("logfile", True), "--logfile": ("logfile", True), "-y": ("logfile_maxbytes", True),
    "--logfile_maxbytes": ("logfile_maxbytes", True), "-z": ("logfile_backups", True),
    "--logfile_backups": ("logfile_backups", True), "-e": ("loglevel", True), "--loglevel": ("loglevel", True),
    "-j": ("pidfile", True), "--pidfile": ("pidfile", True), "-i": ("identifier", True),
    "--identifier": ("identifier", True), "-q": ("childlogdir", True), "--childlogdir": ("childlogdir", True),
    "-k": ("nocleanup", False), "--nocleanup": ("nocleanup", False),
    "-a": ("minfds", True), "--minfds": ("minfds", True),
    "--minprocs": ("minprocs", True), "-t": ("strip_ansi", False), "--strip_ansi": ("strip_ansi", False),
    "--profile_options": ("profile", True), "--env-file": ("env_file", True),
}
OURS = ("configuration", "help", "version", "daemon", "profile", "env_file")

HELP = """\
{prog} -- run a set of programs as daemons.

Usage: {prog} [options]

Options:
-c/--configuration FILENAME -- configuration file path (searches if not given)
-n/--nodaemon -- run in the foreground (same as 'nodaemon=true' in config file)
{daemon}-s/--silent -- no logs to stdout (maps to 'silent=true' in config file)
-h/--help -- print this usage message and exit
-v/--version -- print the version number and exit
-u/--user USER -- run {prog} as this user (or numeric uid)
-m/--umask UMASK -- use this umask for the daemon and its programs (default is 022)
{directory} DIRECTORY -- directory to chdir to
-l/--logfile FILENAME -- use FILENAME as logfile path
-y/--logfile_maxbytes BYTES -- use BYTES to limit the max size of logfile
-z/--logfile_backups NUM -- number of backups to keep when max bytes reached
-e/--loglevel LEVEL -- use LEVEL as log level (debug,info,warn,error,critical)
-j/--pidfile FILENAME -- write a pid file for the daemon process to FILENAME
-i/--identifier STR -- identifier used for this instance of {prog}
-q/--childlogdir DIRECTORY -- the log directory for child process logs
-k/--nocleanup -- prevent the process from performing cleanup (removal of
                  old automatic child log files) at startup.
-a/--minfds NUM -- the minimum number of file descriptors for start success
-t/--strip_ansi -- strip ansi escape codes from process output
--minprocs NUM -- the minimum number of processes available for start success
--env-file FILE -- variables for everything, NAME=VALUE lines that are read
                   before the configuration, and again at each reload
"""


def main(argv: list[str], prog: str) -> int:
    """Run the daemon; returns only where none was run, with the exit status.

    `prog` is `supervisord` for Supervisor's meaning of `-d` (directory).
    """
    table = dict(TABLE)
    if prog == "supervisord":
        table["-d"] = ("directory", True)
        del table["--daemon"]
    try:
        values, words = parse(argv, table)
        if words:
            raise UsageError("positional arguments are not supported: " + " ".join(words))
        if "help" in values:
            sys.stdout.write(_help(prog))
            return 0
        if "version" in values:
            sys.stdout.write(VERSION + "\n")
            return 0
        _run(values, _typed(argv, table))
    except (UsageError, StartError) as error:
        sys.stderr.write(f"Error: {error}\nFor help, use {prog} -h\n")
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
    return 2


def _typed(argv: list[str], table: dict[str, tuple[str, bool]]) -> dict[str, str]:
    """How each option was written, for messages about its value."""
    written = {}
    for word in argv:
        option = word.partition("=")[0] if word.startswith("--") else word[:2]
        if option in table:
            written[table[option][0]] = option
    return written


def _help(prog: str) -> str:
    compatible = prog == "supervisord"
    return HELP.format(prog=prog, directory="-d/--directory" if compatible else "--directory",
                       daemon="" if compatible else "-d/--daemon -- run in the background, whatever the file says\n")


def _run(values: dict[str, str], typed: dict[str, str]) -> NoReturn:
    from sdsuper.engine.daemon import Daemon
    from sdsuper.engine.kept import Kept

    environment, file = dict(os.environ), values.get("env_file")
    if file is not None:
        file = os.path.abspath(file)
        os.environ.update(given_variables(file, environment).variables)
    host = RealHost()
    path = values.get("configuration") or search(host, sys.argv[0])
    if path is None:
        raise UsageError(f"No config file found at default paths ({', '.join(search_paths(sys.argv[0]))}); use the -c "
                         "option to specify a config file at a different path")
    path = os.path.abspath(path)
    overrides = {key: ("true" if not TAKES_VALUE[key] else value, typed.get(key, key))
                 for key, value in values.items() if key not in OURS}

    def read(scale: Mapping[str, int]) -> Model:
        if file is None:
            return load(path, host, overrides, None, scale)
        given = given_variables(file, environment)
        host.environ = environment | given.variables
        return load(path, host, overrides, given, scale)

    model = read({})
    kept = Kept(model.supervisord.state_file, model.supervisord.user)
    if kept.scale:
        try:
            model = read(kept.scale)
        except ConfigError as error:
            kept.forget_scale(error.refusing)
    foreground = (model.supervisord.nodaemon or os.getpid() == 1) and "daemon" not in values
    # programs have the variables of the file by the configuration, which is read again, and not by inheritance
    status = Daemon(model, lambda: read(kept.scale), environment, foreground, kept).run()
    # everything is done and given back: taking every record of every program apart would only make the end longer
    os._exit(status)


TAKES_VALUE = dict(TABLE.values())
