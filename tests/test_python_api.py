"""The embedded face as a contract: names, arguments and defaults, what answers show, what is not there yet.

Behaviour stands in the files of its concept; here is what a program that was written against limen relies on.
"""

from __future__ import annotations

import gc
import inspect
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import limen
from house import House, refused
from limen import model

ASK = (
    "(self, /, key, model, input_tokens=0, max_output_tokens=None, *, provider=None, "
    "request_type='chat_completion', tokens=None, cost_usd=None, usage=None, headers=None, params=None, "
    "mcp_tool=None, fallbacks=None, sticky=None, id=None, now_ms=None)"
)
WINDOW = {
    "take": "(self, /, cost=1, now_ms=None)",
    "peek": "(self, /, cost=1, now_ms=None)",
    "give_back": "(self, /, cost, taken_at_ms=None)",
    "status": "(self, /, now_ms=None)",
}
CALLS: dict[str, dict[str, str]] = {
    "FixedWindow": {"": "(limit, per, *, anchor_ms=0)", **WINDOW},
    "SlidingWindow": {"": "(limit, per, *, buckets=60)", **WINDOW},
    "KeyedLimiter": {
        "": "(limit, per, *, window='fixed', max_keys=1000000)",
        "take": "(self, /, key, cost=1, now_ms=None)",
        "take_many": "(self, /, keys, costs=None, now_ms=None)",
        "peek": "(self, /, key, cost=1, now_ms=None)",
        "status": "(self, /, key, now_ms=None)",
        "forget": "(self, /, key)",
    },
    "BudgetCounter": {
        "": "(limit_usd, per, *, calendar_aligned=False)",
        "reserve": "(self, /, nano_usd, now_ms=None)",
        "settle": "(self, /, held_nano_usd, real_nano_usd, taken_at_ms=None)",
        "give_back": "(self, /, nano_usd, taken_at_ms=None)",
        "charge": "(self, /, nano_usd, now_ms=None)",
        "status": "(self, /, now_ms=None)",
    },
    "WeightedSampler": {
        "": "(weights, *, seed=None)",
        "pick": "(self, /)",
        "pick_many": "(self, /, n)",
        "pick_sticky": "(self, /, key)",
        "without": "(self, /, indices)",
    },
    "PricingPatch": {"": "(**fields)"},
    "RateCard": {
        "from_catalog": "(entry)",
        "patched": "(self, /, patch)",
        "cost": "(self, /, usage, request_type=None)",
    },
    "ManualClock": {"": "(start_ms=0)", "advance": "(self, /, ms)", "jump": "(self, /, ms)"},
    "Engine": {
        "": "(*, settings=None, clock=None, seed=None)",
        "open": "(path, *, settings=None, clock=None, seed=None)",
        "load": "(self, path, prune=False)",
        "handle": "(self, /, value=None, *, id=None)",
        "admit": ASK,
        "peek": ASK,
        "settle": "(self, /, permit, prompt_tokens=0, completion_tokens=0, *, as_held=False, **usage)",
        "update": "(self, /, permit, prompt_tokens=0, completion_tokens=0, **usage)",
        "release": "(self, /, permit, reason=None, request=False)",
        "admit_many": "(self, /, requests)",
        "settle_many": "(self, /, settlements)",
        "quota": "(self, key)",
        "usage": "(self, **filters)",
        "check_expression": "(self, text)",
        "metrics": "(self, /)",
        "snapshot": "(self, /)",
        "restore": "(self, /, data)",
        "flush": "(self)",
        "close": "(self)",
    },
    "Permit": {
        "settle": "(self, /, prompt_tokens=0, completion_tokens=0, *, as_held=False, **usage)",
        "update": "(self, /, prompt_tokens=0, completion_tokens=0, **usage)",
        "release": "(self, /, reason=None, request=False)",
        "headers": "(self, /)",
    },
    "Denial": {"headers": "(self, /)", "body": "(self, /)"},
    "EstimatePolicy": {"": "(*, output_tokens=1024, share=0.1, fit='shrink')"},
}
SHOWN: dict[str, str] = {
    "WindowStatus": "limit used held remaining reset_at_ms retry_after_ms",
    "Handle": "id",
    "Held": "requests tokens cost_nano_usd reason price",
    "Limit": "kind level owner_id limit_id limit used held asked reset_at_ms retry_after never per",
    "Exclusion": "provider model key_id reason limits",
    "Permit": "provider model key_id fallbacks rule_id max_output_tokens held expires_at_ms token",
    "Denial": "status code message limits fits excluded retry_after",
    "Settlement": "cost_nano_usd tokens overrun repeated expired price",
    "KeyedLimiter": "refused_new",
    "PricingPatch": "fields",
    "RateCard": "request_type prices rounded not_taken",
    "Cost": "nano_usd exact_usd tier lines",
    "CostLine": "field quantity rate_usd amount_usd",
    "ManualClock": "now_ms",
}
COMMON = {
    "create": "(body)",
    "get": "(id)",
    "list": "(**filters)",
    "update": "(id, body)",
    "delete": "(id)",
}
RESOURCES: dict[str, dict[str, str]] = {
    "customers": COMMON,
    "teams": COMMON,
    "virtual_keys": {**COMMON, "rotate": "(id, grace=0)"},
    "model_configs": COMMON,
    "routing_rules": COMMON,
    "pricing_overrides": COMMON,
    "provider_keys": COMMON,
    "providers": {word: COMMON[word] for word in ("get", "list", "update", "delete")},
    "budgets": {"list": "(**filters)", "reset": "(id, reason)", "credit": "(id, amount, reason)"},
    "rate_limits": {"list": "(**filters)", "reset": "(id, reason)"},
    "audit": {"list": "(**filters)"},
}
FAULTS = {
    "InvalidError": ("invalid_request", 400),
    "NotFoundError": ("not_found", 404),
    "ConflictError": ("conflict", 409),
    "StorageError": ("storage_unavailable", 503),
    "LimitedError": ("too_many_entities", 503),
    "ForkedError": ("engine_forked", 500),
}


