"""The bodies of the governance schema as typed structs: what a caller sends.

A mapping with the same names is as good. In an Update body a field that is left out (UNSET) stays, null means
what the field's table says of it, a value is set.

    >>> CreateTeamRequest(name="growth", budget=CreateBudgetRequest(max_limit=0.3, reset_duration="1d")).name
    'growth'
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

Dollars: TypeAlias = int | float | Decimal
"""Dollars in a body: read as the shortest decimal text of the number, never through binary fractions."""
Window: TypeAlias = Literal["fixed", "sliding"]
RuleScope: TypeAlias = Literal["virtual_key", "team", "customer", "global"]
"""In the order in which rules are looked for."""
OverrideScope: TypeAlias = Literal[
    "virtual_key_provider_key",
    "virtual_key_provider",
    "virtual_key",
    "provider_key",
    "provider",
    "global",
]
"""From the narrowest."""
MatchType: TypeAlias = Literal["exact", "wildcard"]
PricedType: TypeAlias = Literal[
    "chat_completion",
    "text_completion",
    "responses",
    "embedding",
    "rerank",
    "speech",
    "transcription",
    "image_generation",
    "image_variation",
    "image_edit",
    "video_generation",
    "video_remix",
]
"""Types of requests that have prices; the streaming variant of a type is the same type."""


class Body(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a caller sends."""


class CreateBudgetRequest(Body, kw_only=True):
    """A budget: dollars per duration. Calendar alignment is for days and longer."""

    max_limit: Dollars
    reset_duration: str
    calendar_aligned: bool | UnsetType | None = UNSET


class UpdateBudgetRequest(Body, kw_only=True):
    """Changes of a budget; without any field it removes it. `id` picks one out of several."""

    id: str | UnsetType = UNSET
    max_limit: Dollars | UnsetType = UNSET
    reset_duration: str | UnsetType = UNSET
    calendar_aligned: bool | UnsetType | None = UNSET


class CreateRateLimitRequest(Body, kw_only=True):
    """Tokens, requests or both; a limit needs its duration."""

    token_max_limit: int | UnsetType | None = UNSET
    token_reset_duration: str | UnsetType | None = UNSET
    request_max_limit: int | UnsetType | None = UNSET
    request_reset_duration: str | UnsetType | None = UNSET
    window: Window | UnsetType = UNSET


class UpdateRateLimitRequest(CreateRateLimitRequest, kw_only=True):
    """Changes of a rate limit; null for both fields of a kind ends it, a body without fields removes all."""


class CreateLimits(Body, kw_only=True):
    """What every owner of limits takes at create: one budget or several periods, and a rate limit."""

    budget: CreateBudgetRequest | UnsetType | None = UNSET
    budgets: list[CreateBudgetRequest] | UnsetType | None = UNSET
    rate_limit: CreateRateLimitRequest | UnsetType | None = UNSET


class UpdateLimits(Body, kw_only=True):
    """What every owner of limits takes at update."""

    budget: UpdateBudgetRequest | UnsetType | None = UNSET
    budgets: list[UpdateBudgetRequest] | UnsetType | None = UNSET
    rate_limit: UpdateRateLimitRequest | UnsetType | None = UNSET


class CreateProviderConfigRequest(CreateLimits, kw_only=True):
    """A provider that the key may use; without models none of them, without a weight not in the draw."""

    provider: str
    weight: float | UnsetType | None = UNSET
    allowed_models: list[str] | UnsetType | None = UNSET
    key_ids: list[str] | UnsetType | None = UNSET


class UpdateProviderConfigRequest(UpdateLimits, kw_only=True):
    """One entry of the full set; with `id` or the same provider it keeps that entry's counters and fields."""

    id: int | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    weight: float | UnsetType | None = UNSET
    allowed_models: list[str] | UnsetType | None = UNSET
    key_ids: list[str] | UnsetType | None = UNSET


class CreateMCPConfigRequest(Body, kw_only=True):
    """An MCP client and the tools of it that may be called; left out: none."""

    mcp_client_name: str
    tools_to_execute: list[str] | UnsetType | None = UNSET


class UpdateMCPConfigRequest(Body, kw_only=True):
    """One entry of the full set of MCP configs."""

    id: int | UnsetType = UNSET
    mcp_client_name: str | UnsetType = UNSET
    tools_to_execute: list[str] | UnsetType | None = UNSET


class CreateVirtualKeyRequest(CreateLimits, kw_only=True):
    """A virtual key; what is not allowed in it is denied."""

    name: str
    description: str | UnsetType | None = UNSET
    is_active: bool | UnsetType | None = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    provider_configs: list[CreateProviderConfigRequest] | UnsetType | None = UNSET
    mcp_configs: list[CreateMCPConfigRequest] | UnsetType | None = UNSET
    team_id: str | UnsetType | None = UNSET
    customer_id: str | UnsetType | None = UNSET


