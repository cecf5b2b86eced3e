"""What is asked of the limits, and held: stated amounts, capped ones, guesses, one row for each sentence."""

from __future__ import annotations

from decimal import Decimal

import pytest

from house import MINUTE
from rows import Row, allow, at, deny, limited, reads, settle

FIT_DENY = {"estimate": {"fit": "deny"}}
HUNDRED = limited(tokens=(100, "1m"))
DOLLAR = limited(budget=(1, "1h"))
CENT = 10_000_000

ROWS = [
    Row(
        "a request is used at once, tokens and money are held",
        limited(tokens=(100, "1m"), requests=(5, "1m"), budget=(1, "1h")),
        [
            allow(tokens=10, cost_usd=0.25, gives={"requests": 1, "tokens": 10, "cost_nano_usd": 25 * CENT}),
            reads(tokens=(0, 10), requests=(1, 0), budget=(0, 25 * CENT)),
        ],
    ),
    Row(
        "what is stated fits up to the last unit and is refused beyond it",
        HUNDRED,
        [allow(tokens=60), deny("token_limited", request={"tokens": 41}), allow(tokens=40)],
    ),
    Row(
        "with nothing stated it refuses from the limit on, not before",
        HUNDRED,
        [allow(tokens=99), allow(tokens=0), allow(tokens=1), deny("token_limited", request={"tokens": 0})],
    ),
    Row(
        "held amounts count like used ones",
        HUNDRED,
        [
            allow("a", tokens=50),
            settle("a", tokens=50),
            allow("b", tokens=50),
            deny("token_limited", request={"tokens": 1}, first={"used": 50, "held": 50, "asked": 1}),
        ],
    ),
    Row(
        "a limit of 0 refuses everything, for ever",
        limited(requests=(0, "1m")),
        [deny("request_limited", first={"never": True, "retry_after": None}, retry_after=None)],
    ),
    Row(
        "a token limit of 0 refuses a request that asks nothing",
        limited(tokens=(0, "1m")),
        [deny("token_limited", request={"tokens": 0}, first={"never": True})],
    ),
    Row(
        "a budget of 0 refuses a request that costs nothing",
        limited(budget=(0, "1h")),
        [deny("budget_exceeded", request={"cost_usd": 0}, first={"never": True})],
    ),
    Row(
        "what is stated is never cut",
        HUNDRED,
        [deny("token_limited", request={"input_tokens": 101}, first={"asked": 101, "never": True})],
    ),
    Row(
        "a maximum is held in full where it fits, and is not told again",
        HUNDRED,
        [allow(input_tokens=40, max_output_tokens=60, gives={"tokens": 100, "max_output_tokens": None})],
    ),
    Row(
        "a maximum that does not fit is cut to what does, and the permit says to how much",
        HUNDRED,
        [allow(input_tokens=40, max_output_tokens=61, gives={"tokens": 100, "max_output_tokens": 60})],
    ),
    Row(
        "a cut maximum keeps at least one token",
        HUNDRED,
        [
            allow(input_tokens=99, max_output_tokens=50, gives={"max_output_tokens": 1}),
            at(MINUTE),
            deny(
                "token_limited",
                request={"input_tokens": 100, "max_output_tokens": 50},
                first={"asked": 101, "never": True},
            ),
        ],
    ),
    Row(
        "a maximum of nothing asks for nothing",
        HUNDRED,
        [allow(input_tokens=100, max_output_tokens=0, gives={"tokens": 100, "max_output_tokens": None})],
    ),
    Row(
        "under fit deny a maximum that does not fit is refused, with the number that would",
        HUNDRED,
        [
            deny(
                "token_limited",
                request={"input_tokens": 40, "max_output_tokens": 61},
                first={"asked": 101, "never": True},
                fits=60,
                retry_after=None,
            ),
            allow(input_tokens=40, max_output_tokens=60),
        ],
        FIT_DENY,
    ),
    Row(
        "under fit deny a maximum that fits later waits for the window",
        HUNDRED,
        [
            allow(tokens=50),
            deny("token_limited", request={"max_output_tokens": 60}, fits=50, retry_after=60.0),
            at(MINUTE),
            allow(max_output_tokens=60),
        ],
        FIT_DENY,
    ),
    Row(
        "a guess is a tenth of the limit",
        HUNDRED,
        [allow(input_tokens=7, gives={"tokens": 17, "reason": "guessed", "max_output_tokens": None})],
    ),
    Row(
        "a guess is at most the estimate of the settings",
        limited(tokens=(1_000_000, "1m")),
        [allow(gives={"tokens": 1_024})],
    ),
    Row(
        "estimate and share are settings",
        limited(tokens=(1_000, "1m")),
        [allow(gives={"tokens": 500})],
        {"estimate": {"output_tokens": 2_000, "share": 0.5}},
    ),
    Row(
        "a share is the decimal number that was written, not the float nearest to it",
        limited(tokens=(10, "1m")),
        [allow(gives={"tokens": 7})],
        {"estimate": {"output_tokens": 2_000, "share": 0.7}},
    ),
    Row(
        "a guess takes at most what is left",
        HUNDRED,
        [allow(tokens=95), allow(gives={"tokens": 5})],
    ),
    Row(
        "a guess that finds no room is zero and refuses nothing",
        HUNDRED,
        [allow(input_tokens=100, gives={"tokens": 100})],
    ),
    Row(
        "types that are not text are not guessed",
        HUNDRED,
        [allow(input_tokens=7, request_type="embedding", gives={"tokens": 7})],
    ),
    Row(
        "the other text types are guessed too",
        HUNDRED,
        [
            allow(request_type="responses", gives={"tokens": 10}),
            allow(request_type="text_completion", gives={"tokens": 10}),
        ],
    ),
    Row(
        "tokens stated outright leave nothing to guess",
        HUNDRED,
        [allow(tokens=3, gives={"tokens": 3, "reason": "stated"})],
    ),
    Row(
        "expected usage words are stated amounts",
        limited(tokens=(100, "1m"), budget=(1, "1h")),
        [
            allow(
                usage={"prompt_tokens": 10, "completion_tokens": 20, "cost_usd": 0.5},
                gives={"tokens": 30, "cost_nano_usd": 50 * CENT},
            )
        ],
    ),
    Row(
        "usage words with a maximum: what completion is expected beneath it is stated, the rest may be cut",
        HUNDRED,
        [
            allow(
                usage={"prompt_tokens": 10, "completion_tokens": 20},
                max_output_tokens=200,
                gives={"tokens": 100, "max_output_tokens": 90},
            )
        ],
    ),
    Row(
        "a refusal asks for what is stated and one token of the maximum",
        HUNDRED,
        [
            allow(tokens=95),
            deny("token_limited", request={"input_tokens": 10, "max_output_tokens": 50}, first={"asked": 11}),
        ],
    ),
    Row(
        "without a token limit no tokens are held",
        limited(requests=(5, "1m")),
        [allow(input_tokens=50, max_output_tokens=50, gives={"tokens": 0, "max_output_tokens": None})],
    ),
    Row(
        "many small calls fit beside each other under a small limit",
        HUNDRED,
        [*[allow(f"{n}") for n in range(10)], deny("token_limited", first={"held": 100})],
    ),
    Row(
        "a cost below a nano-dollar rounds up",
        DOLLAR,
        [allow(cost_usd=Decimal("1e-10"), gives={"cost_nano_usd": 1})],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.says for row in ROWS])
def test_row(row: Row) -> None:
    row.play()
