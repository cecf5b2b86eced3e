"""The settings of an engine and its server, under the names that a configuration file gives them.

>>> Settings(permit_ttl_seconds=60).core()["permit_ttl_ms"]
60000
>>> read_settings({"estimate": {"share": 2}})
Traceback (most recent call last):
limen.errors.InvalidError: estimate.share: must be from 0 to 1
"""

import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from limen.answers import fields_of, usd_per_unit
from limen.errors import Faults
from limen.resources.reading import BAD, Bad, Reader, boolean, integer, line, list_of, one_of, rate, real
from limen.resources.shape import Body, Field, Null, Shape, nested
from limen.secret import Secret

MAX_TTL_S: Final = 30 * 86_400


class EstimatePolicy(Struct, frozen=True, kw_only=True):
    """What is held for output that nobody has seen yet.

    `output_tokens` where no maximum is stated, at most `share` of every limit that applies; `fit` says
    whether a stated maximum that finds no room is cut (`shrink`) or refused (`deny`).
    """

    output_tokens: int = 1024
    share: float = 0.1
    fit: Literal["shrink", "deny"] = "shrink"


class GatewayToken(Struct, frozen=True, kw_only=True):
    """A `token` of a gateway, under a `name`: with it a call may name a virtual key by id, or none."""

    name: str
    token: Secret


class AdminToken(GatewayToken, frozen=True, kw_only=True):
    """A `token` of an administrator, under a `name`; its `role` is to read only, or to change things too."""

    role: Literal["admin", "read"] = "admin"


class DefaultPrice(Struct, frozen=True, kw_only=True):
    """Dollars a token, for models whose price is not known."""

    input_cost_per_token: Decimal
    output_cost_per_token: Decimal


