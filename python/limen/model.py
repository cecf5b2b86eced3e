"""The entities and the bodies of the governance schema, as typed structs with exactly its names.

The bodies live in `limen.bodies`, and answers that are no entity in `limen.reports`; both are re-exported
here. In answers UNSET marks what is left out: an entity
that is itself embedded shows no further entity, and `warnings` stands in the answers of create, update and
rotate alone.

Money is `Decimal`, in dollars, exact to the nano-dollar, with no trailing zeros; times are aware `datetime`s
in UTC. `to_json` writes both as the HTTP face shows them: a number with the shortest text that reads back to
the same nano-dollars, and RFC 3339.

    >>> to_json(EnvVar(value="********", env_var="env.OPENAI_KEY", from_env=True))
    b'{"value":"********","env_var":"env.OPENAI_KEY","from_env":true}'
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import UNSET, UnsetType

from limen.answers import (
    Answer as Answer,
    Page as Page,
    fields_of as fields_of,
    to_json as to_json,
    usd as usd,
    usd_per_unit as usd_per_unit,
)
from limen.bodies import (
    Body as Body,
    CreateBudgetRequest as CreateBudgetRequest,
    CreateCustomerRequest as CreateCustomerRequest,
    CreateLimits as CreateLimits,
    CreateMCPConfigRequest as CreateMCPConfigRequest,
    CreateModelConfigRequest as CreateModelConfigRequest,
    CreatePricingOverrideRequest as CreatePricingOverrideRequest,
    CreateProviderConfigRequest as CreateProviderConfigRequest,
    CreateProviderKeyRequest as CreateProviderKeyRequest,
    CreateProviderRequest as CreateProviderRequest,
    CreateRateLimitRequest as CreateRateLimitRequest,
    CreateRoutingRuleRequest as CreateRoutingRuleRequest,
    CreateTeamRequest as CreateTeamRequest,
    CreateVirtualKeyRequest as CreateVirtualKeyRequest,
    CreditRequest as CreditRequest,
    Dollars as Dollars,
    EnvVarRequest as EnvVarRequest,
    MatchType as MatchType,
    OverrideScope as OverrideScope,
    PricedType as PricedType,
    PricingPatch as PricingPatch,
    ResetRequest as ResetRequest,
    RotateRequest as RotateRequest,
    RoutingTarget as RoutingTarget,
    RuleScope as RuleScope,
    UpdateBudgetRequest as UpdateBudgetRequest,
    UpdateCustomerRequest as UpdateCustomerRequest,
    UpdateKnownProviderRequest as UpdateKnownProviderRequest,
    UpdateLimits as UpdateLimits,
    UpdateMCPConfigRequest as UpdateMCPConfigRequest,
    UpdateModelConfigRequest as UpdateModelConfigRequest,
    UpdatePricingOverrideRequest as UpdatePricingOverrideRequest,
    UpdateProviderConfigRequest as UpdateProviderConfigRequest,
    UpdateProviderGovernanceRequest as UpdateProviderGovernanceRequest,
    UpdateProviderKeyRequest as UpdateProviderKeyRequest,
    UpdateRateLimitRequest as UpdateRateLimitRequest,
    UpdateRoutingRuleRequest as UpdateRoutingRuleRequest,
    UpdateTeamRequest as UpdateTeamRequest,
    UpdateVirtualKeyRequest as UpdateVirtualKeyRequest,
    Window as Window,
)
from limen.reports import (
    AuditEntry as AuditEntry,
    ListAuditResponse as ListAuditResponse,
    ListUsageResponse as ListUsageResponse,
    LoadReport as LoadReport,
    UsagePeriod as UsagePeriod,
)


class Budget(Answer, kw_only=True):
    """Dollars per period. `current_usage` is what was spent, `held` what open permits hold beside it."""

    id: str
    max_limit: Decimal
    reset_duration: str
    calendar_aligned: bool
    last_reset: datetime
    current_usage: Decimal
    held: Decimal
    config_hash: str | None
    created_at: datetime
    updated_at: datetime


class RateLimit(Answer, kw_only=True):
    """Tokens, requests, or both, per duration; null where that kind is not limited."""

    id: str
    token_max_limit: int | None
    token_reset_duration: str | None
    token_current_usage: int
    token_held: int
    token_last_reset: datetime
    request_max_limit: int | None
    request_reset_duration: str | None
    request_current_usage: int
    request_last_reset: datetime
    window: Window
    config_hash: str | None
    created_at: datetime
    updated_at: datetime


class EnvVar(Answer, kw_only=True):
    """A secret as it is shown: masked, with the name of the environment variable where it comes from one."""

    value: str
    env_var: str
    from_env: bool


class TableKey(Answer, kw_only=True):
    """A provider's API key: `key_id` is what `key_ids` name, `id` and `provider_id` are integers."""

    id: int
    name: str
    provider_id: int
    provider: str
    key_id: str
    value: EnvVar
    models: list[str]
    weight: float | None
    enabled: bool | None
    use_for_batch_api: bool | None
    azure_endpoint: EnvVar | None = None
    azure_api_version: EnvVar | None = None
    azure_client_id: EnvVar | None = None
    azure_client_secret: EnvVar | None = None
    azure_tenant_id: EnvVar | None = None
    vertex_project_id: EnvVar | None = None
    vertex_project_number: EnvVar | None = None
    vertex_region: EnvVar | None = None
    vertex_auth_credentials: EnvVar | None = None
    bedrock_access_key: EnvVar | None = None
    bedrock_secret_key: EnvVar | None = None
    bedrock_session_token: EnvVar | None = None
    bedrock_region: EnvVar | None = None
    bedrock_arn: EnvVar | None = None
    created_at: datetime
    updated_at: datetime
    config_hash: str | None
    warnings: list[str] | UnsetType = UNSET


