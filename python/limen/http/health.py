"""GET /health and /api/version: what a load balancer asks, and who is there."""

from typing import TYPE_CHECKING

from limen import __version__
from limen.http.auth import Caller
from limen.http.responses import Answer, answer

if TYPE_CHECKING:
    from limen import Engine


class Health:
    """200 while all is well; 503 with what is degraded, while decisions go on.

    `usage_flush_ms` is the bound on what a crash loses of usage; null in memory, where all is lost.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def get(self, _body: bytes, _caller: Caller) -> Answer:
        trouble, flush_ms = self._engine.trouble, self._engine.flush_ms
        body = {
            "status": "ok" if trouble is None else "degraded",
            "store": "memory" if flush_ms is None else "sqlite",
            "usage_flush_ms": flush_ms,
            "open_permits": self._engine.open_permits(),
            "degraded": [] if trouble is None else [trouble],
        }
        return answer(200 if trouble is None else 503, body)

    def version(self, _body: bytes, _caller: Caller) -> Answer:
        return answer(200, {"version": __version__})
