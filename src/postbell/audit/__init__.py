"""Promise 2, recomputed: every matching event is in exactly one place.

`proof` goes over all webhooks, `walk` over one as of one moment, `marks` are where journal and open
batches say that its events are, `sweep` lays them on the log, `findings` is what is said of it.
"""

from postbell.audit.findings import PLACES, Audit, AuditProgress, AuditRow, Problem
from postbell.audit.proof import audit

__all__ = ["PLACES", "Audit", "AuditProgress", "AuditRow", "Problem", "audit"]
