"""Speaking with a mail server: in the open, encrypted, signed in; and what an operator is told when it will not."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from federation import doctor
from server import database as db
from server import smtp
from server.settings import Settings
from server.smtp import Unreachable
from tests.cast import HERE
from tests.unit.web.mail.office import PASSWORD, USER, Office, open_office

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context_of(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


def trusting(authority: trustme.CA, folder: Path) -> Path:
    file = folder / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return file


@pytest.fixture
async def secured(authority: trustme.CA) -> AsyncIterator[Office]:
    async with open_office(tls=context_of(authority), users=True) as office:
        yield office


def at(url: str, ca_file: Path | None = None) -> Settings:
    return Settings(base_url=HERE.base, smtp_url=url, ca_file=ca_file)


async def refusal(settings: Settings) -> str:
    with pytest.raises(Unreachable) as caught:
        async with smtp.connected(settings):
            pass
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


async def test_who_is_not_who_they_should_be_is_not_spoken_with(
    secured: Office, authority: trustme.CA, tmp_path: Path
) -> None:
    other, ours = trusting(trustme.CA(), tmp_path), f"127.0.0.1:{secured.port}"
    assert "cannot be trusted" in await refusal(at(f"smtp://{ours}", other))
    async with open_office(implicit=context_of(authority)) as office:
        assert "cannot be trusted" in await refusal(at(f"smtps://127.0.0.1:{office.port}"))
        assert "cannot be" in await refusal(at(f"smtps://{ours}"))
    assert "does not take the user and password: 535" in await refusal(at(f"smtp://{USER}:wrong@{ours}"))
    assert "cannot be reached" in await refusal(at("smtp://127.0.0.1:9"))
    assert "certificates cannot be read" in await refusal(at(f"smtp://{ours}", tmp_path / "none.pem"))


async def test_a_password_is_not_said_in_the_clear_to_another_machine() -> None:
    """0.0.0.0 leads to this machine and is none of its names."""
    async with open_office(users=True) as office:
        said = await refusal(at(f"smtp://{USER}:{PASSWORD}@0.0.0.0:{office.port}"))
        assert said.endswith("offers no encryption, and the password is not said in the clear.")
        assert office.signed_in == 0
        async with smtp.connected(at(f"smtp://{USER}:{PASSWORD}@127.0.0.1:{office.port}")) as connection:
            assert not connection.encrypted
        assert office.signed_in == 1


async def test_encryption_is_used_where_it_is_offered(secured: Office, authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = trusting(authority, tmp_path)
    message = b"Subject: un mot\r\n\r\nbonjour\r\n"
    for file in (None, ca_file):
        async with smtp.connected(at(f"smtp://{USER}:{PASSWORD}@localhost:{secured.port}", file)) as connection:
            assert connection.encrypted
            await connection.send("rse@aubrac.test", "bruno@courriel.test", message)
    assert (secured.encrypted, secured.signed_in) == ([True, True], 2)
    async with open_office(implicit=context_of(authority)) as office:
        async with smtp.connected(at(f"smtps://localhost:{office.port}", ca_file)) as connection:
            await connection.send("rse@aubrac.test", "bruno@courriel.test", message)
        assert len(office.taken) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_doctor_tries_the_mail_server_and_names_whom_it_refused(database: str, tmp_path: Path) -> None:
    account = {"id": 1, "actor_id": 2, "name": "bruno", "email": "bruno@courriel.test", "created_at": 1}
    actor = {"id": 2, "uri": HERE.person("bruno"), "kind": "person", "name": "bruno", "host": "", "created_at": 1}
    await db.insert("actor", {**actor, "inbox": ""})
    await db.insert("account", account)
    await db.insert("mailbox", {"account_id": 1, "aside_at": 1, "error": "550 personne"})
    await db.disconnect()
    silent = Settings(base_url=HERE.base, database_url=database, data_dir=tmp_path)
    assert await doctor.mail(silent) == []
    async with open_office() as office:
        good, aside = await doctor.mail(replace(silent, smtp_url=f"smtp://127.0.0.1:{office.port}"))
    assert (good.state, good.sentence) == ("good", f"127.0.0.1:{office.port} takes us in, not encrypted.")
    assert aside.state == "warning" and "mail to bruno is put aside" in aside.sentence
    lost, _ = await doctor.mail(replace(silent, smtp_url=f"smtp://{USER}:{PASSWORD}@127.0.0.1:9"))
    assert lost.state == "warning" and PASSWORD not in lost.sentence and "127.0.0.1:9" in lost.sentence
    await db.connect(database)
