"""GET /health and /api/version: what a load balancer asks, and who is there."""

from typing import TYPE_CHECKING

from limen import __version__
from limen.http.auth import Caller
from limen.http.responses import Answer, answer

if TYPE_CHECKING:
    from limen import Engine


class Health:
    """200 while the engine decides. Everything is in memory, so there is nothing that could be degraded."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def get(self, _body: bytes, _caller: Caller) -> Answer:
        return answer(200, {"status": "ok", "store": "memory", "open_permits": self._engine.open_permits()})

    def version(self, _body: bytes, _caller: Caller) -> Answer:
        return answer(200, {"version": __version__})
