"""The variables of environment files, read when a program starts.

Promises: read by the daemon at each start, so that a restart sees what is in the files now; a value is in no error, no
log and no answer. A file is opened as the log files are: nothing that somebody else could have planted is followed,
and in a directory of others it is read with the rights of the program's user. Must not: keep a value.
"""

from collections.abc import Callable, Mapping
from errno import ENOENT

from sdsuper.config.dotenv import parse
from sdsuper.config.model import EnvironmentFile, MissingFile, ProcessConfig
from sdsuper.errors import LACKS, SpawnError
from sdsuper.logs.opening import read_given
from sdsuper.system.host import MAX_ENVIRONMENT_BYTES

#: To say something in the log: level, text.
Say = Callable[[str, str], object]


def add_variables(own: dict[str, str], config: ProcessConfig, inherited: Mapping[str, str], say: Say) -> None:
    """Add what the configuration and its files say to `own`, a process's variables beside those it has `inherited`.
    Raises SpawnError.
    """
    files = config.environment_files
    for file in files.common:
        own |= _read(file, config, {**inherited, **own, **dict(config.environment)}, say)
    own |= config.environment
    settled = {name: own[name] for name in files.settled}
    for file in files.own:
        own |= _read(file, config, {**inherited, **own}, say)
    own |= settled


def _read(file: EnvironmentFile, config: ProcessConfig, known: Mapping[str, str], say: Say) -> dict[str, str]:
    lack = False
    # with Go's option a variable that is nowhere is empty, as it is there
    value = (lambda name: known.get(name, "")) if file.missing is MissingFile.TOLD else known.get
    try:
        found = parse(read_given(file.path, config.user, MAX_ENVIRONMENT_BYTES), file.path, value)
    except OSError as error:
        if error.errno == ENOENT and file.missing is MissingFile.FINE:
            return {}
        why, lack = f"{file.path}: {error.strerror}", error.errno in LACKS
    else:
        if not found.problems:
            return found.variables
        line, message = found.problems[0]
        why = f"{file.path}:{line}: {message}"
    if file.missing is MissingFile.TOLD and not lack:
        say("error", f"{config.name} starts without the variables of a file: {why}")
        return {}
    raise SpawnError(f"cannot read environment file {why}", lack)
