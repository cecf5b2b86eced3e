"""Virtual keys in a file: they may bring their value (text, or `env.NAME`), or its SHA-256 alone.

A key that brings neither keeps the value that it has; where it is new, it gets one that nobody knows until it
is rotated, and the report says so.
"""

import os
from typing import Final, cast

from limen.errors import Faults
from limen.resources.book import Book, Draft
from limen.resources.reading import BAD, Bad
from limen.resources.records import SecretRow, VirtualKeyRow
from limen.resources.rows import former_rows
from limen.resources.secrets import ENV, check_allowed, secret
from limen.resources.shape import Body, Field, Null, Shape
from limen.resources.virtual_keys import VirtualKeys
from limen.secret import STARS, digest, mask

MAX_VALUE: Final = 256
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def _sha256(value: object, at: str, faults: Faults) -> bytes | Bad:
    """64 hexadecimal digits."""
    if isinstance(value, str) and len(value) == 64 and _HEX.issuperset(value):
        return bytes.fromhex(value)
    faults.add(at, "must be the 64 hexadecimal digits of a SHA-256")
    return BAD


class FileKeys(VirtualKeys):
    """Virtual keys as a file describes them."""

    create_shape = Shape(
        {
            **VirtualKeys.create_shape.fields,
            "value": Field(secret, Null.UNCHANGED),
            "value_sha256": Field(_sha256, Null.UNCHANGED),
        },
        fixed=tuple(VirtualKeys.create_shape.fixed - {"value"}),
    )

    def __init__(self, book: Book) -> None:
        super().__init__(book)
        self._given: dict[str, tuple[str | None, bytes]] = {}
        self._met: dict[bytes, str] = {}
        self._nameless: set[str] = set()
        self._owners: dict[bytes, str] | None = None

    def merge(
        self, old: VirtualKeyRow | None, body: Body, at: str, draft: Draft, id: str, create: bool
    ) -> VirtualKeyRow | None:
        record = super().merge(old, body, at, draft, id, create)
        given = self._read_value(body, at, draft)
        if given is not None:
            first = self._met.setdefault(given[1], at)
            word = "value" if "value" in body else "value_sha256"
            if first != at:
                draft.faults.add(f"{at}{word}", f"is that of {first[:-1]}", "conflict")
            elif self._kept_owner(given[1]) not in (None, id):
                draft.faults.add(f"{at}{word}", "is that of another virtual key", "conflict")
            self._given[id] = given
        return record

    def _kept_owner(self, sha256: bytes) -> str | None:
        """The key that has this value already. Made once a load: nobody else asks for keys by their hash."""
        if self._owners is None:
            self._owners = {}
            for id in self.book.records["virtual_key"]:
                kept = cast("VirtualKeyRow", self.book.get("virtual_key", id))
                self._owners[kept.sha256] = id
                self._owners.update((former.sha256, id) for former in kept.former)
        return self._owners.get(sha256)

    def _read_value(self, body: Body, at: str, draft: Draft) -> tuple[str | None, bytes] | None:
        stated: SecretRow | None = body.get("value")
        sha256: bytes | None = body.get("value_sha256")
        if stated is None:
            return None if sha256 is None else (None, sha256)
        before = len(draft.faults)
        if sha256 is not None:
            draft.faults.add(f"{at}value_sha256", "stands beside value: one of the two is enough")
        check_allowed(stated, draft.secret_env, f"{at}value", draft.faults)
        value = stated.text.reveal()
        if stated.from_env and len(draft.faults) == before:
            value = os.environ.get(value.removeprefix(ENV), "").strip()
            if not value:
                draft.faults.add(f"{at}value", "names an environment variable that is not set")
        if len(draft.faults) > before:
            return None
        if len(value) > MAX_VALUE or not value.isascii() or not value.isprintable() or " " in value:
            words = f"must be 1 to {MAX_VALUE} printable characters of ASCII without spaces"
            draft.faults.add(f"{at}value", words)
            return None
        return value, digest(value)

    def take_value(self, record: VirtualKeyRow, draft: Draft) -> None:
        """Give the record the value of its entry, if that has one and it is another than the record's."""
        value, sha256 = self._given.get(record.id, (None, record.sha256))
        if sha256 == record.sha256:
            return
        record.sha256, record.mask = sha256, STARS if value is None else mask(value)
        # It may have been rotated out by hand; set back, it is good without an end.
        record.former = [row for row in record.former if row.sha256 != sha256]
        draft.credentials[record.id] = [
            {"value": value, "sha256": None if value is not None else sha256, "until_ms": None},
            *former_rows(record),
        ]

    def complete(self, record: VirtualKeyRow, draft: Draft) -> None:
        if not record.sha256:
            self._nameless.add(record.id)
        super().complete(record, draft)

    def warn(self, record: VirtualKeyRow, draft: Draft) -> list[str]:
        found = super().warn(record, draft)
        if record.id in self._nameless:
            found.append("value is left out: nobody knows it until the key is rotated")
        return found
