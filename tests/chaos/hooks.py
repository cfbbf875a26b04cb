"""The webhooks of a chaos run, each with the habit of its receiver: one row each."""

from typing import NamedTuple

from tests.chaos import plan
from tests.chaos.receivers import LATE_TIMEOUT_S
from tests.chaos.witness import Hook

PATIENT: list[float] = [0.2] * 50
"""Waits that outlive every spell of failures; the run must converge, not park."""
BRIEF: list[float] = [0.2] * 4
CARRIED = frozenset(("delivered", "open", "click", "soft_bounce", "unsubscribe"))
"""What sendpulse and engagelab have words for, of the plan's types."""


class Row(NamedTuple):
    hook: Hook
    habit: str


ROWS = (
    Row(
        Hook("native-healthy", "native", {"max_events": 500, "max_wait_s": 0.2}),
        "healthy",
    ),
    Row(
        Hook(
            "native-ordered",
            "native",
            {"max_events": 60, "max_wait_s": 0.1, "ordered": True, "retry_waits_s": PATIENT},
            first_in_order=True,
            always_in_order=True,
        ),
        "failing",
    ),
    Row(
        Hook(
            "native-one-by-one",
            "native",
            {"max_events": 400, "max_wait_s": 0.1, "concurrency": 1, "retry_waits_s": PATIENT},
            first_in_order=True,
        ),
        "slow",
    ),
    Row(
        Hook(
            "native-failing",
            "native",
            {"max_events": 100, "max_wait_s": 0, "retry_waits_s": PATIENT},
        ),
        "failing",
    ),
    Row(
        Hook(
            "native-cutting",
            "native",
            {"max_events": 150, "max_wait_s": 0.3, "retry_waits_s": PATIENT},
            types=("delivered", "open", "inbound"),
        ),
        "cutting",
    ),
    Row(
        Hook(
            "native-late",
            "native",
            {
                "max_events": 100,
                "max_wait_s": 0.1,
                "timeout_s": LATE_TIMEOUT_S,
                "retry_waits_s": PATIENT,
            },
        ),
        "late",
    ),
    Row(
        Hook(
            "native-ambiguous",
            "native",
            {
                "max_events": 70,
                "max_wait_s": 0.1,
                "timeout_s": LATE_TIMEOUT_S,
                "retry_waits_s": PATIENT,
            },
        ),
        "ambiguous",
    ),
    Row(
        Hook(
            "native-poison",
            "native",
            {"max_events": 300, "max_wait_s": 0.3, "timeout_s": 60, "retry_waits_s": BRIEF},
            poison_status=400,
        ),
        "healthy",
    ),
    Row(
        Hook(
            "native-revised",
            "native",
            {"max_events": 90, "max_wait_s": 0.1, "concurrency": 1, "retry_waits_s": PATIENT},
            first_in_order=True,
            is_revised=True,
        ),
        "wavering",
    ),
    Row(
        Hook(
            "sendpulse-wavering",
            "sendpulse",
            {"max_events": 80, "max_wait_s": 0.2, "retry_waits_s": PATIENT},
            api_user="second",
        ),
        "wavering",
    ),
    Row(
        Hook(
            "sendpulse-poison-ordered",
            "sendpulse",
            {
                "max_events": 200,
                "max_wait_s": 0.2,
                "timeout_s": 60,
                "retry_waits_s": BRIEF,
                "ordered": True,
            },
            poison_status=422,
            first_in_order=True,
            always_in_order=True,
        ),
        "healthy",
    ),
    Row(
        Hook(
            "engagelab-failing",
            "engagelab",
            {"retry_waits_s": PATIENT},
            types=("delivered",),
        ),
        "failing",
    ),
    Row(
        Hook(
            "engagelab-one-by-one",
            "engagelab",
            {"retry_waits_s": PATIENT, "concurrency": 1},
            types=("unsubscribe",),
            first_in_order=True,
        ),
        "cutting",
    ),
    Row(
        Hook(
            "engagelab-ambiguous",
            "engagelab",
            {"retry_waits_s": PATIENT, "timeout_s": LATE_TIMEOUT_S},
            types=("click",),
        ),
        "ambiguous",
    ),
    Row(
        Hook(
            "engagelab-poison",
            "engagelab",
            {"retry_waits_s": BRIEF, "timeout_s": 60},
            types=("delivered", "click"),
            poison_status=400,
        ),
        "healthy",
    ),
)


def wants(hook: Hook, number: int) -> bool:
    """Say whether an event is one that the webhook asked for and its dialect has a word for."""
    kind = plan.type_of(number)
    return (
        (hook.types is None or kind in hook.types)
        and (hook.dialect == "native" or kind in CARRIED)
        and hook.api_user in ("all", plan.api_user_of(number))
    )
