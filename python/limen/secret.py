"""Secrets: a type whose every text form is the mask, and the making of virtual keys.

>>> Secret("a provider's key that is long enough")
Secret('********ough')
>>> f"{Secret('short')}"
'********'
"""

import hashlib
import os
import zlib
from typing import Final

STARS: Final = "********"
PREFIX: Final = "sk-bf-"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VARIANT: Final = "89ab"
_LONG: Final = 20


def mask(value: str) -> str:
    """Stars, and the last four characters where the value is so long that they give nothing away."""
    return STARS + value[-4:] if len(value) >= _LONG else STARS


class Secret:
    """A text that is read by `reveal()` alone; printed or formatted it is its mask."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __str__(self) -> str:
        return mask(self._text)

    def __repr__(self) -> str:
        return f"Secret({mask(self._text)!r})"

    def __format__(self, spec: str) -> str:
        return format(mask(self._text), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def new_virtual_key() -> str:
    """`sk-bf-`, 256 random bits in 43 digits of base 62, and 6 digits of their CRC-32.

    The checksum lets a scanner for leaked keys tell a real one from a look-alike; it protects nothing.
    """
    body = _base62(int.from_bytes(os.urandom(32), "big"), 43)
    return PREFIX + body + _base62(zlib.crc32(body.encode()), 6)


def digest(value: str) -> bytes:
    """What is kept of a virtual key: its SHA-256. The value has 256 random bits, so no salt is needed."""
    return hashlib.sha256(value.encode()).digest()


def new_id() -> str:
    """A random UUID (version 4) as text."""
    text = os.urandom(16).hex()
    variant = _VARIANT[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
