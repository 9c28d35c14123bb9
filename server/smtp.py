"""Handing mail over to the mail server: one connection for all that waits, encrypted where the server offers it.

Certificates are checked, with `ca_file` too; but for STARTTLS with a server on this very machine, where there is no
wire, only if `ca_file` is set. A password is never said in the clear to another machine.
"""

import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiosmtplib

from server.mail_server import MailServer
from server.settings import Settings

TIMEOUT_S = 20.0
SAID_CHARACTERS = 200
PERMANENT = range(500, 600)


class Unreachable(Exception):
    """The mail server cannot be spoken with now, whatever the mail: one sentence for an operator, without secrets."""


class Refused(Exception):
    """The mail server answered no to one mail. `for_good`: to the same mail it always will."""

    def __init__(self, said: str, *, for_good: bool) -> None:
        self.said = said
        self.for_good = for_good
        super().__init__(said)


class Connection:
    """An open connection, signed in where the settings say so."""

    def __init__(self, client: aiosmtplib.SMTP, server: MailServer) -> None:
        self._client = client
        self._server = server

    @property
    def encrypted(self) -> bool:
        return self._server.implicit_tls or self._client.get_transport_info("sslcontext") is not None

    async def send(self, sender: str, recipient: str, message: bytes) -> None:
        """Returns when the server has taken it. Raises Refused or Unreachable."""
        try:
            await self._client.sendmail(sender, [recipient], message)
        except aiosmtplib.SMTPRecipientsRefused as refused:
            raise _refused(refused.recipients[0]) from None
        except aiosmtplib.SMTPSenderRefused as refused:
            raise Unreachable(f"{self._server} does not take mail from {sender}: {_said(refused)}") from None
        except aiosmtplib.SMTPServerDisconnected as broken:
            raise Unreachable(f"{self._server} hung up: {_shown(broken.message)}") from None
        except aiosmtplib.SMTPResponseException as refused:
            raise _refused(refused) from None
        except (aiosmtplib.SMTPException, OSError) as broken:
            raise Unreachable(f"{self._server}: {_shown(str(broken))}") from None


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connection]:
    """A connection for as long as the block lasts. Raises Unreachable when there is none, or it does not let us in."""
    server = settings.mail_server
    if server is None:
        raise Unreachable("no mail server is set.")
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.implicit_tls,
        start_tls=False,
        tls_context=_trust(settings, server),
        local_hostname=urlsplit(settings.base_url).hostname,
        timeout=TIMEOUT_S,
    )
    try:
        connection = await _opened(client, server)
        yield connection
    finally:
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await client.quit(timeout=2)
        client.close()


async def _opened(client: aiosmtplib.SMTP, server: MailServer) -> Connection:
    connection = Connection(client, server)
    try:
        await client.connect()
        if not server.implicit_tls:
            await client.ehlo()
            if client.supports_extension("starttls"):
                await client.starttls()
        if server.user:
            if not connection.encrypted and not server.is_this_machine:
                raise Unreachable(f"{server} offers no encryption, and the password is not said in the clear.")
            await client.login(server.user, server.password)
    except aiosmtplib.SMTPAuthenticationError as refused:
        raise Unreachable(f"{server} does not take the user and password: {_said(refused)}") from None
    except aiosmtplib.SMTPResponseException as refused:
        raise Unreachable(f"{server} answers {_said(refused)}") from None
    except aiosmtplib.SMTPTimeoutError:
        raise Unreachable(f"{server} does not answer within {TIMEOUT_S:.0f} s.") from None
    except ssl.SSLError as error:
        raise Unreachable(f"{server} cannot be trusted: {_shown(_of_certificate(error))}") from None
    except (aiosmtplib.SMTPException, OSError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, ssl.SSLError):
            raise Unreachable(f"{server} cannot be trusted: {_shown(_of_certificate(cause))}") from None
        raise Unreachable(f"{server} cannot be reached: {_shown(str(error))}") from None
    return connection


def _trust(settings: Settings, server: MailServer) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        if settings.ca_file is not None:
            context.load_verify_locations(settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(f"{settings.ca_file}: certificates cannot be read ({error}).") from None
    if server.is_this_machine and not server.implicit_tls and settings.ca_file is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _of_certificate(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", "") or error.reason or str(error)


def _refused(answer: aiosmtplib.SMTPResponseException) -> Refused:
    return Refused(_said(answer), for_good=answer.code in PERMANENT)


def _said(answer: aiosmtplib.SMTPResponseException) -> str:
    return _shown(f"{answer.code} {answer.message}")


def _shown(text: str) -> str:
    """What a server said, as a log takes it: one line, not without end."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:SAID_CHARACTERS]
