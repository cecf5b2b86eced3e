"""What is kept of each entity: its configuration and its times, without usage (the core counts that).

A record lives as one block of msgpack bytes and is decoded when it is looked at: a million keys then cost a
few hundred bytes each. The collector of cycles has nothing to walk in them, nor in decoded ones, which hold
no cycles. Money is integer nano-dollars (a price per unit: femto-dollars), times are milliseconds since the
epoch. `origin` is the fingerprint of the configuration that a file gave, None where no file ever had the
entity.
"""

import hashlib
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from limen.bodies import MatchType, OverrideScope, PricedType, RuleScope
from limen.secret import Secret

Kind: TypeAlias = Literal[
    "customer",
    "team",
    "provider",
    "provider_key",
    "virtual_key",
    "model_config",
    "routing_rule",
    "pricing_override",
]
KINDS: Final[tuple[Kind, ...]] = (
    "customer",
    "team",
    "provider",
    "provider_key",
    "virtual_key",
    "model_config",
    "routing_rule",
    "pricing_override",
)
"""In an order in which each kind refers to those before it only."""


class BudgetRow(Struct, array_like=True, gc=False):
    """A budget: nano-dollars per duration. Number, anchor and since: see `anchors`."""

    id: str
    nano_usd: int
    per: str
    aligned: bool
    created: int
    updated: int
    number: int = 0
    anchor: int = 0
    since: int = 0


class RateRow(Struct, array_like=True, gc=False):
    """A rate limit; None for the maximum and the duration of a kind that is not limited.

    Number, anchors and since: see `anchors`.
    """

    id: str
    tokens: int | None
    token_per: str | None
    requests: int | None
    request_per: str | None
    window: Literal["fixed", "sliding"]
    created: int
    updated: int
    number: int = 0
    token_anchor: int = 0
    request_anchor: int = 0
    token_since: int = 0
    request_since: int = 0


class Record(Struct, array_like=True, gc=False, kw_only=True):
    """What every entity has. `id` is text and never changes; `row` rises in the order of making."""

    id: str
    created: int
    updated: int
    origin: bytes | None = None
    row: int = 0


class _Head(Struct, array_like=True, gc=False):
    """The first fields of every record, for reading them without the rest."""

    id: str
    created: int
    updated: int
    origin: bytes | None
    row: int


class Owner(Record, array_like=True, gc=False, kw_only=True):
    """An entity that owns limits; the first budget is its `budget`."""

    budgets: list[BudgetRow] = []
    rate: RateRow | None = None


class CustomerRow(Owner, array_like=True, gc=False, kw_only=True):
    """A customer."""

    name: str


class TeamRow(Owner, array_like=True, gc=False, kw_only=True):
    """A team, and the free-form objects that a caller keeps with it."""

    name: str
    customer_id: str | None = None
    profile: dict[str, Any] = {}
    config: dict[str, Any] = {}
    claims: dict[str, Any] = {}


class ProviderRow(Owner, array_like=True, gc=False, kw_only=True):
    """A provider. Its id is its name; `number` is what answers call provider_id."""

    number: int

    @property
    def name(self) -> str:
        return self.id


class SecretRow(Struct, array_like=True, gc=False, frozen=True):
    """A secret: the text, or the name of an environment variable."""

    text: Secret
    from_env: bool


class ProviderKeyRow(Record, array_like=True, gc=False, kw_only=True):
    """A provider's API key. Its id is the key_id; `number` is what answers call id."""

    number: int
    name: str
    provider: str
    models: list[str]
    weight: float | None
    enabled: bool
    batch: bool
    secrets: dict[str, SecretRow]


class ProviderConfigRow(Struct, array_like=True, gc=False):
    """A provider that a virtual key may use; `key_ids` None is any key."""

    id: int
    provider: str
    weight: float | None
    models: list[str]
    key_ids: list[str] | None
    budgets: list[BudgetRow]
    rate: RateRow | None


class McpRow(Struct, array_like=True, gc=False):
    """An MCP client that a virtual key may use."""

    id: int
    client: str
    tools: list[str]


class FormerRow(Struct, array_like=True, gc=False):
    """A value that was rotated out and is still good for a while."""

    sha256: bytes
    until: int


