"""Secrets at rest: literal secrets of provider keys are encrypted where there is a key to do it with.

AES-256-GCM, a nonce per value; kind, id and field are authenticated with it, so that no value can be moved to
another place. Names of environment variables stay readable: they are no secrets.
"""

import base64
import binascii
import logging
import os
from collections.abc import Callable
from typing import Any, Final, cast

from limen.errors import fault
from limen.resources.records import Kind, ProviderKeyRow, SecretRow, pack, unpack
from limen.secret import Secret

KEY: Final = "LIMEN_SECRET_KEY"
KEY_FILE: Final = "LIMEN_SECRET_KEY_FILE"
_NONCE: Final = 12
_LOG: Final = logging.getLogger("limen")


class Vault:
    """Seals and opens with a key of 32 bytes; without one it leaves everything as it is."""

    def __init__(self, key: bytes | None) -> None:
        self._cipher: Any = None
        if key is None:
            return
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            words = "encrypting secrets needs the secrets extra: pip install 'limen[secrets]'"
            raise fault("store_refused", words) from None
        self._cipher = AESGCM(key)

    @property
    def seals(self) -> bool:
        """Whether there is a key to encrypt with."""
        return self._cipher is not None

    def seal(self, kind: Kind, id: str, data: bytes) -> tuple[bool, bytes]:
        """What is written of a packed record, and whether secrets in it are encrypted."""
        if self._cipher is None or kind != "provider_key":
            return False, data
        return _changed(kind, data, lambda field, text: self._encrypt(_place(kind, id, field), text))

    def unseal(self, kind: Kind, id: str, data: bytes) -> bytes:
        """The packed record again, of one whose secrets are encrypted."""
        if self._cipher is None:
            raise fault("store_refused", f"holds encrypted secrets: set {KEY} or {KEY_FILE} to their key")
        return _changed(kind, data, lambda field, text: self._decrypt(_place(kind, id, field), text))[1]

    def _encrypt(self, place: bytes, text: str) -> str:
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, text.encode("utf-8", "surrogatepass"), place)
        return base64.b64encode(nonce + sealed).decode()

    def _decrypt(self, place: bytes, text: str) -> str:
        from cryptography.exceptions import InvalidTag

        try:
            sealed = base64.b64decode(text, validate=True)
            found: bytes = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
        except (InvalidTag, ValueError):
            words = f"holds secrets that this key does not open: {KEY} is not the one they were written with"
            raise fault("store_refused", words) from None
        return found.decode("utf-8", "surrogatepass")


def _place(kind: Kind, id: str, field: str) -> bytes:
    return f"{kind}\0{id}\0{field}".encode()


def _changed(kind: Kind, data: bytes, change: Callable[[str, str], str]) -> tuple[bool, bytes]:
    """The packed record with every literal secret changed; whether there was one."""
    record = cast("ProviderKeyRow", unpack(kind, data))
    literal = {field: row for field, row in record.secrets.items() if not row.from_env}
    for field, row in literal.items():
        record.secrets[field] = SecretRow(Secret(change(field, row.text.reveal())), from_env=False)
    return bool(literal), pack(record) if literal else data


def vault_of_environment() -> Vault:
    """The vault of the key that the environment names; without one a warning says what that means."""
    text, file = os.environ.get(KEY), os.environ.get(KEY_FILE)
    if text and file:
        raise fault("invalid_request", f"stands beside {KEY_FILE}: one of the two is enough", KEY)
    name = KEY if text else KEY_FILE
    if file:
        try:
            with open(file, encoding="ascii") as lines:
                text = lines.read(1024)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not text"
            raise fault("invalid_request", f"cannot be read: {reason}", KEY_FILE) from None
    if not text:
        _LOG.warning("literal secrets of provider keys are stored unencrypted: no %s, no %s", KEY, KEY_FILE)
        return Vault(None)
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise fault("invalid_request", "must be 32 bytes in base64", name)
    return Vault(key)
