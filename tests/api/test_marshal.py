"""Marshalling against the standard library's, and everything that is no request."""

import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.api import marshal
from sdsuper.api.unmarshal import DEPTH, ELEMENTS, NotXmlRpc, request

INTS = st.integers(-1 << 31, (1 << 31) - 1)
#: text that XML can hold, and whose line ends it does not change
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\ufffe\uffff", min_codepoint=32)
               | st.sampled_from("\t\n"))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(st.booleans() | INTS | TEXT | FLOATS,
                      lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
                      max_leaves=12)


def document(parts: list[marshal.Part]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


@given(VALUES)
def test_replies_are_what_clients_read(value: Any) -> None:
    (found,), _method = xmlrpc.client.loads(document(marshal.reply(value)))
    assert same(found, value)


@given(st.lists(VALUES, max_size=4), st.from_regex(r"[a-z]{1,8}\.[a-zA-Z]{1,20}", fullmatch=True))
def test_requests_are_what_clients_mean(params: list[Any], method: str) -> None:
    body = xmlrpc.client.dumps(tuple(params), method).encode()
    assert same(request(body), (method, params))


@given(st.text(st.characters()))
def test_any_text_is_well_formed(value: str) -> None:
    (found,), _method = xmlrpc.client.loads(document(marshal.reply(value)).encode())
    assert isinstance(found, str) and "\x00" not in found
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads(document(marshal.fault(10, value)).encode())
    assert caught.value.faultCode == 10


def test_all_bytes() -> None:
    value = bytes(range(256)).decode(errors="replace")
    (found,), _method = xmlrpc.client.loads(document(marshal.reply(value)).encode())
    assert found == "".join("\ufffd" if c < " " and c not in "\t\n\r" else c for c in value).replace("\r", "\n")


@pytest.mark.parametrize(("value", "expected"), [(1 << 40, (1 << 31) - 1), (-1 << 40, -1 << 31), (True, True)])
def test_integers_have_32_bits(value: int, expected: int) -> None:
    (found,), _method = xmlrpc.client.loads(document(marshal.reply(value)))
    assert found is expected or found == expected


@given(st.fixed_dictionaries({
    **{name: st.text(st.characters()) for name in ("name", "group", "spawnerr", "stdout_logfile", "stderr_logfile",
                                                    "description")},
    **{name: st.integers(0, 1 << 33) for name in ("start", "stop", "now")},
    "statecode": st.sampled_from([0, 20, 200]), "state": st.just("RUNNING"), "exitstatus": INTS, "pid": INTS,
}))
def test_the_template_of_a_process_is_what_the_writer_would_write(row: dict[str, Any]) -> None:
    plain = {
        "name": row["name"], "group": row["group"], "start": row["start"], "stop": row["stop"], "now": row["now"],
        "state": row["statecode"], "statename": row["state"], "spawnerr": row["spawnerr"],
        "exitstatus": row["exitstatus"], "logfile": row["stdout_logfile"], "stdout_logfile": row["stdout_logfile"],
        "stderr_logfile": row["stderr_logfile"], "pid": row["pid"], "description": row["description"],
    }
    assert document(marshal.reply(marshal.info(dict(row)))) == document(marshal.reply(plain))
    assert document(marshal.reply(marshal.infos([dict(row)]))) == document(marshal.reply([plain]))


def value(xml: str) -> list[Any]:
    return request(f"<methodCall><methodName>m</methodName><params><param>{xml}</param></params></methodCall>"
                   .encode())[1]


def test_values() -> None:
    assert value("<value> text </value>") == [" text "]
    assert value("<value/>") == [""] and value("<value><string/></value>") == [""]
    assert value("<value>\n<i4> -7 </i4>\n</value>") == [-7]
    assert value("<value><boolean>1</boolean></value>") == [True]
    assert value("<value><nil/></value>") == [None]
    assert value("<value><base64>w6n/\nAA==</base64></value>") == ["é\udcff\x00"]
    assert value("<value><dateTime.iso8601>20260101T10:00:00</dateTime.iso8601></value>") == ["20260101T10:00:00"]
    assert value("<value><array><data/></array></value>") == [[]]
    assert value("<value><struct/></value>") == [{}]
    assert value("<value>a &amp; &#233;</value>") == ["a & é"]
    assert request(b"<methodCall><methodName>m</methodName></methodCall>") == ("m", [])
    assert request("<?xml version='1.0' encoding='iso-8859-1'?><methodCall><methodName>\xe9</methodName></methodCall>"
                   .encode("latin-1")) == ("é", [])


BOMB = "<!DOCTYPE b [<!ENTITY a 'x'>" + "".join(
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10 if n else '&a;'}'>" for n in range(9)) + "]>"
PARAM = "<methodCall><methodName>m</methodName><params><param>%s</param></params></methodCall>"


@pytest.mark.parametrize("body", [
    "", " ", "x", "<", "<methodCall>", "<methodCall/>", "<methodCall><methodName/></methodCall>",
    "<methodCall><params/></methodCall>", "<methodResponse/>", "<methodName>m</methodName>",
    PARAM[:-5], PARAM % "", PARAM % "<int>1</int>", PARAM % "<value><int>1</int><int>2</int></value>",
    PARAM % "<value>x<int>1</int></value>", PARAM % "<value><int/></value>", PARAM % "<value><int>x</int></value>",
    PARAM % "<value><int>2147483648</int></value>", PARAM % f"<value><int>{'9' * 5000}</int></value>",
    PARAM % "<value><int>1_0</int></value>", PARAM % "<value><int>\u0661</int></value>",
    PARAM % "<value><boolean>2</boolean></value>", PARAM % "<value><boolean>true</boolean></value>",
    PARAM % "<value><double>nan</double></value>", PARAM % "<value><double>1e99999</double></value>",
    PARAM % "<value><double>0x1</double></value>", PARAM % "<value><nil>x</nil></value>",
    PARAM % "<value><dateTime.iso8601>zz</dateTime.iso8601></value>", PARAM % "<value><base64>?</base64></value>",
    PARAM % "<value><i8>1</i8></value>", PARAM % "<value><evil>1</evil></value>",
    PARAM % "<value><array/></value>", PARAM % "<value><array><data/><data/></array></value>",
    PARAM % "<value><array>x<data/></array></value>", PARAM % "<value><struct><member/></struct></value>",
    PARAM % "<value><struct><member><name>x</name></member></struct></value>",
    PARAM % f"<value><struct><member>{'<value><int>1</int></value>' * 2}</member></struct></value>",
    PARAM % ("<value><array><data>" * DEPTH + "</data></array></value>" * DEPTH),
    PARAM % ("<value><array><data>" + "<value/>" * ELEMENTS + "</data></array></value>"),
    BOMB + PARAM % "<value>&a8;</value>", "<!DOCTYPE x>" + PARAM % "<value/>",
    "<!DOCTYPE x SYSTEM 'file:///etc/passwd'>" + PARAM % "<value/>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>" + PARAM % "<value>&e;</value>",
    PARAM % "<value>&unknown;</value>", PARAM % "<value>\x00</value>", PARAM % "<value>&#0;</value>",
    "<?xml version='1.0' encoding='nonsense'?>" + PARAM % "<value/>",
], ids=lambda body: f"{body[:30]}…{body[-60:]}"[:90].encode("ascii", "replace").decode())
def test_what_is_no_request(body: str) -> None:
    with pytest.raises(NotXmlRpc):
        request(body.encode())


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(body: bytes) -> None:
    with pytest.raises(NotXmlRpc):
        request(body)


@given(st.data())
def test_a_damaged_request_has_an_answer(data: st.DataObject) -> None:
    body = bytearray(xmlrpc.client.dumps(("name", 1, [True, {"a": 2.5}]), "supervisor.x").encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        if data.draw(st.booleans()):
            body[place] = data.draw(st.integers(0, 255))
        else:
            del body[place:place + data.draw(st.integers(1, 40))]
        if not body:
            return
    try:
        method, params = request(bytes(body))
    except NotXmlRpc:
        return
    assert isinstance(method, str) and isinstance(params, list)


def test_a_long_number_is_read_in_one_go() -> None:
    """A quadratic pattern would need hours for this."""
    for text in ("1" * 500_000 + "x", "1" * 500_000 + ".", "." + "1" * 500_000 + "e"):
        body = f"<methodCall><methodName>x</methodName><params><param><value><double>{text}</double></value></param>" \
               "</params></methodCall>"
        try:
            request(body.encode())
        except NotXmlRpc:
            pass


@pytest.mark.parametrize("encoding", ["shift_jis", "utf-7", "gbk", "utf_32", "idna", "punycode", "undefined", "rot13",
                                      "x-nosuch", "base64"])
def test_an_encoding_that_expat_does_not_take(encoding: str) -> None:
    with pytest.raises(NotXmlRpc, match="not XML"):
        request(f"<?xml version='1.0' encoding='{encoding}'?><methodCall><methodName>x</methodName></methodCall>"
                .encode())