class UpdateVirtualKeyRequest(UpdateLimits, kw_only=True):
    """Changes of a virtual key."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    provider_configs: list[UpdateProviderConfigRequest] | UnsetType | None = UNSET
    mcp_configs: list[UpdateMCPConfigRequest] | UnsetType | None = UNSET
    team_id: str | UnsetType | None = UNSET
    customer_id: str | UnsetType | None = UNSET


class CreateTeamRequest(CreateLimits, kw_only=True):
    """A team, with or without a customer."""

    name: str
    customer_id: str | UnsetType | None = UNSET
    profile: dict[str, Any] | UnsetType | None = UNSET
    config: dict[str, Any] | UnsetType | None = UNSET
    claims: dict[str, Any] | UnsetType | None = UNSET


class UpdateTeamRequest(UpdateLimits, kw_only=True):
    """Changes of a team."""

    name: str | UnsetType = UNSET
    customer_id: str | UnsetType | None = UNSET
    profile: dict[str, Any] | UnsetType | None = UNSET
    config: dict[str, Any] | UnsetType | None = UNSET
    claims: dict[str, Any] | UnsetType | None = UNSET


class CreateCustomerRequest(CreateLimits, kw_only=True):
    """A customer."""

    name: str


class UpdateCustomerRequest(UpdateLimits, kw_only=True):
    """Changes of a customer."""

    name: str | UnsetType = UNSET


class CreateModelConfigRequest(CreateLimits, kw_only=True):
    """Limits of a model; without a provider, over all providers together."""

    model_name: str
    provider: str | UnsetType | None = UNSET


class UpdateModelConfigRequest(UpdateLimits, kw_only=True):
    """Changes of a model config."""

    model_name: str | UnsetType = UNSET
    provider: str | UnsetType | None = UNSET


class UpdateProviderGovernanceRequest(UpdateLimits, kw_only=True):
    """Limits of a provider: set, changed or (an empty body of one) removed."""


class EnvVarRequest(Body, kw_only=True):
    """A secret going in: literal, or taken from an environment variable that the settings allow."""

    value: str | UnsetType = UNSET
    env_var: str | UnsetType = UNSET
    from_env: bool | UnsetType = UNSET


SecretIn: TypeAlias = str | EnvVarRequest | UnsetType
"""Text (`env.NAME` or the secret itself), or the object that answers show."""


class UpdateProviderKeyRequest(Body, kw_only=True):
    """Changes of a provider key; a mask sent back means unchanged."""

    name: str | UnsetType = UNSET
    value: SecretIn = UNSET
    models: list[str] | UnsetType | None = UNSET
    weight: float | UnsetType | None = UNSET
    enabled: bool | UnsetType | None = UNSET
    use_for_batch_api: bool | UnsetType | None = UNSET
    azure_endpoint: SecretIn | None = UNSET
    azure_api_version: SecretIn | None = UNSET
    azure_client_id: SecretIn | None = UNSET
    azure_client_secret: SecretIn | None = UNSET
    azure_tenant_id: SecretIn | None = UNSET
    vertex_project_id: SecretIn | None = UNSET
    vertex_project_number: SecretIn | None = UNSET
    vertex_region: SecretIn | None = UNSET
    vertex_auth_credentials: SecretIn | None = UNSET
    bedrock_access_key: SecretIn | None = UNSET
    bedrock_secret_key: SecretIn | None = UNSET
    bedrock_session_token: SecretIn | None = UNSET
    bedrock_region: SecretIn | None = UNSET
    bedrock_arn: SecretIn | None = UNSET

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The name alone: most of the rest is secret."""
        return [("name", self.name)]


class CreateProviderKeyRequest(UpdateProviderKeyRequest, kw_only=True):
    """A provider key: name, value and the provider that it is for are required."""

    provider: str
    name: str
    value: str | EnvVarRequest


class RoutingTarget(Body, kw_only=True):
    """Where a rule may send a request. What is left out is the request's; `key_id` pins a provider key."""

    provider: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    key_id: str | UnsetType | None = UNSET
    weight: float


class CreateRoutingRuleRequest(Body, kw_only=True):
    """A routing rule; the weights of its targets sum to 1."""

    name: str
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType | None = UNSET
    cel_expression: str
    targets: list[RoutingTarget]
    fallbacks: list[str] | UnsetType | None = UNSET
    scope: RuleScope
    scope_id: str | UnsetType | None = UNSET
    priority: int
    query: dict[str, Any] | UnsetType | None = UNSET


