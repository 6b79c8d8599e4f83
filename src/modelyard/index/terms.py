"""The keys of the index's sets.

    a filter  "type=lora", "tag=anime"      →  a 63-bit digest of the text, from 2^62 up
    a gram    1 to 3 bytes of folded UTF-8  →  length << 24 | bytes, below 2^26

    a gram of the further text              →  the same with bit 26 set

All live in one sorted array of 64-bit keys. Grams are of bytes, not of characters: UTF-8 synchronises itself, so bytes
occur in bytes exactly where characters occur in characters, and numpy cuts bytes millions at a time. One CJK character
is one gram of three bytes, found without walking.
"""

import hashlib
from functools import lru_cache

GRAM_MAX = 3
FILTER_KEY_MIN = 1 << 62
# Added to the key of a gram: the rows whose further text has it, and whose text has not (``fulltext``).
FURTHER = 1 << 26
_PRIME = 2**61 - 1


@lru_cache(maxsize=16_384)
def filter_key(name: str) -> int:
    """Return the key of a filter such as ``type=lora``.

    It is a digest of 62 bits: among a million distinct filters, two collide with a chance of one in 10 million.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 2 | FILTER_KEY_MIN


def hash_key(digits: str) -> int:
    """Return the key of a hexadecimal file hash, computed from all its digits and their number, below 2^61.

    A remainder by a prime is four times cheaper than a digest, and a catalogue has five hashes a model. The keys of two
    hashes collide as rarely as any 61 bits; a change of any digit changes the key.
    """
    return (int(digits, 16) * 67 + len(digits)) % _PRIME


def group_key(name: str) -> int:
    """Return the key of a version group; 0 for the empty name of no group."""
    return filter_key(f"group={name}") if name else 0


def file_name_key(file_name: str) -> int:
    """Return the key of a file's name, among those of hashes. The name is folded, so upper case does not matter.

    It is a digest of 61 bits, so the keys of two names, or of a name and a hash, collide as rarely as two hashes.
    """
    digest = hashlib.blake2b(b"name " + file_name.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % _PRIME


def gram_keys(term: bytes) -> list[int]:
    """Return the keys of the grams that every text containing ``term`` has: the term itself, or all its trigrams."""
    size = min(len(term), GRAM_MAX)
    head = size << 24
    return list(dict.fromkeys(head | int.from_bytes(term[at : at + size]) for at in range(len(term) - size + 1)))
