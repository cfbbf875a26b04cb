"""The read side: what the CLI, every API and the pages show, in one form.

`core` is what all of them ask; `views`, `batch_views` and `event_views` are the structs that are
shown, `waiting` how webhooks stand,
`opened` and `exchange` batches and their requests, `search`, `timeline`, `stats` and `rates` what
the index finds, `live` what pages that stay open hear.
"""

from postbell.reports.core import Reports
from postbell.reports.views import Page

__all__ = ["Page", "Reports"]
