"""Records as answers, with the live usage of their limits laid over.

Here are the plain forms: an entity's own fields, its limits, the ids of others. What a single read embeds
beside them is added by the entity's own file; a plain form embeds nothing, so nothing nests without end.
"""

from typing import Any, Final, Protocol, cast

from limen.model import (
    Budget,
    Customer,
    EnvVar,
    ModelConfig,
    PricingOverride,
    PricingPatch,
    ProviderGovernance,
    RateLimit,
    RoutingRule,
    RoutingTarget,
    RuleHealth,
    TableKey,
    Team,
    VirtualKey,
    VirtualKeyMCPConfig,
    VirtualKeyProviderConfig,
    to_json,
    usd_per_unit,
)
from limen.resources.limits import show_budget, show_rate
from limen.resources.reading import moment
from limen.resources.records import (
    CustomerRow,
    Kind,
    ModelConfigRow,
    Owner,
    PricingOverrideRow,
    ProviderConfigRow,
    ProviderKeyRow,
    ProviderRow,
    Record,
    RoutingRuleRow,
    SecretRow,
    TeamRow,
    VirtualKeyRow,
)


class Source(Protocol):
    """What a view reads beside its record: usage, and what the record names."""

    def usage(self, limit_id: str, kind: str) -> tuple[int, int, int, int]: ...
    def health(self, rule_id: str) -> tuple[int, int, int, str | None, int | None]: ...
    def get(self, kind: Kind, id: str) -> Record | None: ...
    def linked(self, kind: Kind, id: str, by: Kind) -> list[str]: ...


SECRETS: Final = (
    "azure_endpoint",
    "azure_api_version",
    "azure_client_id",
    "azure_client_secret",
    "azure_tenant_id",
    "vertex_project_id",
    "vertex_project_number",
    "vertex_region",
    "vertex_auth_credentials",
    "bedrock_access_key",
    "bedrock_secret_key",
    "bedrock_session_token",
    "bedrock_region",
    "bedrock_arn",
)
"""The fields of a provider key, beside `value`, that hold an EnvVar or null."""


def hash_of(record: Record) -> str | None:
    """The fingerprint of the file's entry, None where the entity was never in a file."""
    return None if record.origin is None else record.origin.hex()


def limits_of(
    book: Source, owner: Owner | ProviderConfigRow, hashed: str | None
) -> tuple[list[Budget], RateLimit | None]:
    """The budgets and the rate limit of an owner."""
    budgets = [show_budget(row, book.usage, hashed) for row in owner.budgets]
    return budgets, show_rate(owner.rate, book.usage, hashed)


def _first(owner: Owner | ProviderConfigRow) -> str | None:
    return owner.budgets[0].id if owner.budgets else None


def _rate_id(owner: Owner | ProviderConfigRow) -> str | None:
    return owner.rate.id if owner.rate else None


def customer(book: Source, row: CustomerRow) -> Customer:
    """A customer in its plain form."""
    budgets, rate = limits_of(book, row, hash_of(row))
    return Customer(
        id=row.id,
        name=row.name,
        budget=budgets[0] if budgets else None,
        budget_id=_first(row),
        budgets=budgets,
        rate_limit=rate,
        rate_limit_id=_rate_id(row),
        config_hash=hash_of(row) or "",
        created_at=moment(row.created),
        updated_at=moment(row.updated),
    )


def team(book: Source, row: TeamRow) -> Team:
    """A team in its plain form."""
    budgets, rate = limits_of(book, row, hash_of(row))
    return Team(
        id=row.id,
        name=row.name,
        customer_id=row.customer_id,
        budget=budgets[0] if budgets else None,
        budget_id=_first(row),
        budgets=budgets,
        rate_limit=rate,
        rate_limit_id=_rate_id(row),
        profile=row.profile,
        config=row.config,
        claims=row.claims,
        config_hash=hash_of(row),
        created_at=moment(row.created),
        updated_at=moment(row.updated),
    )


def virtual_key(book: Source, row: VirtualKeyRow) -> VirtualKey:
    """A virtual key in its plain form, its value masked."""
    budgets, rate = limits_of(book, row, hash_of(row))
    return VirtualKey(
        id=row.id,
        name=row.name,
        value=row.mask,
        description=row.description,
        is_active=row.active,
        expires_at=None if row.expires is None else moment(row.expires),
        provider_configs=[provider_config(book, row, config) for config in row.providers],
        mcp_configs=[
            VirtualKeyMCPConfig(id=mcp.id, mcp_client_name=mcp.client, tools_to_execute=mcp.tools)
            for mcp in row.mcp
        ],
        team_id=row.team_id,
        customer_id=row.customer_id,
        budget=budgets[0] if budgets else None,
        budget_id=_first(row),
        budgets=budgets,
        rate_limit=rate,
        rate_limit_id=_rate_id(row),
        config_hash=hash_of(row),
        created_at=moment(row.created),
        updated_at=moment(row.updated),
    )


