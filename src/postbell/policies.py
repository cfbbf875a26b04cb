"""What the members of a policy may be, in one table; and the policy in force for a webhook: its
dialect's, the installation's, its own, in that order.

The checks, the API's form and document, the pages, the command line and the reference read MEMBERS.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Annotated, Any, Literal, NamedTuple, assert_never, get_type_hints

import msgspec
from msgspec import Meta

from postbell.errors import BadInput
from postbell.ports import Dialect
from postbell.records import Policy, Revision, Webhook

ANY_2XX = "2xx"


class Box(Enum):
    """What is written into the box of a member."""

    WHOLE = auto()
    NUMBER = auto()
    FLAG = auto()
    CODES = auto()
    WAITS = auto()


class Member(NamedTuple):
    """One member: what it means, and its range from *low* to *high* in *unit*.

    A number but 0 is at least *least*.  Of a list each entry is in the range, and it has at most
    *most*, 0 for no limit; *word* stands for an empty one, "" where none does.
    """

    name: str
    meaning: str
    low: float = 0
    high: float = 0
    unit: str = ""
    least: float = 0
    most: int = 0
    word: str = ""

    @property
    def box(self) -> Box:
        return _BOXES[_TYPES[self.name]]

    @property
    def expected(self) -> str:
        """Return what it may be, for people."""
        span = f"{self.low:g} to {self.high:.10g}"
        match self.box:
            case Box.FLAG:
                return "true or false"
            case Box.CODES:
                word = f', or "{self.word}"' if self.word else ""
                return f"a list of {self.unit} of {span}{word}"
            case Box.WAITS:
                return f"a list of at most {self.most} waits of {span} {self.unit}"
            case Box.WHOLE | Box.NUMBER:
                least = f", at least {self.least:g}, or 0 for no limit" if self.least else ""
                return f"{span} {self.unit}{least}"
            case other:
                assert_never(other)

    @property
    def wire_type(self) -> Any:
        """Return its type as APIs take and show it, with its range."""
        span = Meta(ge=self.low, le=self.high)
        match self.box:
            case Box.FLAG:
                return bool
            case Box.WHOLE:
                return Annotated[int, span]
            case Box.NUMBER:
                gap = {"not": {"exclusiveMinimum": 0, "exclusiveMaximum": self.least}}
                more = Meta(extra_json_schema=gap if self.least else {})
                return Annotated[float, span, more]
            case Box.CODES:
                codes = list[Annotated[int, span]]
                return codes | Literal["2xx"] if self.word else codes
            case Box.WAITS:
                return Annotated[list[Annotated[float, span]], Meta(max_length=self.most)]
            case other:
                assert_never(other)

    def holds(self, number: float) -> bool:
        """Say whether a number, or an entry of a list, is in the range."""
        return self.low <= number <= self.high and not 0 < number < self.least

    def refusal(self, value: Any) -> BadInput:
        """Return the error for a value of another kind, or a list out of its range."""
        box = self.box
        expected = "a whole number" if box is Box.WHOLE else self.expected
        return BadInput(
            f"policy.{self.name} is {str(value)[:60]}; {expected}{',' * bool(self.word)} expected",
            member=f"policy.{self.name}",
            reason="success_codes" if self.word else _REASONS.get(box, "number_kind"),
            low=self.low,
            high=self.high,
            most=self.most,
            days=self.high / 86_400,
        )


_TYPES = get_type_hints(Policy)
_BOXES = {
    int: Box.WHOLE,
    float: Box.NUMBER,
    bool: Box.FLAG,
    tuple[int, ...]: Box.CODES,
    tuple[float, ...]: Box.WAITS,
}
_REASONS: Mapping[Box, str] = {
    Box.FLAG: "flag",
    Box.CODES: "status_codes",
    Box.WAITS: "waits_range",
}
MEMBERS = (
    Member("max_events", "how many events a batch carries at most", 1, 10_000, "events"),
    Member("max_wait_s", "how long the oldest event waits for others", 0, 3600, "seconds"),
    Member("max_bytes", "how long a body of several events is at most", 1024, 16 << 20, "bytes"),
    Member("timeout_s", "how long an answer may take", 0.1, 120, "seconds"),
    Member("success", "the answers that mean success", 200, 599, "status codes", word=ANY_2XX),
    Member("refused", "the answers that park a batch at once", 200, 599, "status codes"),
    Member(
        "retry_waits_s",
        "the waits between attempts; after the last one a batch is parked",
        0,
        7 * 86_400,
        "seconds",
        most=50,
    ),
    Member("concurrency", "how many batches are sent at once", 1, 256, "requests at once"),
    Member("ordered", "one batch at a time, in order"),
    Member("rate_per_s", "how fast batches are sent", 0, 100_000, "requests a second", 0.001),
    Member("keep_parked_days", "how long a parked batch is kept", 0, 3650, "days"),
    Member(
        "split_failing",
        "the last attempts of a batch split it whatever the failure is, while others are taken",
    ),
)
BY_NAME: Mapping[str, Member] = {row.name: row for row in MEMBERS}


_Members: Any = msgspec.defstruct(
    "_Members",
    [(row.name, Annotated[row.wire_type, Meta(description=row.meaning)]) for row in MEMBERS],
    frozen=True,
)


class PolicyView(_Members):  # type: ignore[misc]  # its members are the table's
    """How batches are cut, sent and tried again."""


def check_members(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return policy members in their stored form; raise BadInput that names the wrong one.

    An empty list is stored where its word was given, and of each status code one.
    """
    for name, value in members.items():
        if name not in BY_NAME:
            raise BadInput(
                f"no policy member {name!r}; known: {', '.join(BY_NAME)}",
                member=f"policy.{name}",
                reason="unknown_member",
                given=name,
            )
        if BY_NAME[name].box in (Box.WHOLE, Box.NUMBER):
            _check_number(BY_NAME[name], value)
    checked = {
        n: () if value and value == BY_NAME[n].word else value for n, value in members.items()
    }
    try:
        policy = msgspec.convert(checked, Policy)
    except msgspec.ValidationError as error:
        path = str(error).partition(" - at `$.")[2]
        name = path.rstrip("`").partition("[")[0]
        raise BY_NAME[name].refusal(members[name]) from None
    for name in members:
        row, found = BY_NAME[name], getattr(policy, name)
        is_long = row.most and len(found) > row.most
        if row.box in (Box.CODES, Box.WAITS) and (is_long or not all(map(row.holds, found))):
            raise row.refusal(members[name])
    built: dict[str, Any] = msgspec.to_builtins(policy)
    codes = [row.name for row in MEMBERS if row.box is Box.CODES]
    built |= {name: tuple(dict.fromkeys(built[name])) for name in codes}
    return {name: built[name] for name in members}


