"""SendPulse's API of bulk webhooks: tokens, and one row for each event of a URL.

Facts: the pages of the service's API; what they leave open is told in docs/explain/differences.md.
A row is a webhook in the dialect `sendpulse-bulk`; `routes` gives what an application mounts.
"""

from postbell.dialects.sendpulse_api.routes import routes

__all__ = ["routes"]
