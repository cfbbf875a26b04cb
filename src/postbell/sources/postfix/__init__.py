"""The source `postfix`: what Postfix writes to its log becomes events.

A line goes through `lines` (when, where, by whom), `records` (what it says) and `reader`, which
knows by `mails` what was said of the same mail before, and makes `drafts` of it.
"""

from postbell.sources.postfix.source import open

__all__ = ["open"]