def signature(call: Any) -> str:
    """Without types: those are the stub's, and stubtest compares them."""
    found = inspect.signature(call)
    bare = [part.replace(annotation=inspect.Parameter.empty) for part in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))


# Names, arguments, defaults


@pytest.mark.parametrize(
    ("class_", "call"), [(class_, call) for class_, calls in CALLS.items() for call in calls]
)
def test_a_call_takes_these_arguments(class_: str, call: str) -> None:
    subject = getattr(limen, class_)
    assert signature(getattr(subject, call) if call else subject) == CALLS[class_][call]


@pytest.mark.parametrize("class_", SHOWN)
def test_an_answer_shows_exactly_this(class_: str) -> None:
    subject = getattr(limen, class_)
    shown = {name for name, part in vars(subject).items() if isinstance(part, types.GetSetDescriptorType)}
    assert shown == set(SHOWN[class_].split())


@pytest.mark.parametrize(
    ("resource", "call"), [(resource, call) for resource, calls in RESOURCES.items() for call in calls]
)
def test_an_entity_is_reached_by_these_calls(resource: str, call: str) -> None:
    assert signature(getattr(getattr(limen.Engine(), resource), call)) == RESOURCES[resource][call]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_limen_error_with_code_message_param_and_status(name: str) -> None:
    class_, (code, status) = getattr(limen, name), FAULTS[name]
    assert issubclass(class_, limen.LimenError)
    fault = class_(code, "words", "a.field")
    assert (fault.code, fault.message, fault.param, fault.status) == (code, "words", "a.field", status)


def test_every_name_belongs_to_limen_and_stands_in_all() -> None:
    offered = {name for name, part in vars(limen).items() if not isinstance(part, types.ModuleType)}
    assert set(limen.__all__) == {name for name in offered if not name.startswith("_")} | {"__version__"}
    for name in limen.__all__:
        subject = getattr(limen, name)
        if inspect.isclass(subject):
            assert subject.__module__.split(".")[0] == "limen"
    in_rust = [name for name in CALLS if name not in ("Engine", "EstimatePolicy")] + list(SHOWN)
    assert {getattr(limen, name).__module__ for name in in_rust} == {"limen"}


# Behaviour of the face itself


def test_a_permit_is_true_and_a_denial_is_false() -> None:
    house = House()
    key = house.key(requests=(1, "1m"))
    permit, denial = house.admit(key, 1), house.admit(key, 1)
    assert permit
    assert isinstance(permit, limen.Permit)
    assert not denial
    assert isinstance(denial, limen.Denial)


def test_bodies_are_mappings_or_structs_and_answers_are_structs() -> None:
    engine = limen.Engine()
    made = engine.customers.create({"name": "a"})
    alike = engine.customers.create(model.CreateCustomerRequest(name="b"))
    assert isinstance(made, model.Customer)
    assert isinstance(alike, model.Customer)
    assert [customer.name for customer in engine.customers.list()] == ["a", "b"]


def test_a_permit_is_settled_by_itself_by_the_engine_and_by_its_text() -> None:
    house = House()
    key = house.key(tokens=(100, "1d"))
    engine = house.engine
    for act in (
        lambda permit: permit.settle(3, 4),
        lambda permit: engine.settle(permit, 3, 4),
        lambda permit: engine.settle(permit.token, 3, 4),
    ):
        permit = house.admit(key, tokens=10)
        assert act(permit).tokens == 7
        assert act(permit).repeated
    assert house.tokens(key) == (21, 0)


