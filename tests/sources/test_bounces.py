"""What makes a hard bounce, and that a failure heard of twice is one event."""

import pytest

from postbell.events import EventType
from postbell.failures import reply_of
from postbell.sources.bounces import final_id, judged

HARD, SOFT = "hard", "soft"


@pytest.mark.parametrize(
    ("said", "hardness", "name", "rule"),
    [
        ("550 5.1.1 User unknown", HARD, "userunknown", "enh-5.1.1"),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound", HARD, "hostunknown", "enh-5.1.10"),
        ("550 5.1.0 Address rejected", HARD, "userunknown", "enh-5.1.0"),
        ("550 5.1.2 Bad destination", HARD, "hostunknown", "enh-5.1.2"),
        ("553 5.1.3 Bad address", HARD, "syntax", "enh-5.1.3"),
        ("550 5.1.7 Bad sender", SOFT, "senderrejected", "enh-5.1.7"),
        ("550 5.1.8 Sender rejected", SOFT, "senderrejected", "enh-5.1.8"),
        ("554 5.4.4 Host not found", HARD, "hostunknown", "enh-5.4.4"),
        ("550 5.2.1 Disabled", HARD, "suspend", "enh-5.2.1"),
        ("552 5.2.2 Mailbox full", SOFT, "mailboxfull", "enh-5.2.2"),
        ("552 5.2.3 Too large", SOFT, "mesgtoobig", "enh-5.2.3"),
        ("550 5.7.1 user unknown to our policy", SOFT, "policyviolation", "enh-5.7.1"),
        ("550 5.7.1 looks like spam", SOFT, "spamdetected", "text-spamdetected"),
        ("550 5.4.1 Recipient address rejected: Access denied", HARD, "userunknown", None),
        ("451 4.4.7 Delivery time expired", SOFT, "expired", "enh-4.4.7"),
        ("450 4.1.1 User unknown", SOFT, "userunknown", "enh-4.1.1"),
        ("550 no such user here", HARD, "userunknown", "text-userunknown"),
        ("550 5.0.0 no such user here", HARD, "userunknown", "text-userunknown"),
        ("550 no", SOFT, "undetermined", "code-550"),
        ("553 no", SOFT, "syntax", "code-553"),
        ("mailbox full", SOFT, "mailboxfull", "text-mailboxfull"),
        ("", SOFT, "undetermined", "none"),
    ],
)
def test_what_a_reply_makes(said: str, hardness: str, name: str, rule: str | None) -> None:
    found = judged(reply_of(None, None, said), "oob")

    kind = EventType.HARD_BOUNCE if hardness == HARD else EventType.SOFT_BOUNCE
    assert (kind, hardness, name) == (found.type, found.bounce.type, found.bounce.class_)
    assert rule is None or rule == found.bounce.rule_id
    assert found.bounce.origin == "oob"


def test_the_id_is_of_message_and_recipient_alone() -> None:
    one = final_id("a@b.example", "Bob@X.example")

    assert one == final_id(" <a@b.example> ", "Bob@x.EXAMPLE")
    assert one != final_id("a@b.example", "bob@x.example")
    assert one != final_id("c@b.example", "Bob@X.example")
    assert final_id("<>", "a@b.example") is None is final_id(None, "a@b.example")
