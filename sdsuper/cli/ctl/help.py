"""help: the list of commands and a few lines on each, worded as Supervisor's."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdsuper.cli.ctl.session import Session

TEXTS = {
    "add": "add <name> [...]\tActivates any updates in config for process/group",
    "avail": "avail\t\t\tDisplay all configured processes",
    "clear": "clear <name>\t\tClear a process' log files.\n"
    "clear <name> <name>\tClear multiple process' log files\n"
    "clear all\t\tClear all process' log files",
    "exit": "exit\tExit the supervisor shell.",
    "fg": "fg <process>\tConnect to a process in foreground mode\n\t\tCtrl-C to exit",
    "help": "help\t\tPrint a list of available actions\nhelp <action>\tPrint help for <action>",
    "maintail": "maintail -f \tContinuous tail of supervisor main log file (Ctrl-C to exit)\n"
    "maintail -100\tlast 100 *bytes* of supervisord main log file\n"
    "maintail\tlast 1600 *bytes* of supervisor main log file\n",
    "open": "open <url>\tConnect to a remote supervisord process.\n"
    "\t\t(for UNIX domain socket, use unix:///socket/path)",
    "pid": "pid\t\t\tGet the PID of supervisord.\n"
    "pid <name>\t\tGet the PID of a single child process by name.\n"
    "pid all\t\t\tGet the PID of every child process, one per line.",
    "quit": "quit\tExit the supervisor shell.",
    "reload": "reload \t\tRestart the remote supervisord.",
    "remove": "remove <name> [...]\tRemoves process/group from active config",
    "reread": "reread \t\t\tReload the daemon's configuration files without add/remove",
    "restart": "restart <name>\t\tRestart a process\n"
    "restart <gname>:*\tRestart all processes in a group\n"
    "restart <name> <name>\tRestart multiple processes or groups\n"
    "restart all\t\tRestart all processes\n"
    "Note: restart does not reread config files. For that, see reread and update.",
    "shutdown": "shutdown \tShut the remote supervisord down.",
    "signal": "signal <signal name> <name>\t\tSignal a process\n"
    "signal <signal name> <gname>:*\t\tSignal all processes in a group\n"
    "signal <signal name> <name> <name>\tSignal multiple processes or groups\n"
    "signal <signal name> all\t\tSignal all processes",
    "start": "start <name>\t\tStart a process\n"
    "start <gname>:*\t\tStart all processes in a group\n"
    "start <name> <name>\tStart multiple processes or groups\n"
    "start all\t\tStart all processes",
    "status": "status <name>\t\tGet status for a single process\n"
    "status <gname>:*\tGet status for all processes in a group\n"
    "status <name> <name>\tGet status for multiple named processes\n"
    "status\t\t\tGet all process status info",
    "stop": "stop <name>\t\tStop a process\n"
    "stop <gname>:*\t\tStop all processes in a group\n"
    "stop <name> <name>\tStop multiple processes or groups\n"
    "stop all\t\tStop all processes",
    "tail": "tail [-f] <name> [stdout|stderr] (default stdout)\n"
    "Ex:\n"
    "tail -f <name>\t\tContinuous tail of named process stdout\n"
    "\t\t\tCtrl-C to exit.\n"
    "tail -100 <name>\tlast 100 *bytes* of process stdout\n"
    "tail <name> stderr\tlast 1600 *bytes* of process stderr",
    "update": "update\t\t\tReload config and add/remove as necessary, and will restart affected programs\n"
    "update all\t\tReload config and add/remove as necessary, and will restart affected programs\n"
    "update <gname> [...]\tUpdate specific groups",
    "version": "version\t\t\tShow the version of the remote supervisord process",
}
#: Commands that Supervisor does not have.
MORE = {
    "cat": "cat <name> [...]\tShow the options of a process that are not the default, and what is in force",
    "diff": "diff\t\t\tShow what an update would do, and why: 0 nothing, 1 changes, 2 trouble\n"
    "diff <gname> [...]\tThe same for some groups",
    "disable": "disable <name> [...]\tNot start a process by itself any more (autostart, cron), until it is enabled",
    "enable": "enable <name> [...]\tStart a disabled process by itself again, from the next time on",
    "events": "events -f\t\tShow what happens as it happens (Ctrl-C to exit)\n"
    "events PROCESS_STATE\tOnly events of these types\n"
    "events -n 5 --json\tUntil five have come, as JSON, one a line",
    "health": "health [name ...]\tShow what checks say; 0 all is well, 3 not, 4 unknown name",
    "is-active": "is-active [-q] <name>\tSay the state: 0 RUNNING, 3 anything else, 4 unknown",
    "is-ready": "is-ready [-q] <name>\tSay ready or unready: 0 ready, 3 not, 4 unknown",
    "logs": "logs <name>\t\tShow the last 100 lines of a process, from the journal or its log file\n"
    "logs -n 20 <name>\tThe last 20 lines\n"
    "logs -f <name>\t\tAnd then what comes (Ctrl-C to exit)\n"
    "logs <name> stderr\tOf one stream alone\n"
    "logs -f <name> <name>\tOf several, each line with its name\n"
    "From the journal also:\n"
    "logs --since 10m <name>\tSince then: 90s 10m 2h 3d ago, 2026-11-21T10:00, @1795251600\n"
    "logs --run 3 <name>\tOf the third run\n"
    "logs -o json <name>\tAll fields, or the bare text (cat), or with time and pid (short)",
    "freeze": "freeze <name>\t\tHold a process and all it has started still; they get no CPU time\n"
    "freeze <gname>:*\tHold all processes of a group still",
    "reload-program": "reload-program <name>\t\tLet a program read its own configuration again, by its reload_command\n"
    "\t\t\t\tor reload_signal\n"
    "reload-program <gname>:*\tThe same for all of a group that run and have one of these\n"
    "reload-program all\t\tThe same for all programs",
    "scale": "scale <program> <n>\tHave so many processes of a program, whatever its numprocs is\n"
    "scale <program> -\tHave as many as are configured again",
    "rotate": "rotate <name> [...]\tRotate the log files of processes now\nrotate all\t\tRotate all process' log files",
    "thaw": "thaw <name>\t\tLet a frozen process go on",
    "usage": "usage\t\t\tShow memory, CPU time and tasks of all processes, with what they have started\n"
    "usage <name> [...]\tThe same for some of them",
    "why": "why <name> [...]\tShow why a process is as it is: what it waits for, how it has ended, its log",
}
#: What Supervisor's commands can do here besides.
_BESIDES = {
    "restart": "restart --rolling [--batch N] [--timeout SECONDS] <name>\n"
    "\t\t\tOne after the other; the next when the last is up, ready and well",
    "update": "update --dry-run [gname ...]\tShow what it would do, as diff does",
}
_HEADER = "default commands (type help <topic>):"
_MORE_HEADER = "more commands (type help <topic>):"
_ROWS = 3


def help(session: "Session", argument: str) -> None:
    """`help [command]`: the list, or the lines on one command."""
    if not argument:
        more = [] if session.options.compatible else [(_MORE_HEADER, MORE)]
        for header, texts in ((_HEADER, TEXTS), *more):
            session.say(f"\n{header}\n{'=' * len(header)}\n{_topics(texts)}\n")
    elif argument in TEXTS or argument in MORE:
        explain(session, argument)
    else:
        session.say(f"*** No help on {argument}")


def explain(session: "Session", command: str) -> None:
    """The lines on one command, as they follow a wrong use of it."""
    session.say(TEXTS.get(command) or MORE[command])
    if command in _BESIDES and not session.options.compatible:
        session.say(_BESIDES[command])


def _topics(texts: dict[str, str]) -> str:
    """All commands but `help`, down the columns, each as wide as its longest word."""
    words = sorted(set(texts) - {"help"})
    columns = [words[i : i + _ROWS] for i in range(0, len(words), _ROWS)]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(f"{column[row]:<{width}}" for column, width in zip(columns, widths, strict=True) if row < len(column))
        for row in range(min(_ROWS, len(words)))
    )
