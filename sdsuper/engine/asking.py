"""The commands of daily use, put together: why a process is as it is, what an update would do, what happens, what is
kept over a restart of the daemon, and what is done with the cgroup of a run.

Promises: nothing is done before a client asks. Must not: carry out a command itself.
"""

from sdsuper.engine.announce import Announcements
from sdsuper.engine.commands import Commands, Daemon
from sdsuper.engine.comparing import DiffCommand
from sdsuper.engine.ends import Ends
from sdsuper.engine.keeping import KeepingCommands
from sdsuper.engine.kept import Kept
from sdsuper.engine.readiness import Readiness
from sdsuper.engine.runs import RunCommands
from sdsuper.engine.supervise import Engine
from sdsuper.engine.update import Updates
from sdsuper.engine.why import WhyCommand


def attend(commands: Commands, daemon: Daemon, engine: Engine, updates: Updates, kept: Kept, readiness: Readiness,
           announcements: Announcements, ends: Ends) -> None:
    """Add the commands, and let what is kept hold."""
    if kept.trouble:
        engine.log.write("warn", kept.trouble)
    engine.may_begin = kept.enabled
    why = WhyCommand(engine, lambda: daemon.model, kept, readiness, ends)
    commands.note(why.note)
    commands.asked = ends.asked
    commands.add("Why", why.why)
    commands.add("SendEvent", announcements.send)
    commands.add("Subscribe", announcements.subscribe)
    commands.add("Diff", DiffCommand(engine, updates, lambda: daemon.model).diff)
    methods = {**KeepingCommands(daemon, engine, updates, kept).methods, **RunCommands(engine).methods}
    for name, method in methods.items():
        commands.add(name, method)
