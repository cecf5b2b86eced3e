"""Conditions of routing rules for the oracle: each as its text, and what it means.

    CONDITIONS["budget_used > 50"](Facts(now, request, Target("p", "m"), chain))

A condition that asks for a header that is not there does not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from model_counter import Counter
from model_types import Request, Target


@dataclass
class Facts:
    """A request, where it wants to go, and every limit that it would meet there."""

    now: int
    request: Request
    incoming: Target
    chain: list[Counter]

    def percent(self, kind: str) -> float:
        """How full the fullest limit of a kind is; where nothing fits it is full."""
        full = [0.0]
        for counter in self.chain:
            if counter.kind == kind:
                total = counter.used(self.now) + counter.held(self.now)
                full.append(total * 100.0 / counter.limit if counter.limit else 100.0)
        return max(full)


CONDITIONS: dict[str, Callable[[Facts], bool]] = {
    "": lambda facts: True,
    'model == "m"': lambda facts: facts.incoming.model == "m",
    'model in ["n", "r/m"] || provider == "q"': lambda facts: (
        facts.incoming.model in ("n", "r/m") or facts.incoming.provider == "q"
    ),
    'provider == ""': lambda facts: facts.incoming.provider == "",
    'request_type == "embedding"': lambda facts: facts.request.request_type == "embedding",
    'headers["tier"] != "gold"': lambda facts: facts.request.tier not in (None, "gold"),
    '!("tier" in headers)': lambda facts: facts.request.tier is None,
    "budget_used > 50": lambda facts: facts.percent("budget") > 50,
    "tokens_used >= 50.0 && tokens_used < 100.0": lambda facts: 50 <= facts.percent("tokens") < 100,
    "request >= 100.0": lambda facts: facts.percent("requests") >= 100,
}