class VirtualKeyProviderConfig(Answer, kw_only=True):
    """One provider that a virtual key may use. `weight` null: usable by name, never drawn."""

    id: int
    virtual_key_id: str
    provider: str
    weight: float | None
    allowed_models: list[str]
    budget_id: str | None
    rate_limit_id: str | None
    budget: Budget | None
    budgets: list[Budget]
    rate_limit: RateLimit | None
    keys: list[TableKey] | UnsetType = UNSET


class VirtualKeyMCPConfig(Answer, kw_only=True):
    """One MCP client, and the tools of it that a virtual key may call."""

    id: int
    mcp_client_name: str
    tools_to_execute: list[str]


class VirtualKey(Answer, kw_only=True):
    """A virtual key. `value` is the text itself in the answers of create and rotate, else its mask."""

    id: str
    name: str
    value: str
    description: str
    is_active: bool
    expires_at: datetime | None
    provider_configs: list[VirtualKeyProviderConfig]
    mcp_configs: list[VirtualKeyMCPConfig]
    team_id: str | None
    customer_id: str | None
    team: "Team | UnsetType | None" = UNSET
    customer: "Customer | UnsetType | None" = UNSET
    budget: Budget | None
    budget_id: str | None
    budgets: list[Budget]
    rate_limit: RateLimit | None
    rate_limit_id: str | None
    config_hash: str | None
    created_at: datetime
    updated_at: datetime
    warnings: list[str] | UnsetType = UNSET

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What may be printed: the value is hidden, also where the field holds the text itself."""
        shown = fields_of(self) | {"value": "********"}
        return list(shown.items())

    def __repr__(self) -> str:
        return f"VirtualKey({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class Team(Answer, kw_only=True):
    """A team; embedded in another entity it shows no customer and no keys."""

    id: str
    name: str
    customer_id: str | None
    customer: "Customer | UnsetType | None" = UNSET
    virtual_keys: list[VirtualKey] | UnsetType = UNSET
    budget: Budget | None
    budget_id: str | None
    budgets: list[Budget]
    rate_limit: RateLimit | None
    rate_limit_id: str | None
    profile: dict[str, Any]
    config: dict[str, Any]
    claims: dict[str, Any]
    config_hash: str | None
    created_at: datetime
    updated_at: datetime
    warnings: list[str] | UnsetType = UNSET


class Customer(Answer, kw_only=True):
    """A customer; embedded in another entity it shows no teams and no keys. `config_hash` is "" for none."""

    id: str
    name: str
    teams: list[Team] | UnsetType = UNSET
    virtual_keys: list[VirtualKey] | UnsetType = UNSET
    budget: Budget | None
    budget_id: str | None
    budgets: list[Budget]
    rate_limit: RateLimit | None
    rate_limit_id: str | None
    config_hash: str
    created_at: datetime
    updated_at: datetime
    warnings: list[str] | UnsetType = UNSET


class ModelConfig(Answer, kw_only=True):
    """Limits of a model, on one provider or (provider null) on all of them together."""

    id: str
    model_name: str
    provider: str | None
    budget: Budget | None
    budgets: list[Budget]
    rate_limit: RateLimit | None
    created_at: datetime
    updated_at: datetime
    warnings: list[str] | UnsetType = UNSET


class ProviderGovernance(Answer, kw_only=True):
    """Limits of a provider; null where it has none."""

    provider: str
    budget: Budget | None
    budgets: list[Budget]
    rate_limit: RateLimit | None
    warnings: list[str] | UnsetType = UNSET


class RuleHealth(Answer, kw_only=True):
    """How a rule fares since the process began or its expression was written."""

    matches: int
    errors: int
    over_budget: int
    last_error: str | None
    last_match_at: datetime | None


class RoutingRule(Answer, kw_only=True):
    """A rule that sends requests of its scope elsewhere; the lowest priority is evaluated first."""

    id: str
    name: str
    description: str
    enabled: bool
    cel_expression: str
    targets: list[RoutingTarget]
    fallbacks: list[str]
    scope: RuleScope
    scope_id: str | None
    priority: int
    query: dict[str, Any] | None
    health: RuleHealth
    created_at: datetime
    updated_at: datetime
    warnings: list[str] | UnsetType = UNSET


class PricingOverride(Answer, kw_only=True):
    """Other prices for some requests. `pricing_patch` is `patch` as the text that is stored."""

    id: str
    name: str
    scope_kind: OverrideScope
    virtual_key_id: str | None
    provider_id: str | None
    provider_key_id: str | None
    match_type: MatchType
    pattern: str
    request_types: list[PricedType]
    pricing_patch: str
    patch: PricingPatch
    free: bool
    config_hash: str | None
    created_at: datetime
    updated_at: datetime
    warnings: list[str] | UnsetType = UNSET


class Provider(Answer, kw_only=True):
    """A provider that is known, and its keys, masked."""

    name: str
    keys: list[TableKey]
    warnings: list[str] | UnsetType = UNSET


class VirtualKeyQuotaResponse(Answer, kw_only=True):
    """What the holder of a virtual key may see of it."""

    virtual_key_name: str
    is_active: bool
    budgets: list[Budget]
    rate_limit: RateLimit | None


class ListVirtualKeysResponse(Page[VirtualKey], kw_only=True):
    """A page of virtual keys."""

    virtual_keys: list[VirtualKey]


class ListTeamsResponse(Page[Team], kw_only=True):
    """A page of teams."""

    teams: list[Team]


class ListCustomersResponse(Page[Customer], kw_only=True):
    """A page of customers."""

    customers: list[Customer]


class ListModelConfigsResponse(Page[ModelConfig], kw_only=True):
    """A page of model configs."""

    model_configs: list[ModelConfig]


class ListProviderGovernanceResponse(Page[ProviderGovernance], kw_only=True):
    """A page of the providers that have limits."""

    providers: list[ProviderGovernance]


class ListProvidersResponse(Page[Provider], kw_only=True):
    """A page of providers and their keys."""

    providers: list[Provider]


class ListProviderKeysResponse(Page[TableKey], kw_only=True):
    """A page of provider keys."""

    keys: list[TableKey]


class ListRoutingRulesResponse(Page[RoutingRule], kw_only=True):
    """A page of routing rules."""

    rules: list[RoutingRule]


class ListPricingOverridesResponse(Page[PricingOverride], kw_only=True):
    """A page of pricing overrides."""

    pricing_overrides: list[PricingOverride]


class ListBudgetsResponse(Page[Budget], kw_only=True):
    """A page of budgets, of whatever owner."""

    budgets: list[Budget]


class ListRateLimitsResponse(Page[RateLimit], kw_only=True):
    """A page of rate limits, of whatever owner."""

    rate_limits: list[RateLimit]