def _check_number(row: Member, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and row.holds(value):
        return
    raise BadInput(
        f"policy.{row.name} is {value!r}; {row.expected} expected",
        member=f"policy.{row.name}",
        reason="number_range",
        low=row.least if is_number and 0 < value < row.least else row.low,
        high=row.high,
    )


def effective(
    dialect: Dialect,
    options: Mapping[str, Any],
    installation: Mapping[str, Any],
    own: Mapping[str, Any],
) -> Policy:
    """Return the policy in force; *installation* and *own* hold checked members only."""
    base: dict[str, Any] = msgspec.to_builtins(dialect.policy(options))
    return msgspec.convert(base | dict(installation) | dict(own), Policy)


def of_webhook(
    webhook: Webhook,
    dialects: Mapping[str, Dialect],
    installation: Mapping[str, Mapping[str, Any]],
) -> Policy:
    """Return the policy in force for *webhook*; *installation* maps dialects to members."""
    return effective(
        dialects[webhook.dialect],
        webhook.options,
        installation.get(webhook.dialect, {}),
        webhook.policy,
    )


def on_wire(policy: Policy) -> PolicyView:
    """Return the policy as APIs and the CLI show it."""
    found = {row.name: getattr(policy, row.name) or row.word for row in MEMBERS if row.word}
    return PolicyView(**msgspec.structs.asdict(policy) | found)


def of_revision(
    policy: Policy, webhook: Webhook, revision: Revision, dialects: Mapping[str, Dialect]
) -> Policy:
    """Return the policy in force for batches of a revision: those of an older one are at most as
    large as its own dialect makes them by default, which may not be able to write larger ones."""
    if revision.number == webhook.revisions[-1].number:
        return policy
    most = dialects[revision.dialect].policy(revision.options).max_events
    return msgspec.structs.replace(policy, max_events=min(policy.max_events, most))
