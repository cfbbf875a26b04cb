"""Everything that can go wrong and be told to somebody.

    PostbellError
    ├── UsageError          the caller must change the request        4xx, exit 2
    │   ├── BadInput        a value is wrong; `member` says which     400 / 422
    │   ├── NotFound        no such thing (or another account's)      404
    │   ├── Conflict        it exists already, or changed meanwhile   409
    │   ├── Stale           it is not what the caller last saw        412
    │   ├── Unauthorized    credentials are missing or wrong          401
    │   ├── Forbidden       the caller is known, but may not do this  403
    │   ├── Misdirected     the name asked for is not this service's  421
    │   ├── TooLarge        over a limit that the message names       413
    │   └── TooMany         more requests than the account may make   429
    └── ServiceError        ours to mend                              5xx, exit 1
        ├── DamagedRow      a row that was asked for cannot be read    500
        ├── Overloaded      a queue is full; come back later          503, retryable
        └── StorageError    the engine cannot read or commit          503, retryable
            ├── Unavailable  the server that has it cannot just now   503, asked again
            ├── HeadMoved   another process appended first            internal, retried by ingest
            ├── TermEnded   another process does by now what one does internal, nothing written
            ├── DamagedDatabase  the file is not one whole database   refused at the start
            ├── DamagedBlock  a block is not as it was written        pauses who waits for it
            ├── IdTaken     a batch has the id of another one         a bug of ours, nothing written
            └── EngineStopped  a failed fsync: nothing commits until a restart
                └── TakenOver  the database is another one by now: the process starts anew

A message names the thing, the fact and the way out, in English, for APIs, the command line and
logs.  Pages say the same in their reader's language: *reason* names a text of their catalogues
(`web/words/*/wrong.toml`), *values* fill it.  A receiver that fails is not an error of ours: it
is an `Outcome` (see `records`).
"""

Value = str | int | float


class PostbellError(Exception):
    """Base of the tree; *code* is stable and documented, *status* is HTTP's.

    *reason* is finer than the code, and free to change; without one it is the code.
    """

    code = "error"
    status = 500
    retryable = False

    def __init__(self, message: str, *, reason: str = "", **values: Value) -> None:
        super().__init__(message)
        self.message = message
        self.values = values
        self._reason = reason

    @property
    def reason(self) -> str:
        return self._reason or self.code


class UsageError(PostbellError):
    code = "usage"
    status = 400


class BadInput(UsageError):
    """A value is wrong; *member* is its path ("policy.timeout_s"), empty for the whole input."""

    code = "bad_input"
    status = 422

    def __init__(
        self,
        message: str,
        *,
        member: str = "",
        code: str | None = None,
        status: int | None = None,
        reason: str = "",
        **values: Value,
    ) -> None:
        super().__init__(message, reason=reason, **values)
        self.member = member
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


class NotFound(UsageError):
    code = "not_found"
    status = 404


class Conflict(UsageError):
    code = "conflict"
    status = 409


class Stale(UsageError):
    """The caller changes what it saw only (If-Match), and it is something else by now."""

    code = "precondition_failed"
    status = 412


class Unauthorized(UsageError):
    code = "unauthorized"
    status = 401


class Forbidden(UsageError):
    """Who asks is known, and may not do this."""

    code = "forbidden"
    status = 403


class Misdirected(UsageError):
    """The request asks for a name that is not ours; only ours are answered here."""

    code = "misdirected"
    status = 421


class TooLarge(UsageError):
    code = "too_large"
    status = 413


class TooMany(UsageError):
    """The account asks faster than it may; *retry_after_s* says when to come back."""

    code = "too_many_requests"
    status = 429
    retryable = True

    def __init__(
        self, message: str, *, retry_after_s: int = 1, reason: str = "", **values: Value
    ) -> None:
        super().__init__(message, reason=reason, **values)
        self.retry_after_s = retry_after_s


class ServiceError(PostbellError):
    code = "internal"
    status = 500


class DamagedRow(ServiceError):
    """A row that was asked for cannot be read, or lacks another that it names; others can."""

    code = "damaged_row"


def laneless(webhook_id: int) -> DamagedRow:
    """Return the error for a webhook whose lane is not there."""
    return DamagedRow(
        f"webhook {webhook_id} is there, and its lane is not: see to the disk,"
        " then restore a backup with 'postbell restore'"
    )


class Overloaded(ServiceError):
    """A bounded queue is full; *retry_after_s* says when to come back."""

    code = "overloaded"
    status = 503
    retryable = True

    def __init__(
        self, message: str, *, retry_after_s: int = 1, reason: str = "", **values: Value
    ) -> None:
        super().__init__(message, reason=reason, **values)
        self.retry_after_s = retry_after_s


class StorageError(ServiceError):
    code = "storage"
    status = 503
    retryable = True


class Unavailable(StorageError):
    """The server that has the database cannot do it now, and may be able to a moment later: who
    reads asks again, and goes on from where it was."""

    code = "unavailable"


class HeadMoved(StorageError):
    """Another process appended after the block that the caller knew as the newest."""

    code = "head_moved"


class TermEnded(StorageError):
    """What only one process does is another's by now; nothing was written."""

    code = "term_ended"


class IdTaken(StorageError):
    """A batch would take the place of another one with its id: a bug of ours, never a race."""

    code = "id_taken"
    retryable = False


class DamagedDatabase(StorageError):
    """The database file, or what lies beside it, is not one whole database; it is not opened."""

    code = "damaged_database"
    retryable = False


class DamagedBlock(StorageError):
    """A block of the log is not as it was written: the disk has changed it.  It is never sent."""

    code = "damaged_block"
    retryable = False

    def __init__(self, message: str, *, block: int = 0, reason: str = "", **values: Value) -> None:
        super().__init__(message, reason=reason, block=block, **values)
        self.block = block


class EngineStopped(StorageError):
    """A commit's fsync failed once; the engine refuses every write until the process restarts."""

    code = "engine_stopped"
    retryable = False


class TakenOver(EngineStopped):
    """Another server has the database now, or it was restored: what this process remembers may
    never have happened there.  It forgets all of it and starts anew."""


UNANSWERED = {
    "dns": "the host name does not resolve",
    "refused_address": "the host's address is inside (private, loopback, special)",
    "connect": "the connection was refused or could not be made",
    "tls": "the TLS handshake or the certificate failed",
    "timeout": "no complete answer within the policy's timeout",
    "reset": "the connection broke before the answer was complete",
    "protocol": "the answer was not HTTP",
    "too_large": "the answer's head was over the limit",
    "busy": "no connection of ours was free in time; the request was not made",
}
"""How an attempt can end without an answer: words of `records.Outcome.error`."""
