"""Notices: tells the operator and a customer's users what changed, once, and never in a storm.

`telling` runs it, `watching` finds conditions, `changes` decides what is news, `kinds` are what a
notice can be about, `wording` says it, `posting` hands it over.
"""

from postbell.operating.notices.telling import Notices, Recipients

__all__ = ["Notices", "Recipients"]
