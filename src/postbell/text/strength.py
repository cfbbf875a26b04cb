"""How hard a key that somebody chose is to guess: bits, estimated low rather than high.

No dictionary: what looks made by a person (words, runs, repeats, dates) counts little, the rest
as if it were drawn from the alphabet that its kinds of letters come from.  Too low an estimate
costs a slower check, too high a one the key.
"""

import math
import re
from itertools import pairwise

STRONG_BITS = 128.0
WORD_BITS = 2.0
"""A letter of a word: English text is said to have 1 to 2 (Shannon, 1951), a word drawn from a
list of 7776 (diceware) 12.9 bits in 4 to 6 letters."""
DIGIT_BITS = math.log2(10)
"""A digit, or another sign, between words."""
PATTERN_BITS = 0.5
SLACK = 3
"""A third of the letters may look like words or patterns by chance: then all count in full."""
FEW_LETTERS = 8

_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_BITS = 122.0
_WORD = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_VOWEL = re.compile(r"[aeiouyAEIOUY]")
_KINDS = ((re.compile(r"[0-9]"), 10), (re.compile(r"[a-z]"), 26), (re.compile(r"[A-Z]"), 26))
_SYMBOLS = 33
_COPY = 4


def is_weak(key: str) -> bool:
    """Return whether *key* could be guessed from a fast hash of it."""
    return bits_of(key) < STRONG_BITS


def was_weak(key: str) -> bool:
    """Return whether an older release took *key* for weak, and made a slow hash of it."""
    return len(key) < 24 or len(set(key)) < FEW_LETTERS


def bits_of(key: str) -> float:
    """Return how many bits of chance *key* has, at least."""
    if not key:
        return 0.0
    if _UUID.fullmatch(key):
        return _UUID_BITS
    is_hex = _HEX.fullmatch(key) is not None
    full = math.log2(16 if is_hex else _alphabet(key))
    variety = len(set(key))
    if variety < FEW_LETTERS:
        full = math.log2(variety)
    patterned = _patterned(key)
    words = set() if is_hex else _in_words(key)
    if len(patterned | words) * SLACK <= len(key):
        return full * len(key)
    letters = sum(map(str.isalpha, key))
    is_text = len(words) * 2 > letters
    bits = (
        PATTERN_BITS
        if at in patterned
        else WORD_BITS
        if at in words or (is_text and one.isalpha())
        else DIGIT_BITS
        if is_text
        else full
        for at, one in enumerate(key)
    )
    return min(full * len(key), sum(bits))


def _alphabet(key: str) -> int:
    """Return of how many letters those kinds have that occur in *key*."""
    size = 0
    rest = key
    for kind, letters in _KINDS:
        rest, found = kind.subn("", rest)
        size += letters if found else 0
    return max(size + (_SYMBOLS if rest else 0), 2)


def _in_words(key: str) -> set[int]:
    words = (word for word in _WORD.finditer(key) if _VOWEL.search(word[0]))
    return {at for word in words for at in range(*word.span())}


def _patterned(key: str) -> set[int]:
    """Return the places of letters that those before them foretell: runs of equal or counting
    letters, and copies of what stood before."""
    found: set[int] = set()
    steps = [ord(after) - ord(before) for before, after in pairwise(key)]
    for at in range(2, len(key)):
        if steps[at - 1] == steps[at - 2] and abs(steps[at - 1]) <= 1:
            found.add(at)
    folded = key.casefold()[: len(key)]
    for at in range(1, len(folded) - _COPY + 1):
        if folded.find(folded[at : at + _COPY], 0, at + _COPY - 1) >= 0:
            found.update(range(at, at + _COPY))
    return found