class UpdateRoutingRuleRequest(Body, kw_only=True):
    """Changes of a routing rule; its scope is fixed, `targets` replaces all."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    cel_expression: str | UnsetType = UNSET
    targets: list[RoutingTarget] | UnsetType | None = UNSET
    fallbacks: list[str] | UnsetType | None = UNSET
    priority: int | UnsetType = UNSET
    query: dict[str, Any] | UnsetType | None = UNSET


Price: TypeAlias = Dollars | UnsetType | None
"""Dollars per unit, to the femto-dollar. In a body null is as left out; zero is kept and not applied."""


class PricingPatch(Body, kw_only=True):
    """Prices that replace those of the catalogue. In answers the given ones, as Decimal."""

    input_cost_per_token: Price = UNSET
    output_cost_per_token: Price = UNSET
    input_cost_per_token_batches: Price = UNSET
    output_cost_per_token_batches: Price = UNSET
    input_cost_per_token_priority: Price = UNSET
    output_cost_per_token_priority: Price = UNSET
    input_cost_per_character: Price = UNSET
    input_cost_per_token_above_128k_tokens: Price = UNSET
    output_cost_per_token_above_128k_tokens: Price = UNSET
    input_cost_per_token_above_200k_tokens: Price = UNSET
    output_cost_per_token_above_200k_tokens: Price = UNSET
    cache_creation_input_token_cost: Price = UNSET
    cache_read_input_token_cost: Price = UNSET
    cache_creation_input_token_cost_above_200k_tokens: Price = UNSET
    cache_read_input_token_cost_above_200k_tokens: Price = UNSET
    cache_read_input_token_cost_priority: Price = UNSET
    cache_read_input_image_token_cost: Price = UNSET
    cache_creation_input_audio_token_cost: Price = UNSET
    input_cost_per_image: Price = UNSET
    output_cost_per_image: Price = UNSET
    input_cost_per_pixel: Price = UNSET
    output_cost_per_pixel: Price = UNSET
    input_cost_per_image_token: Price = UNSET
    output_cost_per_image_token: Price = UNSET
    output_cost_per_image_low_quality: Price = UNSET
    output_cost_per_image_medium_quality: Price = UNSET
    output_cost_per_image_high_quality: Price = UNSET
    output_cost_per_image_auto_quality: Price = UNSET
    output_cost_per_image_premium_image: Price = UNSET
    output_cost_per_image_above_512_and_512_pixels: Price = UNSET
    output_cost_per_image_above_1024_and_1024_pixels: Price = UNSET
    output_cost_per_image_above_2048_and_2048_pixels: Price = UNSET
    output_cost_per_image_above_4096_and_4096_pixels: Price = UNSET
    input_cost_per_audio_token: Price = UNSET
    output_cost_per_audio_token: Price = UNSET
    input_cost_per_audio_per_second: Price = UNSET
    input_cost_per_second: Price = UNSET
    input_cost_per_video_per_second: Price = UNSET
    output_cost_per_video_per_second: Price = UNSET
    output_cost_per_second: Price = UNSET
    search_context_cost_per_query: Price = UNSET
    code_interpreter_cost_per_session: Price = UNSET


class CreatePricingOverrideRequest(Body, kw_only=True):
    """Other prices for the requests that its scope, pattern and types select: a patch, or `free`.

    `confirm` says that a price far from the catalogue's is meant.
    """

    name: str
    scope_kind: OverrideScope
    virtual_key_id: str | UnsetType | None = UNSET
    provider_id: str | UnsetType | None = UNSET
    provider_key_id: str | UnsetType | None = UNSET
    match_type: MatchType
    pattern: str
    request_types: list[PricedType]
    patch: PricingPatch | UnsetType | None = UNSET
    free: bool | UnsetType | None = UNSET
    confirm: bool | UnsetType | None = UNSET


class UpdatePricingOverrideRequest(Body, kw_only=True):
    """Changes of a pricing override; `patch` replaces the whole patch."""

    name: str | UnsetType = UNSET
    scope_kind: OverrideScope | UnsetType = UNSET
    virtual_key_id: str | UnsetType | None = UNSET
    provider_id: str | UnsetType | None = UNSET
    provider_key_id: str | UnsetType | None = UNSET
    match_type: MatchType | UnsetType = UNSET
    pattern: str | UnsetType = UNSET
    request_types: list[PricedType] | UnsetType | None = UNSET
    patch: PricingPatch | UnsetType = UNSET
    free: bool | UnsetType = UNSET
    confirm: bool | UnsetType | None = UNSET


class RotateRequest(Body, kw_only=True):
    """For how many seconds the value that is replaced stays good, at most 30 days."""

    grace: int = 0


class ResetRequest(Body, kw_only=True):
    """Why usage is set to zero."""

    reason: str


class CreditRequest(Body, kw_only=True):
    """By how many dollars usage is lowered (negative: raised), and why."""

    amount: Dollars
    reason: str


class CreateProviderRequest(Body, kw_only=True):
    """A provider, by its name."""

    name: str


class UpdateKnownProviderRequest(Body, kw_only=True):
    """Nothing of it can be changed: its limits and its keys have routes of their own."""
