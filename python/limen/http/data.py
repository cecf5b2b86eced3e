"""The data plane: admit, settle, update, release, peek, and many of them in a batch.

Each route is one function from bytes to an answer; nothing in it waits. The engine decides, so this file
holds only what HTTP adds: where the virtual key may stand, what needs a gateway token, the answers' form.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec
import orjson

from limen.errors import LimenError, NotFoundError, fault
from limen.gateway.usage import usage_words
from limen.http import calls
from limen.http.auth import Caller
from limen.http.calls import Ask, Release, Settle, Update
from limen.http.json_guard import duplicate, duplicates
from limen.http.responses import (
    Answer,
    answer,
    denial_body,
    fault_body,
    header_lines,
    wire_limits,
    written,
)

if TYPE_CHECKING:
    from limen import Denial, Engine, Handle, Permit

Body: TypeAlias = dict[str, Any]
Run: TypeAlias = list[Any]
Tried = TypeVar("Tried")

BATCH_MOST: Final = 1024


class DataPlane:
    """The routes of one engine. Where `key_required` is off, requests may come without a key."""

    def __init__(self, engine: "Engine", *, key_required: bool) -> None:
        self._engine = engine
        self._key_required = key_required
        self._ask_decoder = calls.decoder(Ask)
        self._settle_decoder = calls.decoder(Settle)
        self._update_decoder = calls.decoder(Update)
        self._release_decoder = calls.decoder(Release)
        self._batch_decoder = calls.decoder(calls.Batch)
        self._item_decoder = calls.decoder(calls.Item)
        self._runs: dict[type, Callable[[Run, Caller], Run]] = {
            calls.AdmitItem: self._admit_run,
            calls.SettleItem: self._settle_run,
            calls.PeekItem: _one_by_one(self._peeked),
            calls.UpdateItem: _one_by_one(self._updated),
            calls.ReleaseItem: _one_by_one(self._released),
        }

    def admit(self, body: bytes, caller: Caller) -> Answer:
        return _decision(self._engine.admit(**self._request(calls.read(self._ask_decoder, body), caller)))

    def peek(self, body: bytes, caller: Caller) -> Answer:
        return _decision(self._engine.peek(**self._request(calls.read(self._ask_decoder, body), caller)))

    def settle(self, body: bytes, caller: Caller) -> Answer:
        call = calls.read(self._settle_decoder, body)
        return written(200, self._engine.settle(**self._settlement(call, caller)).json())

    def update(self, body: bytes, caller: Caller) -> Answer:
        return answer(*self._updated(calls.read(self._update_decoder, body), caller))

    def release(self, body: bytes, caller: Caller) -> Answer:
        return answer(*self._released(calls.read(self._release_decoder, body), caller))

    def batch(self, body: bytes, caller: Caller) -> Answer:
        """Every call gets the status and the body that it would have got alone, in order.

        The extension reads the body and answers plain calls; here is what it does not take. Calls of one
        kind that follow each other are one run, and a run of admits or settles is one crossing.
        """
        others = partial(self._answers, caller=caller)
        # A key in the headers has a say in every call.
        results = self._engine.answer_batch(body, BATCH_MOST, caller.key is None, others, _told)
        if results is None:
            texts = self._texts(body)
            _refuse_too_many(texts)
            results = self._engine.json_list(others(texts), _told)
        return written(200, b'{"results":%b}' % results)

    def _answers(self, texts: "Sequence[str | msgspec.Raw]", caller: Caller) -> Run:
        """The answers to calls that may be faulty, each by itself."""
        run = [_tried(calls.read, self._item_decoder, _as_bytes(text)) for text in texts]
        answers: Run = []
        for kind, same in groupby(run, type):
            answers += self._runs.get(kind, _faults)(list(same), caller)
        return answers

    def _texts(self, body: bytes) -> list[msgspec.Raw]:
        """The calls of a batch one by one, still unread: so a faulty one does not spoil the others."""
        try:
            batch: calls.Batch = self._batch_decoder.decode(body)
        except (ValueError, RecursionError) as error:
            raise calls.malformed(error) from None
        for path in duplicates(body):
            if len(path) == 1:
                raise duplicate(path)
        return batch.calls

    def _admit_run(self, run: Run, caller: Caller) -> Run:
        return _crossed(self._engine.admit_many, [_tried(self._request, call, caller) for call in run])

    def _settle_run(self, run: Run, caller: Caller) -> Run:
        return _crossed(self._engine.settle_many, [_tried(self._settlement, call, caller) for call in run])

    def _peeked(self, call: Ask, caller: Caller) -> "Permit | Denial":
        return self._engine.peek(**self._request(call, caller))

    def _request(self, call: Ask, caller: Caller) -> Body:
        """The arguments of admit and peek."""
        key = self._key(call, caller)
        request = calls.given(call)
        request["key"] = key
        request.setdefault("model", None)
        return request

    def _key(self, call: Ask, caller: Caller) -> "str | Handle | None":
        """The one key that body and headers agree on. "" is none."""
        if call.virtual_key_id is not None:
            return self._key_by_id(call.virtual_key_id, call, caller)
        key = call.virtual_key or caller.key
        if caller.key and key != caller.key:
            raise fault("invalid_request", "the headers name another virtual key", "virtual_key")
        if not key and not self._key_required and not caller.trusted:
            raise fault("gateway_token_required", "a request without a virtual key needs a gateway token")
        return key or None

    def _key_by_id(self, id: str, call: Ask, caller: Caller) -> "Handle":
        if call.virtual_key is not None:
            raise fault("invalid_request", "excludes virtual_key", "virtual_key_id")
        if not caller.trusted and not caller.key:
            raise fault("gateway_token_required", "virtual_key_id needs a gateway token")
        if caller.key:
            try:
                own = self._engine.handle(caller.key)
            except NotFoundError:
                if caller.trusted:
                    raise
                # A Bearer text that is neither: it may be the admin token, which opens nothing here.
                raise fault("gateway_token_required", "virtual_key_id needs a gateway token") from None
            if own.id != id:
                raise fault("invalid_request", "the headers name another virtual key", "virtual_key_id")
            return own
        try:
            return self._engine.handle(id=id)
        except NotFoundError:
            raise fault("virtual_key_not_found") from None

    def _settlement(self, call: Settle, caller: Caller) -> Body:
        """The arguments of settle."""
        settlement = calls.stated(call)
        if call.usage is not None or call.format is not None:
            if call.usage is None:
                raise fault("invalid_request", "is missing", "usage")
            if call.format is None:
                raise fault("invalid_request", "is missing", "format")
            del settlement["usage"], settlement["format"]
            reported = usage_words(call.usage, call.format)
            for word in reported:
                if word in settlement:
                    raise fault("invalid_request", "is said by usage as well", word)
            settlement |= reported
        self._compare(call.permit, caller)
        return settlement

    def _updated(self, call: Update, caller: Caller) -> tuple[int, Body]:
        self._compare(call.permit, caller)
        over = self._engine.update(**calls.stated(call))
        return 200, {"updated": True, "over": wire_limits(over)}

    def _released(self, call: Release, caller: Caller) -> tuple[int, Body]:
        self._compare(call.permit, caller)
        self._engine.release(call.permit, call.reason, call.request)
        return 200, {"released": True}

    def _compare(self, permit: str, caller: Caller) -> None:
        """A permit is its own proof; a key that comes along must be the one it was given to."""
        if caller.key is not None:
            self._engine.check_credential(permit, caller.key)


def _tried(step: "Callable[..., Tried]", *arguments: Any) -> "Tried | LimenError":
    """What a step gives, or the fault that it raises."""
    try:
        return step(*arguments)
    except LimenError as error:
        return error


def _as_bytes(text: "str | msgspec.Raw") -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


def _result(status: int, body: Body) -> bytes:
    body["status"] = status
    return orjson.dumps(body)


def _told(answer: Any) -> bytes:
    """One answer of a batch that does not write itself."""
    if isinstance(answer, tuple):
        return _result(*answer)
    if isinstance(answer, LimenError):
        return _result(answer.status, fault_body(answer))
    # A wait has no header to stand in.
    return _result(answer.status, {**denial_body(answer), "retry_after": answer.retry_after})


def _faults(run: Run, caller: Caller) -> Run:
    """Calls that could not be read are their own answers."""
    return run


def _one_by_one(step: "Callable[[Any, Caller], Any]") -> "Callable[[Run, Caller], Run]":
    return lambda run, caller: [_tried(step, call, caller) for call in run]


def _crossed(many: "Callable[[Run], Run]", asked: Run) -> Run:
    """A run in one crossing; a call that is refused on the way to it takes no part."""
    answers = many([call for call in asked if not isinstance(call, LimenError)])
    if len(answers) == len(asked):
        return answers
    rest = iter(answers)
    return [call if isinstance(call, LimenError) else next(rest) for call in asked]


def _refuse_too_many(given: Sequence[object]) -> None:
    if len(given) > BATCH_MOST:
        raise fault("invalid_request", f"a batch holds {BATCH_MOST} calls at most", "calls")


def _decision(decision: "Permit | Denial") -> Answer:
    headers = header_lines(decision.headers())
    if decision:
        return written(200, decision.json(), headers)
    return answer(decision.status, denial_body(decision), headers)
