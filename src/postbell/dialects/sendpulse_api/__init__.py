"""SendPulse's API of bulk webhooks: tokens, and one row for each event of a URL.

Facts: reference `sendpulse.md` sections 7 to 11.  A row is a webhook in the dialect
`sendpulse-bulk`; `routes` gives what an application mounts.
"""

from postbell.dialects.sendpulse_api.routes import routes

__all__ = ["routes"]
