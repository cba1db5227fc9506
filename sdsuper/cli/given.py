"""`--env-file FILE`: variables that come before the configuration.

Promises: read with the same care and grammar as an `environment_file`; what is wrong is an error of the configuration,
with file and line and no value. Must not: change the environment.
"""

from collections.abc import Mapping

from sdsuper.config.dotenv import Parsed, parse
from sdsuper.config.model import Problem, Severity, Where
from sdsuper.errors import ConfigError
from sdsuper.logs.opening import read_given
from sdsuper.system.host import MAX_ENVIRONMENT_BYTES


def given_variables(path: str, environment: Mapping[str, str]) -> Parsed:
    """The variables of a file; `${NAME}` in it is one of `environment`. Raises ConfigError."""
    try:
        found = parse(read_given(path, None, MAX_ENVIRONMENT_BYTES), path, environment.get)
    except OSError as error:
        reason = f"could not read environment file {path}: {error.strerror}"
        raise ConfigError((Problem(None, Severity.ERROR, None, "--env-file", reason),)) from None
    if found.problems:
        raise ConfigError(tuple(Problem(Where(path, line), Severity.ERROR, None, "--env-file", message)
                                for line, message in found.problems))
    return found
