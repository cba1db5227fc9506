"""XML-RPC: from the body of a request to the parts of the reply, and the namespace `system`.

Promises: whatever is asked, the answer is a value or a fault; system.multicall answers as Supervisor's does, with the
plain values. A reply made of many calls has a limit of its own. Must not: look a name up anywhere but in METHODS.
"""

from typing import Any

from sdsuper.api import inform, marshal, operate, readlogs
from sdsuper.api.daemon import Gone
from sdsuper.api.logs import Span
from sdsuper.api.table import ARRAY, METHODS, REQUIRED, STRING, Context, Parameter, method
from sdsuper.client import ProtocolError
from sdsuper.errors import Refusal

#: the modules that fill the table
TABLES = (inform, operate, readlogs)

MULTICALL = "system.multicall"
REPLY_CHARACTERS = 32 << 20     # of the reply to one multicall; what follows is refused
SPANS = 8                       # long logs in it

_NAME = Parameter("name", STRING, REQUIRED, "a method")
_CALLS = Parameter("calls", ARRAY, REQUIRED, "structs with methodName and params")


async def answer(context: Context, name: str, values: list[Any]) -> list[marshal.Part]:
    """The document that answers one call."""
    try:
        return marshal.reply(await _call(context, name, values))
    except Refusal as refusal:
        return marshal.fault(refusal.code, str(refusal))


async def _call(context: Context, name: str, values: list[Any]) -> Any:
    found = METHODS.get(name)
    if found is None:
        raise Refusal("UNKNOWN_METHOD")
    arguments = found.arguments(values)
    try:
        return await found.function(context, *arguments)
    except Gone:                        # with the daemon's end under way this was asked too late
        raise Refusal("SHUTDOWN_STATE") from None
    except ProtocolError as error:      # a value that the daemon does not take
        raise Refusal("INCORRECT_PARAMETERS", str(error)) from None


@method("system.listMethods", returns="array")
async def list_methods(_context: Context) -> Any:
    """The names of all methods.

    Returns them, sorted
    """
    return sorted(METHODS)


@method("system.methodHelp", returns="string", parameters=(_NAME,))
async def method_help(_context: Context, name: str) -> Any:
    """What a method does.

    Returns a text for people
    """
    if name not in METHODS:
        raise Refusal("SIGNATURE_UNSUPPORTED")
    return METHODS[name].help


@method("system.methodSignature", returns="array", parameters=(_NAME,))
async def method_signature(_context: Context, name: str) -> Any:
    """The types of a method's result and of its parameters.

    Returns their names, that of the result first
    """
    if name not in METHODS:
        raise Refusal("SIGNATURE_UNSUPPORTED")
    return METHODS[name].signature


@method(MULTICALL, returns="array", parameters=(_CALLS,))
async def multicall(context: Context, calls: list[Any]) -> Any:
    """Carry out several calls, one after the other.

    Returns the value of each, or a struct with faultCode and faultString
    """
    parts: list[marshal.Part] = []
    size = spans = 0
    for call in calls:
        try:
            if size > REPLY_CHARACTERS or spans >= SPANS:
                raise Refusal("FAILED", "the reply is too long, ask for less at once")
            value = await _one_of_many(context, call)
        except Refusal as refusal:
            value = {"faultCode": refusal.code, "faultString": str(refusal)}
        before = len(parts)
        marshal.write(value, parts)
        size += sum(len(part) for part in parts[before:] if isinstance(part, str))
        spans += sum(isinstance(part, Span) for part in parts[before:])
    return marshal.Array(parts)


async def _one_of_many(context: Context, call: Any) -> Any:
    if not isinstance(call, dict):
        raise Refusal("INCORRECT_PARAMETERS", "a struct expected")
    name, values = call.get("methodName"), call.get("params", [])
    if name is None:
        raise Refusal("INCORRECT_PARAMETERS", "No methodName")
    if name == MULTICALL:
        raise Refusal("INCORRECT_PARAMETERS", "Recursive system.multicall forbidden")
    if not isinstance(name, str) or not isinstance(values, list):
        raise Refusal("INCORRECT_PARAMETERS")
    return await _call(context, name, values)
