"""What the audit says of a record: its configuration in the schema's words, every secret as its mask.

Usage and times live by themselves and are left out.
"""

from collections.abc import Callable
from typing import Any, Final

from limen.model import to_json
from limen.resources import views
from limen.resources.records import Kind, Record
from limen.resources.shape import LIVE, plain

FORMS: Final[dict[Kind, Callable[[Any, Any], Any]]] = {
    "customer": views.customer,
    "team": views.team,
    "provider": views.provider,
    "provider_key": views.provider_key,
    "virtual_key": views.virtual_key,
    "model_config": views.model_config,
    "routing_rule": views.routing_rule,
    "pricing_override": lambda source, row: views.pricing_override(row),
}


class Idle:
    """A configuration whose limits have counted nothing: `get` finds what a form names."""

    def __init__(self, get: Callable[[Kind, str], Record | None]) -> None:
        self.get = get

    def usage(self, limit_id: str, kind: str) -> tuple[int, int, int, int]:
        return 0, 0, 0, 0

    def health(self, rule_id: str) -> tuple[int, int, int, str | None, int | None]:
        return 0, 0, 0, None, None

    def linked(self, kind: Kind, id: str, by: Kind) -> list[str]:
        return []


def noted(kind: Kind, record: Record | None, get: Callable[[Kind, str], Record | None]) -> bytes | None:
    """A record as the audit keeps it."""
    return None if record is None else to_json(_still(plain(FORMS[kind](Idle(get), record))))


def _still(value: Any) -> Any:
    """Without what lives by itself."""
    if isinstance(value, dict):
        return {word: _still(item) for word, item in value.items() if word not in LIVE}
    return [_still(item) for item in value] if isinstance(value, list) else value
