"""Random policies and random traffic: the engine answers what the oracle answers, call by call.

A run is a policy (customer, teams, keys, provider configs, model configs, provider limits, rules), then
calls, edits and clock steps in any order. After each step every counter is read back.
`LIMEN_EXAMPLES=20000` runs many more than the continuous check does, with fresh seeds.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from house import DAY, HOUR, START
from model import Override, Request, Rule, RuleTarget, Settings
from model_rules import CONDITIONS
from twin import Budget, Spec, Twin

SHORT = ["1s", "7s", "1m", "90s", "1h"]
CALENDAR = ["1d", "1w", "1M", "3M", "1Y"]
PROVIDERS = ["p", "q", "r"]
MODELS = ["m", "n", "r/m", "x/m", "e", "p/e"]
PRICED = "e"
RULE_FALLBACKS = [[], [], ["q/n"], ["r/", "p/m"], ["x/m", "q/"]]
FALLBACKS = [None, None, None, (), ("q/m",), ("r/n", "p/m"), ("q/n",)]

LARGEST_SLIDING = 2**46 - 2
MOST_USD = 9_223_372_036
Limit: TypeAlias = tuple[int, str] | None

budgets = st.lists(
    st.one_of(
        st.builds(Budget, st.integers(0, 40), st.sampled_from(SHORT)),
        st.builds(Budget, st.integers(1, 40), st.sampled_from(CALENDAR), st.just(True)),
        st.builds(Budget, st.integers(1, 10**18), st.sampled_from(CALENDAR)),
    ),
    max_size=2,
    unique_by=lambda budget: budget.per,
)
limited = st.sampled_from([0, 1, 2, 5, 30, 100, 1_000, 2**63 - 1])
counts = st.sampled_from([0, 1, 2, 3, 5, 8, 2**63 - 1])


def spec(tokens: Limit, requests: Limit, window: str, budgets: list[Budget]) -> Spec:
    most = LARGEST_SLIDING if window == "sliding" else 2**63 - 1
    tokens, requests = (limit and (min(limit[0], most), limit[1]) for limit in (tokens, requests))
    return Spec(tokens, requests, window, budgets)


specs = st.builds(
    spec,
    st.none() | st.tuples(limited, st.sampled_from(SHORT)),
    st.none() | st.tuples(counts, st.sampled_from(SHORT)),
    st.sampled_from(["fixed", "sliding"]),
    st.just([]) | budgets,
)
few = st.just(Spec()) | specs
# Sometimes so much that a counter overflows by it, or by a second one of it.
often = st.sampled_from([True] * 15 + [False])
amounts = often.flatmap(
    lambda usual: st.integers(0, 60) if usual else st.sampled_from([2**46 - 1, 2**62, 2**63 - 1])
)
costs = often.flatmap(
    lambda usual: st.integers(0, 30) if usual else st.sampled_from([MOST_USD // 2 * 10**9, MOST_USD * 10**9])
)
configs = st.lists(
    st.tuples(
        st.fixed_dictionaries(
            {
                "provider": st.sampled_from(PROVIDERS),
                "weight": st.sampled_from([None, 0, 1, 2.5]),
                "allowed_models": st.sampled_from([["*"], ["*"], ["m"], ["n", "r/m"], []]),
            }
        ),
        few,
    ),
    max_size=3,
    unique_by=lambda config: config[0]["provider"],
)
settings = st.builds(
    Settings,
    require_virtual_key=st.booleans(),
    output_tokens=st.sampled_from([0, 1, 20, 1_024]),
    share=st.sampled_from(["0", "0.1", "0.25", "0.7", "1"]),
    fit=st.sampled_from(["shrink", "shrink", "deny"]),
    unknown_price=st.sampled_from([None, "count_zero", "count_zero", "deny"]),
    ttl_ms=st.sampled_from([5_000, 600_000]),
    on_expiry=st.sampled_from(["charge", "give_back"]),
)


places = st.tuples(st.sampled_from([None, *PROVIDERS]), st.sampled_from([None, "m", "n"]))
wanted_rules = st.fixed_dictionaries(
    {
        "scope": st.sampled_from(["virtual_key", "team", "customer", "global", "global"]),
        "priority": st.integers(0, 2),
        "condition": st.sampled_from(["", *CONDITIONS]),
        "targets": st.lists(places, min_size=1, max_size=2, unique=True),
        "fallbacks": st.sampled_from(RULE_FALLBACKS),
        "pin": st.booleans(),
    }
)


class SideBySide(RuleBasedStateMachine):
    twin: Twin

    @initialize(
        settings=settings,
        of=st.tuples(few, few, few),
        configs=configs,
        offset=st.integers(0, DAY),
        rules=st.lists(wanted_rules, max_size=4),
        keyed=st.sampled_from([None, "p", "q"]),
    )
    def furnish(
        self,
        settings: Settings,
        of: tuple[Spec, ...],
        configs: Any,
        offset: int,
        rules: list[dict[str, Any]],
        keyed: str | None,
    ) -> None:
        self.twin = Twin(START + offset, settings)
        customer = self.twin.create("customer", {}, of[0])
        team = self.twin.create("team", {"customer_id": customer.id}, of[1])
        self.twin.create_key(of[2], configs, team_id=team.id)
        if keyed is not None:
            self.twin.register_key(keyed, ["*"])
        for wanted in rules:
            self.add_rule(wanted, 0)

    # The policy

    @rule(spec=few, customer=st.integers(0, 9))
    def create_team(self, spec: Spec, customer: int) -> None:
        self.twin.create("team", {"customer_id": self.pick_id(customer, "customer")}, spec)

    @rule(spec=few, configs=configs, team=st.integers(0, 9), customer=st.integers(0, 9))
    def create_key(self, spec: Spec, configs: Any, team: int, customer: int) -> None:
        if len(self.twin.owners_of("virtual_key")) < 4:
            team_id = self.pick_id(team, "team")
            customer_id = None if team_id else self.pick_id(customer, "customer")
            self.twin.create_key(spec, configs, team_id=team_id, customer_id=customer_id)

    @rule(spec=specs, model=st.sampled_from(["m", "n"]), provider=st.sampled_from([None, "p", "q"]))
    def limit_model(self, spec: Spec, model: str, provider: str | None) -> None:
        if (model, provider) not in self.twin.oracle.model_configs.values():
            body = {"model_name": model} | ({"provider": provider} if provider else {})
            self.twin.create("model_config", body, spec)

    @rule(spec=specs, provider=st.sampled_from(PROVIDERS))
    def limit_provider(self, spec: Spec, provider: str) -> None:
        if provider not in [owner.id for owner in self.twin.owners_of("provider")]:
            self.twin.create("provider", {"name": provider}, spec)

    @rule(which=st.integers(0, 99), spec=specs)
    def edit_everything(self, which: int, spec: Spec) -> None:
        owner = self.twin.owners[which % len(self.twin.owners)]
        ids = {budget.per: budget.id for budget in owner.spec.budgets}
        fresh = [Budget(b.nano_usd, b.per, b.calendar, ids.get(b.per)) for b in spec.budgets]
        self.twin.edit(owner, Spec(spec.tokens, spec.requests, spec.window, fresh))

    @rule(which=st.integers(0, 99), per=st.sampled_from(SHORT), kind=st.sampled_from(["tokens", "requests"]))
    def edit_duration(self, which: int, per: str, kind: str) -> None:
        owners = [owner for owner in self.twin.owners if getattr(owner.spec, kind)]
        if owners:
            owner = owners[which % len(owners)]
            spec = Spec(**{**vars(owner.spec), kind: (getattr(owner.spec, kind)[0], per)})
            self.twin.edit(owner, spec)

    @rule(which=st.integers(0, 99), per=st.sampled_from(CALENDAR), calendar=st.booleans())
    def edit_budget(self, which: int, per: str, calendar: bool) -> None:
        owners = [owner for owner in self.twin.owners if owner.spec.budgets]
        if owners:
            owner = owners[which % len(owners)]
            first, *rest = owner.spec.budgets
            if per not in [budget.per for budget in rest]:
                edited = Budget(first.nano_usd, per, calendar, first.id)
                self.twin.edit(owner, Spec(**{**vars(owner.spec), "budgets": [edited, *rest]}))

    @rule(which=st.integers(0, 99))
    def delete(self, which: int) -> None:
        owners = [owner for owner in self.twin.owners if owner.level != "provider_config"]
        if len(owners) > 3:
            self.twin.delete(owners[which % len(owners)])

    @rule(key=st.integers(0, 9), team=st.integers(0, 9), customer=st.integers(0, 9))
    def attach(self, key: int, team: int, customer: int) -> None:
        keys = self.twin.owners_of("virtual_key")
        if keys:
            team_id = self.pick_id(team, "team")
            customer_id = None if team_id else self.pick_id(customer, "customer")
            self.twin.attach(keys[key % len(keys)], team_id, customer_id)

    @rule(key=st.integers(0, 9), active=st.booleans())
    def activate(self, key: int, active: bool) -> None:
        keys = self.twin.owners_of("virtual_key")
        if keys:
            self.twin.activate(keys[key % len(keys)], active)

    # Rules

    @rule(wanted=wanted_rules, which=st.integers(0, 9))
    def create_rule(self, wanted: dict[str, Any], which: int) -> None:
        self.add_rule(wanted, which)

    def add_rule(self, wanted: dict[str, Any], which: int) -> None:
        scope, fallbacks = wanted["scope"], wanted["fallbacks"]
        owners = self.twin.owners_of(scope)
        if len(self.twin.oracle.rules) < 5 and (owners or scope == "global"):
            scope_id = None if scope == "global" else owners[which % len(owners)].id
            targets = [RuleTarget(*place) for place in wanted["targets"]]
            for key in self.twin.oracle.provider_keys if wanted["pin"] else []:
                targets[0].key_id = key.id if targets[0].provider else None
            rule = Rule("", scope, scope_id, wanted["priority"], 0, wanted["condition"], targets, fallbacks)
            self.twin.create_rule(rule)

    @precondition(lambda self: self.twin.oracle.rules)
    @rule(which=st.integers(0, 9), delete=st.booleans())
    def edit_rule(self, which: int, delete: bool) -> None:
        rules = self.twin.oracle.rules
        change = self.twin.delete_rule if delete else self.twin.switch_rule
        change(rules[which % len(rules)])

    @rule(provider=st.sampled_from(["p", "q"]), models=st.sampled_from([["*"], ["m"], []]))
    def register_key(self, provider: str, models: list[str]) -> None:
        if provider not in [key.provider for key in self.twin.oracle.provider_keys]:
            self.twin.register_key(provider, models)

    # Prices

    @rule(
        scope=st.sampled_from(["virtual_key", "provider", "global"]),
        which=st.integers(0, 9),
        femto_usd=st.sampled_from([400, 333_333, 700_001]),
    )
    def create_override(self, scope: str, which: int, femto_usd: int) -> None:
        ids = [*self.twin.oracle.keys] if scope == "virtual_key" else [*PROVIDERS]
        if len(self.twin.oracle.overrides) < 3 and ids:
            scope_id = None if scope == "global" else ids[which % len(ids)]
            self.twin.create_override(Override("", scope, scope_id, femto_usd, 0))

    @precondition(lambda self: self.twin.oracle.overrides)
    @rule(which=st.integers(0, 9))
    def delete_override(self, which: int) -> None:
        overrides = self.twin.oracle.overrides
        self.twin.delete_override(overrides[which % len(overrides)])

    # The clock

    @rule(step=st.sampled_from([1, 999, 1_000, 4_999, 5_000, 59_999, 60_000, HOUR, DAY, 31 * DAY]))
    def advance(self, step: int) -> None:
        self.twin.move(step)

    @rule(which=st.integers(0, 99), early=st.sampled_from([0, 0, 1]))
    def advance_to_a_reset(self, which: int, early: int) -> None:
        counters = self.twin.oracle.counters()
        if counters:
            counter = counters[which % len(counters)]
            step = counter.reset_at(self.twin.now) - early - self.twin.now
            self.twin.move(max(0, step))

    @rule(step=st.sampled_from([1, 1_000, 30_000, 60_000, HOUR, DAY]))
    def jump_back(self, step: int) -> None:
        self.twin.move(-step)

    # The calls

    @rule(
        key=st.integers(0, 9),
        model=st.sampled_from(MODELS),
        provider=st.sampled_from([None, "p", "p", "q", "r"]),
        stated=st.tuples(st.integers(0, 60), st.none() | st.integers(0, 200), st.none())
        | st.tuples(st.just(0), st.none(), amounts),
        cost=st.none() | costs,
        request_type=st.sampled_from(["chat_completion", "chat_completion", "embedding"]),
        fallbacks=st.sampled_from(FALLBACKS),
        idempotency=st.sampled_from([None, None, None, "a", "b"]),
        tier=st.sampled_from([None, "gold", "free"]),
        peek=st.booleans(),
    )
    def ask(
        self,
        key: int,
        model: str,
        provider: str | None,
        stated: tuple[int, int | None, int | None],
        cost: int | None,
        request_type: str,
        fallbacks: tuple[str, ...] | None,
        idempotency: str | None,
        tier: str | None,
        peek: bool,
    ) -> None:
        if model.endswith(PRICED):
            # Its output has no price: what may have none is priced by what is stated.
            request_type, stated = "embedding", (stated[0], None, stated[2])
        keys = [None, "unknown", *self.twin.oracle.keys, *self.twin.oracle.keys, *self.twin.oracle.keys]
        request = Request(
            keys[key % len(keys)],
            model,
            stated[0],
            stated[1],
            provider,
            request_type,
            stated[2],
            cost,
            fallbacks=fallbacks,
            id=idempotency,
            tier=tier,
        )
        if peek:
            request = Request(**{**vars(request), "id": None})
            if self.twin.ask(request, peek=True):
                self.twin.ask(request)
        else:
            self.twin.ask(request)

    @precondition(lambda self: self.twin.permits)
    @rule(
        which=st.integers(0, 999),
        tokens=st.none() | amounts,
        cost=st.none() | costs,
        as_held=st.booleans(),
        by_text=st.booleans(),
    )
    def settle(self, which: int, tokens: int | None, cost: int | None, as_held: bool, by_text: bool) -> None:
        if as_held:
            self.twin.settle(which, by_text, as_held=True)
        else:
            self.twin.settle(which, by_text, tokens=tokens, cost=cost)

    @precondition(lambda self: self.twin.permits)
    @rule(which=st.integers(0, 999), tokens=st.none() | amounts, cost=st.none() | costs)
    def update(self, which: int, tokens: int | None, cost: int | None) -> None:
        _, permit = self.twin.permits[which % len(self.twin.permits)]
        if permit.femto_usd is None:
            self.twin.update(which, tokens=tokens, cost=cost)

    @precondition(lambda self: self.twin.permits)
    @rule(which=st.integers(0, 999), request=st.booleans())
    def release(self, which: int, request: bool) -> None:
        self.twin.release(which, request)

    @invariant()
    def every_counter_shows_what_the_oracle_shows(self) -> None:
        if hasattr(self, "twin"):
            self.twin.read_back()

    def pick_id(self, which: int, level: str) -> str | None:
        """One owner's id of that level, or none."""
        ids = [None, *(owner.id for owner in self.twin.owners_of(level))]
        return ids[which % len(ids)]


TestSideBySide = SideBySide.TestCase
