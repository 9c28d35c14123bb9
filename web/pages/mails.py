"""No more mail, by the address that stands in each: whoever holds it stops the mails to one person, nothing else.

Programs that look at links only ask; the mail program's own button sends the form (RFC 8058), without a session.
"""

from starlette.responses import Response

from server.actions import mails as verbs
from server.errors import NotFound
from server.mail_tokens import account_of, same, stop_token
from server.queries import mails
from web.pages import showing
from web.pages.visits import Visit


async def ask_to_stop(visit: Visit) -> Response:
    """`GET /mail/stop/{token}`."""
    await _account(visit)
    return await showing.mail_stop(visit)


async def stop(visit: Visit) -> Response:
    """`POST /mail/stop/{token}`: nobody has to be signed in."""
    await verbs.stop(await _account(visit))
    return await showing.mail_stop(visit, done=True)


async def _account(visit: Visit) -> int:
    """Whose mails the token stops, at the address to which it was sent. Raises NotFound."""
    token = str(visit.request.path_params["token"])
    account_id = account_of(token)
    address = await mails.reached_at(account_id) if account_id else ""
    if not account_id or not address or not same(token, stop_token(visit.settings, account_id, address)):
        raise NotFound(detail="no such token")
    return account_id
