"""Virtual keys in a file: they may bring their value (text, or `env.NAME`), or its SHA-256 alone."""

import os
from typing import Any, Final

from limen.errors import Faults
from limen.resources.book import Draft
from limen.resources.reading import BAD, Bad
from limen.resources.records import SecretRow, VirtualKeyRow
from limen.resources.secrets import ENV, check_allowed, secret
from limen.resources.shape import Body, Field, Null, Shape
from limen.resources.virtual_keys import VirtualKeys
from limen.secret import STARS, Secret, digest, mask

MAX_VALUE: Final = 256


def _sha256(value: object, at: str, faults: Faults) -> bytes | Bad:
    """64 hexadecimal digits."""
    if isinstance(value, str) and len(value) == 64:
        try:
            return bytes.fromhex(value) if value.isalnum() else BAD
        except ValueError:
            pass
    faults.add(at, "must be the 64 hexadecimal digits of a SHA-256")
    return BAD
