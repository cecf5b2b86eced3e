"""Which structs type which resource and which decision: the tables of the OpenAPI document."""

from typing import Any, Final, NamedTuple

from msgspec import Struct

from limen import bodies, model
from limen.http import calls, described
from limen.resources.change import Sought
from limen.resources.customers import Customers
from limen.resources.history import FILTERS
from limen.resources.model_configs import ModelConfigs
from limen.resources.pricing_overrides import PricingOverrides
from limen.resources.provider_keys import KeysOf, ProviderKeys
from limen.resources.providers import KnownProviders, Providers
from limen.resources.routing_rules import RoutingRules
from limen.resources.teams import Teams
from limen.resources.virtual_keys import VirtualKeys


class Typed(NamedTuple):
    """What types a resource of the engine: an entity, a page of them, its bodies, the filters of its list."""

    noun: str
    one: type[Struct]
    page: type[Struct]
    create: type[Struct] | None = None
    update: type[Struct] | None = None
    filters: tuple[str, ...] = ()


def _typed(kind: Any, one: type[Struct], create: type[Struct] | None, update: type[Struct] | None) -> Typed:
    return Typed(kind.noun, one, kind.page, create, update, tuple(kind.filters))


RESOURCES: Final = {
    "customers": _typed(
        Customers, model.Customer, bodies.CreateCustomerRequest, bodies.UpdateCustomerRequest
    ),
    "teams": _typed(Teams, model.Team, bodies.CreateTeamRequest, bodies.UpdateTeamRequest),
    "virtual_keys": _typed(
        VirtualKeys, model.VirtualKey, bodies.CreateVirtualKeyRequest, bodies.UpdateVirtualKeyRequest
    ),
    "model_configs": _typed(
        ModelConfigs, model.ModelConfig, bodies.CreateModelConfigRequest, bodies.UpdateModelConfigRequest
    ),
    "routing_rules": _typed(
        RoutingRules, model.RoutingRule, bodies.CreateRoutingRuleRequest, bodies.UpdateRoutingRuleRequest
    ),
    "pricing_overrides": _typed(
        PricingOverrides,
        model.PricingOverride,
        bodies.CreatePricingOverrideRequest,
        bodies.UpdatePricingOverrideRequest,
    ),
    "providers": _typed(Providers, model.ProviderGovernance, None, bodies.UpdateProviderGovernanceRequest),
    "providers.known": _typed(
        KnownProviders, model.Provider, bodies.CreateProviderRequest, bodies.UpdateKnownProviderRequest
    ),
    "provider_keys.of": _typed(
        KeysOf, model.TableKey, bodies.CreateProviderKeyRequest, bodies.UpdateProviderKeyRequest
    ),
    "provider_keys": _typed(ProviderKeys, model.TableKey, None, None),
    "budgets": Typed("budget", model.Budget, model.ListBudgetsResponse),
    "rate_limits": Typed("rate limit", model.RateLimit, model.ListRateLimitsResponse),
    "history": Typed("period", model.UsagePeriod, model.ListUsageResponse, filters=tuple(FILTERS)),
    "audit": Typed("change", model.AuditEntry, model.ListAuditResponse, filters=Sought._fields),
}
DECISIONS: Final[dict[str, tuple[type[Struct], type[Struct], str]]] = {
    "/v1/admit": (calls.Ask, described.Admitted, "May this request be made? Holds what it may use."),
    "/v1/peek": (calls.Ask, described.Admitted, "What admit would answer; holds nothing."),
    "/v1/settle": (calls.Settle, described.Settled, "What was really used."),
    "/v1/update": (calls.Update, described.Updated, "What a stream has used so far."),
    "/v1/release": (calls.Release, described.Released, "Gives a hold back."),
    "/v1/batch": (described.Calls, described.Results, "Several of these in one request."),
}