class Settings(Struct, frozen=True, kw_only=True):
    """What is set for a whole engine, under the names of a configuration file.

    `require_virtual_key`: whether a request without one is refused. `estimate`: what is held for output that
    nobody has seen. `unknown_price`: what becomes of a call whose price is not known; None denies where a
    budget applies, else counts zero; `default_price` takes the price of that name.
    `permit_ttl_seconds`: how long a permit may stay open, and `on_expiry` what becomes of its hold then.
    `max_open_permits`: more are denied. `trust_reported_cost`: whether `reported_cost_usd` is the cost.
    `admin_tokens`, `gateway_tokens`, `allowed_hosts`, `metrics_open`: who may ask the server. `secret_env`:
    environment variables that bodies may name. `usage_flush_ms`: how often usage is written to a store, the
    most that a crash can lose; `history_days`: how long periods that have ended are kept there. Faults are
    InvalidError, when an engine takes them.
    """

    require_virtual_key: bool = True
    estimate: EstimatePolicy = EstimatePolicy()
    unknown_price: Literal["deny", "default_price", "count_zero"] | None = None
    default_price: DefaultPrice | None = None
    permit_ttl_seconds: int = 600
    on_expiry: Literal["charge", "give_back"] = "charge"
    max_open_permits: int = 1_000_000
    trust_reported_cost: bool = False
    admin_tokens: tuple[AdminToken, ...] = ()
    gateway_tokens: tuple[GatewayToken, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    secret_env: tuple[str, ...] = ()
    metrics_open: bool = False
    usage_flush_ms: int = 1000
    history_days: int = 400

    def core(self) -> dict[str, Any]:
        """The resolved facts that decisions depend on."""
        return {
            "require_virtual_key": self.require_virtual_key,
            "estimate_output_tokens": self.estimate.output_tokens,
            "estimate_share": self.estimate.share,
            "fit": self.estimate.fit,
            "unknown_price": self.unknown_price,
            "default_price": self.default_price
            and {word: int(price.scaleb(15)) for word, price in fields_of(self.default_price).items()},
            "permit_ttl_ms": 1000 * self.permit_ttl_seconds,
            "on_expiry": self.on_expiry,
            "max_open_permits": self.max_open_permits,
            "trust_reported_cost": self.trust_reported_cost,
        }


_name: Final = line(256)


def _token(value: object, at: str, faults: Faults) -> Secret | Bad:
    """The text of a token, or that of the environment variable that it names."""
    if isinstance(value, Secret):
        value = value.reveal()
    text = line(4096)(value, at, faults)
    if isinstance(text, Bad):
        return BAD
    if text.startswith("env."):
        found = os.environ.get(text.removeprefix("env."), "").strip()
        if not found:
            faults.add(at, "names an environment variable that is not set")
            return BAD
        text = found
    return Secret(text)


def _tokens(kind: type[GatewayToken]) -> Reader:
    fields = {"name": Field(_name, Null.REFUSED), "token": Field(_token, Null.REFUSED)}
    if kind is AdminToken:
        fields["role"] = Field(one_of("admin", "read"), Null.REFUSED)
    shape = Shape(fields, live=False)

    def read(value: object, at: str, faults: Faults) -> tuple[GatewayToken, ...] | Bad:
        entries: list[Body] | Bad = list_of(nested(shape, create=False))(value, at, faults)
        if isinstance(entries, Bad):
            return BAD
        found: list[GatewayToken] = []
        for index, entry in enumerate(entries):
            for word in ("name", "token"):
                if word not in entry and entry.clean:
                    faults.add(f"{at}[{index}].{word}", "is required")
            if entry.get("name") in [token.name for token in found]:
                faults.add(f"{at}[{index}].name", "is that of another token")
            if "token" in entry and entry["token"].reveal() in [token.token.reveal() for token in found]:
                faults.add(f"{at}[{index}].token", "is that of another entry: which of them asks?")
            if "name" in entry and "token" in entry:
                found.append(kind(**entry))
        return tuple(found)

    return read


def _words(value: object, at: str, faults: Faults) -> tuple[str, ...] | Bad:
    found = list_of(_name)(value, at, faults)
    return BAD if isinstance(found, Bad) else tuple(found)


_PRICE: Final = Shape({word: Field(rate) for word in DefaultPrice.__struct_fields__}, live=False)


def _default_price(value: object, at: str, faults: Faults) -> DefaultPrice | Bad:
    body = _PRICE.read(value, at, faults)
    for word in DefaultPrice.__struct_fields__:
        if word not in body and body.clean:
            faults.add(f"{at}.{word}", "is required")
    if len(body) < len(DefaultPrice.__struct_fields__):
        return BAD
    return DefaultPrice(**{word: usd_per_unit(femto) for word, femto in body.items()})


_ESTIMATE: Final = Shape(
    {
        "output_tokens": Field(integer(0, 2**31 - 1), Null.REFUSED),
        "share": Field(real(0, 1), Null.REFUSED),
        "fit": Field(one_of("shrink", "deny"), Null.REFUSED),
    },
    live=False,
)
_SETTINGS: Final = Shape(
    {
        "require_virtual_key": Field(boolean, Null.REFUSED),
        "estimate": Field(nested(_ESTIMATE, create=False), Null.REFUSED),
        "unknown_price": Field(one_of("deny", "default_price", "count_zero"), Null.VALUE),
        "permit_ttl_seconds": Field(integer(1, MAX_TTL_S), Null.REFUSED),
        "on_expiry": Field(one_of("charge", "give_back"), Null.REFUSED),
        "max_open_permits": Field(integer(1, 100_000_000), Null.REFUSED),
        "trust_reported_cost": Field(boolean, Null.REFUSED),
        "admin_tokens": Field(_tokens(AdminToken), Null.REFUSED),
        "gateway_tokens": Field(_tokens(GatewayToken), Null.REFUSED),
        "allowed_hosts": Field(_words, Null.REFUSED),
        "secret_env": Field(_words, Null.REFUSED),
        "metrics_open": Field(boolean, Null.REFUSED),
        "default_price": Field(_default_price, Null.VALUE),
        "usage_flush_ms": Field(integer(10, 3_600_000), Null.REFUSED),
        "history_days": Field(integer(1, 36_500), Null.REFUSED),
    },
    live=False,
)


def _part_tokens(settings: Settings, body: Body, prefix: str, faults: Faults) -> None:
    """A gateway's token opens no administration, so it must be nobody's who administers.

    The two lists may come from two places; what is refused is what came now.
    """
    word, other = "gateway_tokens", "admin_tokens"
    if word not in body:
        word, other = other, word
    taken = {one.token.reveal() for one in getattr(settings, other)}
    for index, one in enumerate(getattr(settings, word)):
        if one.token.reveal() in taken:
            faults.add(f"{prefix}{word}[{index}].token", f"stands in {other} too: each needs its own")


def merge_settings(value: object, at: str, faults: Faults, old: Settings) -> Settings:
    """Settings after an object of a file, or after a struct: what is left out stays as it is."""
    body = _SETTINGS.read(value, at, faults)
    estimate = body.pop("estimate", None)
    changed = msgspec.structs.replace(old, **body)
    prefix = f"{at}." if at else ""
    _part_tokens(changed, body, prefix, faults)
    if changed.unknown_price == "default_price" and changed.default_price is None and body.clean:
        faults.add(f"{prefix}default_price", "is required where unknown_price is default_price")
    if estimate is None:
        return changed
    return msgspec.structs.replace(changed, estimate=msgspec.structs.replace(old.estimate, **estimate))


def read_settings(value: Settings | Mapping[str, Any] | None) -> Settings:
    """Settings as a caller gives them; InvalidError with the path of what is wrong."""
    faults = Faults()
    found = merge_settings({} if value is None else value, "", faults, Settings())
    faults.check()
    return found