def provider_config(book: Source, key: VirtualKeyRow, row: ProviderConfigRow) -> VirtualKeyProviderConfig:
    """A provider config without its keys."""
    budgets, rate = limits_of(book, row, hash_of(key))
    return VirtualKeyProviderConfig(
        id=row.id,
        virtual_key_id=key.id,
        provider=row.provider,
        weight=row.weight,
        allowed_models=row.models,
        budget_id=_first(row),
        rate_limit_id=_rate_id(row),
        budget=budgets[0] if budgets else None,
        budgets=budgets,
        rate_limit=rate,
    )


def model_config(book: Source, row: ModelConfigRow) -> ModelConfig:
    """A model config."""
    budgets, rate = limits_of(book, row, hash_of(row))
    return ModelConfig(
        id=row.id,
        model_name=row.model_name,
        provider=row.provider,
        budget=budgets[0] if budgets else None,
        budgets=budgets,
        rate_limit=rate,
        created_at=moment(row.created),
        updated_at=moment(row.updated),
    )


def provider(book: Source, row: ProviderRow) -> ProviderGovernance:
    """The limits of a provider."""
    budgets, rate = limits_of(book, row, hash_of(row))
    return ProviderGovernance(
        provider=row.id, budget=budgets[0] if budgets else None, budgets=budgets, rate_limit=rate
    )


def env_var(row: SecretRow | None) -> EnvVar | None:
    """A secret as it may be shown."""
    if row is None:
        return None
    if row.from_env:
        return EnvVar(value="", env_var=row.text.reveal(), from_env=True)
    return EnvVar(value=str(row.text), env_var="", from_env=False)


def keys_of(book: Source, config: ProviderConfigRow) -> list[TableKey]:
    """The provider keys that may serve a config, masked."""
    named = config.key_ids
    ids = book.linked("provider", config.provider, "provider_key") if named is None else named
    return [provider_key(book, cast("ProviderKeyRow", book.get("provider_key", id))) for id in ids]


def provider_key(book: Source, row: ProviderKeyRow) -> TableKey:
    """A provider key, its secrets masked."""
    owner = cast("ProviderRow", book.get("provider", row.provider))
    value = env_var(row.secrets["value"])
    assert value is not None
    others: dict[str, Any] = {word: env_var(row.secrets.get(word)) for word in SECRETS}
    return TableKey(
        id=row.number,
        name=row.name,
        provider_id=owner.number,
        provider=row.provider,
        key_id=row.id,
        value=value,
        models=row.models,
        weight=row.weight,
        enabled=row.enabled,
        use_for_batch_api=row.batch,
        created_at=moment(row.created),
        updated_at=moment(row.updated),
        config_hash=hash_of(row),
        **others,
    )


def routing_rule(source: Source, row: RoutingRuleRow) -> RoutingRule:
    """A routing rule, with how it fares."""
    matches, errors, over_budget, last_error, at = source.health(row.id)
    return RoutingRule(
        id=row.id,
        name=row.name,
        description=row.description,
        enabled=row.enabled,
        cel_expression=row.cel,
        targets=[
            RoutingTarget(
                provider=target.provider, model=target.model, key_id=target.key_id, weight=target.weight
            )
            for target in row.targets
        ],
        fallbacks=row.fallbacks,
        scope=row.scope,
        scope_id=row.scope_id,
        priority=row.priority,
        query=row.query,
        health=RuleHealth(
            matches=matches,
            errors=errors,
            over_budget=over_budget,
            last_error=last_error,
            last_match_at=None if at is None else moment(at),
        ),
        created_at=moment(row.created),
        updated_at=moment(row.updated),
    )


def pricing_override(row: PricingOverrideRow) -> PricingOverride:
    """A pricing override."""
    patch = PricingPatch(**{word: usd_per_unit(price) for word, price in row.patch.items()})
    return PricingOverride(
        id=row.id,
        name=row.name,
        scope_kind=row.scope_kind,
        virtual_key_id=row.virtual_key_id,
        provider_id=row.provider_id,
        provider_key_id=row.provider_key_id,
        match_type=row.match_type,
        pattern=row.pattern,
        request_types=row.request_types,
        pricing_patch=to_json(patch).decode(),
        patch=patch,
        free=row.free,
        config_hash=hash_of(row),
        created_at=moment(row.created),
        updated_at=moment(row.updated),
    )