def test_answers_of_a_batch_come_in_order_whatever_form_the_requests_have() -> None:
    house = House()
    key = house.key(requests=(2, "1d"))
    handle = house.engine.handle(key.value)
    one, fault, two, three = house.engine.admit_many(
        [
            (key.value, "p/m", 5, 6),
            {"key": handle, "model": "m", "tokens": -1},
            types.MappingProxyType({"key": handle, "model": "m", "provider": "p", "tokens": 7}),
            (handle, "p/m"),
        ]
    )
    assert (bool(one), type(fault), bool(two), bool(three)) == (True, limen.InvalidError, True, False)
    assert (one.max_output_tokens, three.code) == (None, "request_limited")
    settled = house.engine.settle_many(
        [
            {"permit": two, "tokens": 7},
            (two, 3, 4),
            (one.token, 5),
            ("x", 7),
            (one,),
            (one, 1, 2, 3),
            (one, -1),
        ]
    )
    assert (settled[0].tokens, settled[2].tokens) == (7, 5)
    assert [(answer.code, answer.param) for answer in (settled[1], *settled[3:])] == [
        ("settle_conflict", None),
        ("permit_not_found", None),
        ("invalid_request", "settlements"),
        ("invalid_request", "settlements"),
        ("invalid_request", "prompt_tokens"),
    ]


def test_a_tuple_of_every_argument_of_admit_is_a_request_as_well() -> None:
    house = House()
    key = house.key(budget=(2, "1d"))
    whole = {"key": key.value, "model": "m", "input_tokens": 5, "max_output_tokens": None, "provider": "p"}
    whole |= {"request_type": None, "tokens": None, "cost_usd": 0.5, "usage": None, "headers": None}
    whole |= dict.fromkeys(("params", "mcp_tool", "fallbacks", "sticky"))
    whole |= {"id": "one", "now_ms": house.clock.now_ms}
    by_name, by_place, other = house.engine.admit_many(
        [whole, tuple(whole.values()), tuple((whole | {"id": "two"}).values())]
    )
    assert by_name.token == by_place.token != other.token
    assert by_place.held.cost_nano_usd == 500_000_000


def test_an_engine_is_closed_at_the_end_of_its_block() -> None:
    with limen.Engine() as engine:
        assert engine.admit(None, "m").code == "virtual_key_required"
    refused(lambda: engine.admit(None, "m"), "engine_closed")
    engine.close()


def test_an_engine_is_closed_when_its_block_fails() -> None:
    with pytest.raises(RuntimeError), limen.Engine() as engine:
        raise RuntimeError
    refused(lambda: engine.admit(None, "m"), "engine_closed")


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "handle": ("v",),
    "admit": ("v", "m"),
    "peek": ("v", "m"),
    "settle": ("pmt", 1),
    "update": ("pmt", 1),
    "release": ("pmt",),
    "check_credential": ("pmt", "v"),
    "admit_many": ([],),
    "settle_many": ([],),
    "json_list": ([], bytes),
    "answer_batch": (b'{"calls":[]}', 1, True, list, bytes),
    "quota": ("v",),
    "check_expression": ("true",),
    "evaluate": ("v", "m"),
    "explain": ("v", "m"),
    "trace_price": ((None, None, None), "m", "embedding", {}),
    "trace_decision": ({"key": "v", "model": "m"},),
    "trace_rules": ({"key": "v", "model": "m"},),
    "rule_health": ("r",),
    "keep_history": (True,),
    "restore_usage": ([], []),
    "load": (os.devnull,),
    "restore": (b"",),
    "apply": ([],),
    "check": ([],),
    "read": ([],),
    "reset": ("l", "budget"),
    "credit": ("l", 1),
}
STILL_ANSWER = {"close", "shut", "settings"}


def calls_of(engine: limen.Engine) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every public call of an engine and of its entities, with arguments that are well formed."""
    for name in dir(engine):
        part = inspect.getattr_static(engine, name, None)
        if name.startswith("_") or name in STILL_ANSWER:
            continue
        if callable(part):
            yield name, lambda name=name: getattr(engine, name)(*ARGUMENTS.get(name, ()))
    for resource, calls in RESOURCES.items():
        owner = getattr(engine, resource)
        given = {"id": "i", "body": {"name": "n"}, "reason": "r", "amount": 1}
        for call, words in calls.items():
            bound = {word: value for word, value in given.items() if word in words}
            yield (
                f"{resource}.{call}",
                lambda owner=owner, call=call, bound=bound: getattr(owner, call)(**bound),
            )


def test_a_closed_engine_answers_no_call() -> None:
    engine = limen.Engine()
    calls = list(calls_of(engine))
    assert {name for name, _ in calls} >= {*ARGUMENTS, "metrics", "snapshot", "sweep", "teams.list"}
    engine.close()
    answered = {name: fault_of(call) for name, call in calls}
    assert {name: code for name, code in answered.items() if code != "engine_closed"} == {
        "load": "invalid_request",  # the file is read before the engine is asked
        "collect": "answered ([], [], [], [], [])",  # what was used last is written after the end
    }


def fault_of(call: Callable[[], Any]) -> str:
    try:
        return f"answered {call()!r}"
    except limen.LimenError as error:
        return error.code


FORK = """
import os, sys, warnings
import limen
from test_python_api import calls_of, fault_of
engine = limen.Engine()
calls = list(calls_of(engine))
pid = os.fork()
if pid == 0:
    answered = {name: fault_of(call) for name, call in calls if name != "load"}
    wrong = {name: code for name, code in answered.items() if code != "engine_forked"}
    own = limen.Engine().admit(None, "m").code
    print(wrong, own, flush=True)
    os._exit(1 if wrong or own != "virtual_key_required" else 0)
