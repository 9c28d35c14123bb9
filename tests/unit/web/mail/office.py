"""A real mail server on a loopback socket, in the loop of the test: what it took, and what it is told to refuse."""

import asyncio
import email
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from server import database as db
from server.credentials import make_secret
from server.settings import Settings
from tests.cast import HERE
from web.mail.postman import Postman

USER, PASSWORD = "parvis", "motdepasse"
OK = "250 OK"
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what does not depend on how rows are kept."""


@dataclass
class Office:
    """`refusals`: what is answered instead, by recipient; `taken`: messages in order, with their envelopes."""

    port: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    after_data: str = OK
    taken: list[tuple[str, EmailMessage]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    signed_in: int = 0

    async def handle_RCPT(self, _: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        refusal = self.refusals.get(address, "")
        if not refusal:
            envelope.rcpt_tos.append(address)
        return refusal or OK

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        if self.after_data.startswith("2"):
            assert isinstance(envelope.content, bytes)
            message = email.message_from_bytes(envelope.content, policy=default)
            assert isinstance(message, EmailMessage)
            self.taken.append((envelope.rcpt_tos[0], message))
            self.encrypted.append(session.ssl is not None)
        return self.after_data

    def signs_in(self, *args: Any) -> AuthResult:
        self.signed_in += 1
        said = args[-1]
        good = isinstance(said, LoginPassword) and (said.login, said.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=good or False)

    def messages(self, address: str) -> list[EmailMessage]:
        return [message for recipient, message in self.taken if recipient == address]


@asynccontextmanager
async def open_office(
    tls: ssl.SSLContext | None = None,
    implicit: ssl.SSLContext | None = None,
    users: bool = False,
    kind: type[Office] = Office,
) -> AsyncIterator[Office]:
    """The server, for as long as the block lasts; `tls`: it offers STARTTLS, `implicit`: it is encrypted at once."""
    office = kind()
    loop = asyncio.get_running_loop()

    def speaker() -> SMTP:
        return SMTP(
            office,
            tls_context=tls,
            loop=loop,
            hostname="localhost",
            authenticator=office.signs_in if users else None,
            auth_require_tls=False,
            enable_SMTPUTF8=True,
        )

    server = await loop.create_server(speaker, "127.0.0.1", 0, ssl=implicit)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()


def settings_for(office: Office, database_url: str, folder: Path, **more: Any) -> Settings:
    url = more.pop("smtp_url", f"smtp://127.0.0.1:{office.port}")
    settings = Settings(base_url=HERE.base, database_url=database_url, data_dir=folder, smtp_url=url, **more)
    make_secret(settings, sealed_keys_exist=False)
    return settings


async def address_all() -> None:
    """Everybody who has an account has an address."""
    await db.execute("UPDATE account SET email = name || '@courriel.test'")


async def time_passes() -> None:
    """What waits is due, and the pauses between mails are over."""
    await db.execute("UPDATE notice SET mail_due_at = 1 WHERE mail_due_at IS NOT NULL")
    await db.execute("UPDATE mailbox SET not_before_at = 0")


async def send(settings: Settings) -> None:
    """All that waits is due, and goes."""
    await time_passes()
    postman = Postman(settings)
    while await postman.step():
        pass


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def html_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())