class VirtualKeyRow(Owner, array_like=True, gc=False, kw_only=True):
    """A virtual key. Of its value only the SHA-256 and the mask are kept."""

    name: str
    description: str = ""
    active: bool = True
    expires: int | None = None
    team_id: str | None = None
    customer_id: str | None = None
    providers: list[ProviderConfigRow] = []
    mcp: list[McpRow] = []
    sha256: bytes
    mask: str
    former: list[FormerRow] = []


class ModelConfigRow(Owner, array_like=True, gc=False, kw_only=True):
    """Limits of a model, on one provider or on all."""

    model_name: str
    provider: str | None = None


class TargetRow(Struct, array_like=True, gc=False):
    """Where a routing rule sends a request; None is the request's own provider or model, and any key."""

    provider: str | None
    model: str | None
    key_id: str | None
    weight: float


class RoutingRuleRow(Record, array_like=True, gc=False, kw_only=True):
    """A routing rule. `scope_id` is None in the global scope alone."""

    name: str
    description: str = ""
    enabled: bool = True
    cel: str
    targets: list[TargetRow]
    fallbacks: list[str] = []
    scope: RuleScope
    scope_id: str | None
    priority: int
    query: dict[str, Any] | None = None


class PricingOverrideRow(Record, array_like=True, gc=False, kw_only=True):
    """Other prices for some requests. `patch` is femto-dollars per unit, by the schema's names."""

    name: str
    scope_kind: OverrideScope
    virtual_key_id: str | None = None
    provider_id: str | None = None
    provider_key_id: str | None = None
    match_type: MatchType
    pattern: str
    request_types: list[PricedType]
    patch: dict[str, int] = {}
    free: bool = False


TYPES: Final[dict[Kind, type[Record]]] = {
    "customer": CustomerRow,
    "team": TeamRow,
    "provider": ProviderRow,
    "provider_key": ProviderKeyRow,
    "virtual_key": VirtualKeyRow,
    "model_config": ModelConfigRow,
    "routing_rule": RoutingRuleRow,
    "pricing_override": PricingOverrideRow,
}


def _encode_hook(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def _decode_hook(kind: type, value: object) -> object:
    return kind(value)


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_encode_hook, order="deterministic")
_DECODERS: Final = {
    kind: msgspec.msgpack.Decoder(record, dec_hook=_decode_hook) for kind, record in TYPES.items()
}


def pack(record: Record) -> bytes:
    """The bytes that are kept."""
    return _ENCODER.encode(record)


def unpack(kind: Kind, data: bytes) -> Record:
    """A fresh copy of the record: changing it changes nothing that is kept."""
    return _DECODERS[kind].decode(data)


_HEAD: Final = msgspec.msgpack.Decoder(_Head)


def row_of(data: bytes) -> int:
    """The `row` of a packed record, without unpacking the rest."""
    return _HEAD.decode(data).row


# What a file does not say about an entity: identity, times, and what follows from the rest.
_NOT_CONFIGURATION: Final = frozenset(
    {
        *("id", "number", "created", "updated", "origin", "row", "mask", "former"),
        *("anchor", "token_anchor", "request_anchor", "since", "token_since", "request_since"),
    }
)


def _configured_fields(kind: type[Struct]) -> Callable[[Any], tuple[Any, ...]]:
    names = [name for name in kind.__struct_fields__ if name not in _NOT_CONFIGURATION]
    return attrgetter(*names)


_STRUCTS: Final[tuple[type[Struct], ...]] = (
    *TYPES.values(),
    BudgetRow,
    RateRow,
    SecretRow,
    ProviderConfigRow,
    McpRow,
)
_CONFIGURED: Final = {kind: _configured_fields(kind) for kind in _STRUCTS}


def _configuration(value: Any) -> Any:
    fields = _CONFIGURED.get(type(value))
    if fields is not None:
        return [_configuration(item) for item in fields(value)]
    if type(value) is dict:
        return {key: _configuration(item) for key, item in value.items()}
    return [_configuration(item) for item in value] if type(value) is list else value


def fingerprint(record: Record) -> bytes:
    """A hash of the configuration alone: the same for two entities that a file would describe alike."""
    return hashlib.blake2b(_ENCODER.encode(_configuration(record)), digest_size=16).digest()
