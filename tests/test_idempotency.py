"""What makes two requests under one idempotency id the same: each field, through the engine and HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from house import House
from limen import LimenError
from routing_doors import admit, over_http

FIRST = {
    "model": "m",
    "provider": "p",
    "request_type": "chat_completion",
    "input_tokens": 10,
    "max_output_tokens": 5,
    "fallbacks": ["p/n"],
    "id": "once",
}
SAME: dict[str, dict[str, Any]] = {
    # what is different beside the first -> the permit of the first
    "nothing": {},
    "headers: a date, a trace": {"headers": {"date": "later"}},
    "params": {"params": {"temperature": "1"}},
    "a sticky key": {"sticky": "somebody"},
}
OTHER: dict[str, dict[str, Any]] = {
    # what is different beside the first -> another request
    "the provider": {"provider": None},
    "the model": {"model": "n"},
    "the model as it is given": {"model": "p/m"},
    "the type": {"request_type": "responses"},
    "the input": {"input_tokens": 11},
    "the maximum": {"max_output_tokens": 6},
    "no maximum": {"max_output_tokens": None},
    "a cost": {"cost_usd": 1},
    "tokens instead": {"input_tokens": None, "max_output_tokens": None, "tokens": 15},
    "usage words instead": {"input_tokens": None, "usage": {"prompt_tokens": 10}},
    "a tool": {"mcp_tool": "client/tool"},
    "the fallbacks": {"fallbacks": ["p/o"]},
    "no fallbacks": {"fallbacks": None},
}


def ask(house: House, key: Any, more: dict[str, Any]) -> dict[str, Any]:
    return admit(house.engine, key, **{name: v for name, v in {**FIRST, **more}.items() if v is not None})


@pytest.fixture
def key(house: House) -> Any:
    tools = [{"mcp_client_name": "client", "tools_to_execute": ["*"]}]
    return house.key(requests=(9, "1h"), mcp_configs=tools)


@pytest.mark.parametrize("says", SAME)
def test_the_same_request_is_the_same_permit(house: House, key: Any, says: str) -> None:
    first = ask(house, key, {})
    assert ask(house, key, SAME[says]) == first
    assert house.requests(key) == (1, 0)


@pytest.mark.parametrize("says", OTHER)
def test_another_request_is_a_conflict(house: House, key: Any, says: str) -> None:
    ask(house, key, {})
    if over_http(house.engine):
        answer = ask(house, key, OTHER[says])
        assert (answer["status"], answer["code"]) == (409, "id_conflict")
    else:
        with pytest.raises(LimenError) as caught:
            ask(house, key, OTHER[says])
        assert (caught.value.status, caught.value.code) == (409, "id_conflict")
    assert house.requests(key) == (1, 0)


def test_an_id_that_is_used_by_one_tool_opens_no_other(house: House) -> None:
    tools = [{"mcp_client_name": "client", "tools_to_execute": ["read"]}]
    key = house.key(mcp_configs=tools)
    first = {"model": None, "mcp_tool": "client/read", "id": "once"}
    assert house.engine.admit(key.value, **first)
    with pytest.raises(LimenError):
        house.engine.admit(key.value, **{**first, "mcp_tool": "client/delete"})
