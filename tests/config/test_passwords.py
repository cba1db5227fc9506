"""Stored forms of passwords."""

import hashlib

import pytest

from sdsuper.config.passwords import SALT_BYTES, parse_scrypt, scrypt_form
from tests.config.fake import HEAD, MAIN, read
from tests.config.test_load import said

SALT = bytes(range(SALT_BYTES))


def test_the_form_is_scrypt() -> None:
    form = scrypt_form("sécret", SALT)
    found = parse_scrypt(form)
    assert found.salt == SALT and form.startswith("{SCRYPT}16384,8,1,AAECAw")
    assert found.hash == hashlib.scrypt("sécret".encode(), salt=SALT, n=16384, r=8, p=1, maxmem=1 << 26, dklen=32)
    assert found.work_out("sécret".encode()) == found.hash != found.work_out(b"secret")


BROKEN = [
    "{SCRYPT}", "{SCRYPT}16384,8,1,AAAA", "{SCRYPT}16383,8,1,AAAAAAAAAAAAAAAA,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "{SCRYPT}16384,8,1,AAAAAAAAAAAAAAAA,A", "{SCRYPT}1073741824,8,1,AAAAAAAAAAAAAAAA,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "{SCRYPT}x,8,1,AAAAAAAAAAAAAAAA,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "{SCRYPT}16384,8,1,A?AAAAAAAAAAAAAA,AAAA",
]


@pytest.mark.parametrize("stored", BROKEN)
def test_what_is_no_form_is_an_error_with_a_place(stored: str) -> None:
    (found,) = said(f"{HEAD}[inet_http_server]\nport=127.0.0.1:1\nusername=u\npassword={stored}\n")
    assert found.startswith("5: error: [inet_http_server] password: cannot read it as a scrypt password ({SCRYPT}N,R,")
    assert "AAAA" not in found and "16384" not in found


def test_forms_that_are_taken() -> None:
    for stored in ("plain", "{SHA}" + "0aF9" * 10, scrypt_form("x", SALT)):
        model = read(f"{HEAD}[unix_http_server]\nfile=/s\nusername=u\npassword={stored}\n")
        assert model.servers[0].password == stored and model.warnings == ()


@pytest.mark.parametrize("stored", ["{SHA}", "{SHA}0aF9", "{SHA}" + "x" * 40])
def test_a_digest_that_fits_nothing_is_said(stored: str) -> None:
    model = read(f"{HEAD}[unix_http_server]\nfile=/s\nusername=u\npassword={stored}\n")
    assert [str(problem) for problem in model.warnings] == [
        f"{MAIN}:5: warning: [unix_http_server] password: fits no password ({{SHA}} and 40 hexadecimal digits expected)"
    ]


def test_an_empty_password_is_none() -> None:
    text = f"{HEAD}[inet_http_server]\nport=*:1\nusername=u\npassword=\n"
    assert read(text).servers[0].closed
    assert not read(text + "allow_insecure=true\n").servers[0].closed
