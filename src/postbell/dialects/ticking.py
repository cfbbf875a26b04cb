"""What a customer ticks for a webhook: a provider's words, each with the types it tells."""

from collections.abc import Collection, Mapping

from postbell.events import TYPES, EventType
from postbell.ports import Tick


def by_word(words: Mapping[EventType, str], *, further: Collection[str] = ()) -> list[Tick]:
    """Return the words in the order of the table, types that share one together; *further* are
    words that the provider's own form does not offer."""
    found: dict[str, tuple[EventType, ...]] = {}
    for kind, word in words.items():
        found[word] = (*found.get(word, ()), kind)
    return [Tick(word, types, word in further) for word, types in found.items()]


def by_type(carried: Collection[EventType]) -> list[Tick]:
    """Return each type as its own word, in the taxonomy's order."""
    return [Tick(row.type.value, (row.type,)) for row in TYPES if row.type in carried]