_, status = os.waitpid(pid, 0)
assert engine.admit(None, "m").code == "virtual_key_required", "the parent goes on"
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_child_of_fork_gets_no_answer_from_its_parents_engine_and_may_make_its_own() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", FORK]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


# What is printed


def test_what_is_printed_of_an_answer_is_python_and_says_what_it_is() -> None:
    house = House()
    key = house.key(requests=(1, "1m"))
    permit, denial = house.admit(key, tokens=5), house.admit(key, tokens=5)
    settlement = permit.settle(tokens=5)
    assert repr(permit.held) == 'Held(requests=1, tokens=0, cost_nano_usd=0, reason="stated", price=None)'
    assert repr(settlement).startswith("Settlement(cost_nano_usd=0, tokens=5, overrun=False, repeated=False")
    assert repr(permit).startswith('Permit(provider="p", model="m", expires_at_ms=')
    assert permit.token not in repr(permit)
    assert repr(denial).startswith('Denial(code="request_limited", message=')
    (limit,) = denial.limits
    assert repr(limit).endswith('per="1m", retry_after=60.0)')
    house.engine.virtual_keys.update(key.id, {"rate_limit": {"request_max_limit": 0}})
    assert repr(house.admit(key).limits[0]).endswith("retry_after=None)")
    assert repr(house.engine.handle(key.value)) == f'Handle(id="{key.id}")'
    assert repr(limen.ManualClock(5)) == "ManualClock(5)"


# How arguments are given, and what an answer that is kept shows


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda house, _: house.engine.admit(), "admit.. missing required argument: 'key'"),
        (lambda house, _: house.engine.peek(None), "peek.. missing required argument: 'model'"),
        (lambda house, _: house.engine.admit(None, "m", 1, 2, "p"), "at most 4 by place, 5 were given"),
        (lambda house, _: house.engine.admit(None, "m", key=None), "multiple values for argument 'key'"),
        (lambda house, _: house.engine.admit(None, "m", promt=1), "unexpected argument 'promt'"),
        (lambda house, _: house.engine.settle(), "settle.. missing required argument: 'permit'"),
        (lambda _, permit: permit.settle(1, 2, 3), "at most 2 by place, 3 were given"),
        (lambda _, permit: permit.settle(1, prompt_tokens=1), "multiple values for argument 'prompt_tokens'"),
        (lambda house, _: limen.Permit.settle(house.engine, 1), "doesn't apply to a 'Engine' object"),
    ],
)
def test_arguments_that_no_signature_takes_are_a_type_error(call: Callable[..., Any], match: str) -> None:
    house = House()
    permit = house.admit(house.key(), tokens=5)
    with pytest.raises(TypeError, match=match):
        call(house, permit)
    assert permit.settle(completion_tokens=2, prompt_tokens=1).tokens == 3


def test_settlements_that_are_kept_stay_what_they_were() -> None:
    house = House()
    key = house.key()
    for kept in ([], [house.admit(key, tokens=1).settle(tokens=1)]):
        kept += [house.admit(key, tokens=1).settle(tokens=number) for number in (2, 3, 4)]
        house.admit(key, tokens=1).settle(tokens=9)
        assert [settlement.tokens for settlement in kept][-3:] == [2, 3, 4]
        last = house.admit(key, tokens=1).settle(tokens=5)
        alias = last
        del last
        house.admit(key, tokens=1).settle(tokens=6)
        assert alias.tokens == 5


def test_the_collector_of_cycles_visits_no_open_permit() -> None:
    house = House()
    key = house.key()
    (other,) = house.engine.admit_many([(key.value, "m")])
    permits = [house.admit(key, tokens=1), other]
    assert [gc.is_tracked(permit) for permit in permits] == [False, False]
    assert not gc.is_tracked(permits[0].settle(tokens=1))
