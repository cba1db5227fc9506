"""The table of XML-RPC methods: name, function, kinds of the arguments, and the words of system.methodHelp.

Promises: a name that a client sends is looked up in a dict and nowhere else; arguments reach a function with the types
that it declares, anything else is refused with INCORRECT_PARAMETERS. Must not: call anything.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from sdsuper.api.daemon import Daemon
from sdsuper.api.marshal import Raw
from sdsuper.api.shared import Shared
from sdsuper.errors import Refusal

API_VERSION = "3.0"


class Context(NamedTuple):
    """What a method works with: the daemon, and the value of getAllProcessInfo, which many ask for."""

    daemon: Daemon
    infos: Shared[Raw]


Function = Callable[..., Awaitable[Any]]


class Kind(NamedTuple):
    """One kind of argument: its XML-RPC type, and what turns a value into the argument or raises ValueError."""

    type: str
    convert: Callable[[Any], Any]


class Parameter(NamedTuple):
    """One parameter; REQUIRED is no default."""

    name: str
    kind: Kind
    default: Any
    about: str


class Method(NamedTuple):
    """One method. `help` has the lines that methodSignature is made of, too, as Supervisor's docstrings do."""

    name: str
    function: Function
    parameters: tuple[Parameter, ...]
    returns: str
    help: str

    @property
    def signature(self) -> list[str]:
        """Type of the result and types of the parameters."""
        return [self.returns, *(parameter.kind.type for parameter in self.parameters)]

    def arguments(self, values: list[Any]) -> list[Any]:
        """The arguments of a call. Raises Refusal INCORRECT_PARAMETERS."""
        if len(values) > len(self.parameters):
            raise Refusal("INCORRECT_PARAMETERS")
        found = []
        for number, parameter in enumerate(self.parameters):
            if number >= len(values):
                if parameter.default is REQUIRED:
                    raise Refusal("INCORRECT_PARAMETERS")
                found.append(parameter.default)
                continue
            try:
                found.append(parameter.kind.convert(values[number]))
            except ValueError:
                raise Refusal("INCORRECT_PARAMETERS", f"{parameter.name}: {parameter.kind.type} expected") from None
        return found


REQUIRED = object()
METHODS: dict[str, Method] = {}


def method(*names: str, returns: str, parameters: tuple[Parameter, ...] = ()) -> Callable[[Function], Function]:
    """Put a function into the table, under each of its names. Its docstring is what methodHelp says."""

    def add(function: Function) -> Function:
        lines = [line.strip() for line in (function.__doc__ or "").strip().split("\n")]
        about, _at, result = "\n".join(lines).partition("Returns ")
        tags = [f"@param {p.kind.type} {p.name} {p.about}" for p in parameters]
        tags.append(f"@return {returns} result {result.strip() or 'true'}")
        text = about.strip() + "\n\n" + "\n".join(tags) + "\n"
        for name in names:
            METHODS[name] = Method(name, function, parameters, returns, text)
        return function

    return add


# ---- kinds of arguments ----------------------------------------------------------------------------------------------


def _string(value: Any) -> str:
    if type(value) is not str:
        raise ValueError
    return value


def _int(value: Any) -> int:
    """Supervisor takes a number written as text, too."""
    if type(value) is str:
        return int(value)
    if type(value) is not int:
        raise ValueError
    return value


def _wait(value: Any) -> bool:
    """Clients send 0 and 1 as well; Supervisor takes what Python takes for true."""
    if value is not None and type(value) not in (bool, int):
        raise ValueError
    return bool(value)


def _signal(value: Any) -> str:
    if type(value) not in (str, int):
        raise ValueError
    return str(value)


def _array(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ValueError
    return value


def _names(value: Any) -> list[str]:
    return [_string(item) for item in _array(value)]


STRING, INT, BOOLEAN = Kind("string", _string), Kind("int", _int), Kind("boolean", _wait)
SIGNAL, ARRAY, NAMES = Kind("string", _signal), Kind("array", _array), Kind("array", _names)

NAME = Parameter("name", STRING, REQUIRED, "a process: group:name, or its name alone where the group has the same")
NAME_OR_GROUP = NAME._replace(about=NAME.about + "; group:* for all of a group")
GROUP = Parameter("name", STRING, REQUIRED, "a group")
WAIT = Parameter("wait", BOOLEAN, True, "whether to answer only when it is done")
SIGNAL_NAME = Parameter("signal", SIGNAL, REQUIRED, "a signal, as HUP, SIGHUP or 1")
OFFSET = Parameter("offset", INT, REQUIRED, "where to begin, in bytes; negative: that many before the end")
LENGTH = Parameter("length", INT, REQUIRED, "how many bytes; 0: all that follow")
