"""Notices: tells the operator and a customer's users what changed, once, and never in a storm.

`telling` runs it, `watching` finds conditions, `changes` decides what is news, `kinds` are what a
notice can be about; `handing` gives it to each recipient, `posting` sends it in the words of
`wording`; `moving` is for a file of a release before.
"""

from postbell.operating.notices.handing import Recipients
from postbell.operating.notices.telling import Teller

__all__ = ["Recipients", "Teller"]
