"""What can go wrong, in one table: code -> exception class, HTTP status, words.

A fault is an exception; a denial is not (it is a value, `limen.Denial`). Codes are part of the interface and
never change; messages may. The extension raises through `fault` as well, so there is no second table:

    >>> fault("invalid_request", "must be a number", "budget.max_limit").param
    'budget.max_limit'
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """One thing that is wrong: its `code`, a `message` for a person, and `param`, the path of the field."""

    code: str
    message: str
    param: str | None = None

    def __str__(self) -> str:
        return self.message if self.param is None else f"{self.param}: {self.message}"


class LimenError(Exception):
    """Any fault of a call: `code`, `message`, `param` (the field's path), `status` (HTTP).

    `faults` lists everything that was found; the exception speaks of the first.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        param: str | None = None,
        status: int | None = None,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        row = TABLE.get(code)
        self.code = code
        self.message = message or (row.message if row else code)
        self.param = param
        self.status = status or (row.status if row else 500)
        self.faults = faults or (Fault(code, self.message, param),)
        # Every argument goes to the base, so that the exception can be pickled across processes.
        super().__init__(code, self.message, param, self.status, self.faults)

    def __str__(self) -> str:
        return str(Fault(self.code, self.message, self.param))

    @classmethod
    def of(cls, faults: tuple[Fault, ...]) -> "LimenError":
        """The exception of the first fault, with all of them on it."""
        code, message, param = faults[0]
        row = TABLE.get(code)
        return (row.error if row else cls)(code, message, param, faults=faults)


class InvalidError(LimenError):
    """The input breaks a rule; `param` names the field. Nothing was changed."""


class NotFoundError(LimenError):
    """An id, a key or a permit that is not known."""


class ConflictError(LimenError):
    """The input is well formed, and clashes with what is there."""


class StorageError(LimenError):
    """The store cannot take the change, or cannot be opened. Nothing was changed."""


class LimitedError(LimenError):
    """A bound of the engine itself, on entities or memory, was met."""


class ForkedError(LimenError):
    """A child of fork used an engine of its parent."""


class Row(NamedTuple):
    """One code: the exception that carries it, its HTTP status, its words where the raiser has none."""

    error: type[LimenError]
    status: int
    message: str


TABLE: dict[str, Row] = {
    "invalid_request": Row(InvalidError, 400, "the request breaks a rule"),
    "virtual_key_required": Row(LimenError, 401, "a virtual key is required"),
    "virtual_key_not_found": Row(NotFoundError, 401, "no such virtual key"),
    "gateway_token_required": Row(LimenError, 401, "a gateway token is required"),
    "admin_required": Row(LimenError, 401, "administration needs credentials"),
    "price_unknown": Row(LimenError, 402, "the price of this request is not known"),
    "budget_exceeded": Row(LimenError, 402, "a budget is spent"),
    "virtual_key_blocked": Row(LimenError, 403, "the virtual key is inactive or expired"),
    "provider_blocked": Row(LimenError, 403, "the virtual key does not allow this provider"),
    "model_blocked": Row(LimenError, 403, "the virtual key does not allow this model"),
    "mcp_tool_blocked": Row(LimenError, 403, "the virtual key does not allow this tool"),
    "read_only": Row(LimenError, 403, "these credentials may read and change nothing"),
    "not_found": Row(NotFoundError, 404, "there is no such entity"),
    "permit_not_found": Row(NotFoundError, 404, "there is no such permit"),
    "method_not_allowed": Row(LimenError, 405, "this route does not know that method"),
    "conflict": Row(ConflictError, 409, "it clashes with what is there"),
    "permit_closed": Row(ConflictError, 409, "the permit is closed"),
    "settle_conflict": Row(ConflictError, 409, "the permit was settled with other numbers"),
    "id_in_progress": Row(ConflictError, 409, "a request with this id is being decided"),
    "id_conflict": Row(ConflictError, 409, "another request had this id"),
    "precondition_failed": Row(ConflictError, 412, "it is not as the request expects it"),
    "body_too_large": Row(InvalidError, 413, "the body is too large"),
    "unsupported_media_type": Row(InvalidError, 415, "the body must be JSON"),
    "foreign_host": Row(LimenError, 421, "this server does not answer for that host"),
    "token_limited": Row(LimenError, 429, "a token limit is met"),
    "request_limited": Row(LimenError, 429, "a request limit is met"),
    "rate_limited": Row(LimenError, 429, "a rate limit is met"),
    "too_many_logins": Row(LimenError, 429, "too many failed logins"),
    "internal_error": Row(LimenError, 500, "the server failed at this request"),
    "engine_forked": Row(ForkedError, 500, "this engine belongs to the parent process"),
    "engine_closed": Row(LimenError, 503, "the engine is closed"),
    "overloaded": Row(LimenError, 503, "too many connections are open"),
    "too_many_permits": Row(LimitedError, 503, "too many permits are open"),
    "too_many_entities": Row(LimitedError, 503, "the engine holds as many entities as it may"),
    "storage_unavailable": Row(StorageError, 503, "the store cannot take the change"),
    "store_locked": Row(StorageError, 503, "another process has the store"),
    "store_damaged": Row(StorageError, 503, "the store is damaged"),
    "store_refused": Row(StorageError, 503, "this is no store that can be opened"),
}


def codes() -> list[str]:
    """Every code there is."""
    return list(TABLE)


def fault(code: str, message: str = "", param: str | None = None) -> LimenError:
    """The exception of `code`, for the caller to raise."""
    row = TABLE.get(code)
    return (row.error if row else LimenError)(code, message or None, param)


class Faults(list[Fault]):
    """Faults as they are found in one reading of an input; bounded, since the input may be hostile."""

    MOST = 1000

    def add(self, param: str, message: str, code: str = "invalid_request") -> None:
        if len(self) < self.MOST:
            self.append(Fault(code, message, param or None))

    def check(self) -> None:
        """Raise the first, with all of them on it; nothing where there is none."""
        if self:
            raise LimenError.of(tuple(self))
