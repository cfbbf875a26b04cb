"""What a mail server asks: whether an address is suppressed, before it takes a mail for it."""

from postbell.mta.lookup import answering

__all__ = ["answering"]
