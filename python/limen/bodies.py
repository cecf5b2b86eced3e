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
