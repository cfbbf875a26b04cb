"""Native /api/v1/return-paths: addresses that say whose a mail was when it comes back."""

import asyncio

import msgspec
from msgspec import Struct
from starlette.responses import Response

from postbell.api import asked
from postbell.api.operations import PREFIX, Group
from postbell.api.replies import json_response
from postbell.api.resources import Call
from postbell.errors import BadInput
from postbell.rights import Right
from postbell.verp import MailAddresses

MADE_AT_ONCE = 50
"""Then others have their turn: it is 4 ms of work."""


class ReturnPaths(Struct, frozen=True):
    """What each mail is to bear, in the order of the question."""

    return_paths: list[MailAddresses]


async def _make(call: Call) -> Response:
    try:
        given = msgspec.convert(call.form, asked.NewReturnPaths)
    except msgspec.ValidationError as error:
        raise BadInput(f"mails, or domain: {error}", member="mails") from None
    user_id = call.caller.api_user.id
    made = []
    for number, each in enumerate(given.mails, 1):
        made.append(
            call.tracer.addresses(user_id, each.recipient, each.message_id or "", given.domain)
        )
        if number % MADE_AT_ONCE == 0:
            await asyncio.sleep(0)
    return json_response(ReturnPaths(made))


_OF = Group("return paths")
OPERATIONS = (
    _OF.act(
        PREFIX + "/return-paths",
        _make,
        "make return paths for mails that you are about to send, a thousand at once",
        ReturnPaths,
        about="A mail whose envelope sender is its return path says, when it comes back to the"
        " installation, whose it was, to whom it went and of which message, whatever its text says;"
        " so does the header. They are signed, are of the api user that asks, and nothing is"
        " stored.",
        right=Right.INGEST,
        body=asked.NewReturnPaths,
        is_safe=True,
        max_bytes=1 << 20,
    ),
)
