"""A dry run of the routing rules, as typed structs: the answer of `engine.evaluate`."""

from typing import Literal

from limen.answers import Answer
from limen.bodies import RuleScope
from limen.model import RoutingRule


class RoutedTarget(Answer, kw_only=True):
    """Where a rule would send a request; `key_id` is null where the gateway uses its own key."""

    provider: str
    model: str
    key_id: str | None


class RuleStep(Answer, kw_only=True):
    """One rule that was looked at, and why it binds or does not."""

    rule_id: str
    name: str
    scope: RuleScope
    result: Literal["match", "no_match", "disabled", "error", "over_budget"]
    reason: str


class RuleVariables(Answer, kw_only=True):
    """What expressions were asked about: a request, its key, and how full its limits are, in percent."""

    model: str
    provider: str
    request_type: str
    virtual_key_id: str
    virtual_key_name: str
    team_id: str
    team_name: str
    customer_id: str
    customer_name: str
    headers: dict[str, str]
    params: dict[str, str]
    budget_used: float
    tokens_used: float
    request: float


class RuleEvaluation(Answer, kw_only=True):
    """A dry run of the rules. `target` is null where no rule matches, or nothing that it names can serve."""

    matched: bool
    rule: RoutingRule | None
    target: RoutedTarget | None
    fallbacks: list[str]
    variables: RuleVariables
    steps: list[RuleStep]
