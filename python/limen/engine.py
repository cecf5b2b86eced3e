"""The embedded face: the extension's decisions, and the entities that they are made over.

`admit`, `settle`, `update`, `release`, `peek` and their like are the extension's own methods, inherited, so
that no Python frame stands between a caller and a decision. What is added here is configuration.

    >>> with Engine() as engine:
    ...     customer = engine.customers.create({"name": "acme"})
    ...     engine.customers.get(customer.id).name
    'acme'
"""

import os
import weakref
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from limen import _core
from limen.actor import acting_as
from limen.errors import InvalidError, LimenError, fault
from limen.evaluation import RuleEvaluation
from limen.explanation import Explanation
from limen.model import ListUsageResponse, LoadReport, VirtualKeyQuotaResponse
from limen.reports import CatalogReport
from limen.resources.audit import Audit
from limen.resources.book import Book
from limen.resources.change import Kept
from limen.resources.customers import Customers
from limen.resources.history import History
from limen.resources.limit_lists import Budgets, RateLimits
from limen.resources.model_configs import ModelConfigs
from limen.resources.prices import (
    BUILTIN,
    CATALOG,
    Prices,
    catalog_of,
    catalog_row,
    set_catalog,
    source_of,
    take_prices,
)
from limen.resources.pricing_overrides import PricingOverrides
from limen.resources.provider_keys import ProviderKeys
from limen.resources.providers import Providers
from limen.resources.routing_rules import RoutingRules
from limen.resources.teams import Teams
from limen.resources.virtual_keys import VirtualKeys
from limen.settings import Settings, read_settings

if TYPE_CHECKING:
    from limen.pricing_catalog import PriceCatalog
    from limen.store.flusher import Flusher
    from limen.store.store import Store

# A child of fork must not go on with its parent's counters: both would spend the same budget.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_core.forked)


def _end(pid: int, engine: "weakref.ref[Engine]", flusher: "Flusher", store: "Store") -> None:
    if os.getpid() != pid:
        return  # a child of fork: all of it is the parent's
    known = engine()
    if known is None:
        flusher.stop()
        store.close()
    else:
        known.close()


def load_prices(source: str | os.PathLike[str] = "builtin") -> "PriceCatalog[_core.RateCard]":
    """The prices in a file of LiteLLM's format.

    `source` is its path, `"builtin"` for the small dated catalogue of this package, or `"litellm"` for the
    file of an installed litellm, which is not imported. What of it is not taken, was rounded or could not be
    read is in the catalogue's `report`. Raises InvalidError where the whole cannot be read.

    >>> catalog = load_prices()
    >>> found = catalog.find("gpt-4o", "openai")
    >>> found.by, found.card.cost({"prompt_tokens": 812, "completion_tokens": 233}).nano_usd
    ('provider and name', 4360000)
    """
    # Imported here: most programs read no price file.
    from limen.pricing_catalog import read_catalog

    return read_catalog(source, _core.RateCard.from_catalog)


def _read_prices(source: str | os.PathLike[str]) -> Prices:
    """Prices as a configuration has them."""
    catalog = load_prices(source)
    base = _core.BasePrices(catalog.rows())
    return Prices(os.fspath(source), base, catalog.report, catalog.digest)


@cache
def _builtin() -> Prices:
    """Those of the package, which every engine begins with: read once."""
    return _read_prices(BUILTIN)


def _prices_of(source: str) -> Prices:
    return _builtin() if source == BUILTIN else _read_prices(source)


class Engine(_core.Engine):
    """Decisions over customers, teams, virtual keys, models and providers.

    `settings` is a Settings (or a mapping with its names), `clock` a ManualClock for tests and replays,
    `seed` (0 to 2**64 - 1) makes draws repeatable. Any number of threads may call one engine; a child of fork
    may not (ForkedError). It is a context manager: at the end it is closed.

    `customers`, `teams`, `virtual_keys`, `model_configs`, `providers`, `provider_keys`, `routing_rules` and
    `pricing_overrides` create, get, list, update and delete; `budgets` and `rate_limits` list and reset;
    `audit` lists who changed what, `history` what was used.

    `Engine.open(path)` keeps the configuration in a file.

    >>> with Engine() as engine:
    ...     bot = {"provider_configs": [{"provider": "openai", "weight": 1, "allowed_models": ["*"]}]}
    ...     limit = {"request_max_limit": 1, "request_reset_duration": "1h"}
    ...     key = engine.virtual_keys.create({"name": "bot", **bot, "rate_limit": limit})
    ...     first, second = [engine.admit(key.value, "gpt-4o", 812, 400) for _ in range(2)]
    ...     settled = first.settle(prompt_tokens=812, completion_tokens=233)
    >>> (first.provider, settled.tokens), (bool(second), second.code)
    (('openai', 1045), (False, 'request_limited'))
    """

    def __new__(
        cls,
        *,
        settings: Settings | Mapping[str, Any] | None = None,
        clock: _core.ManualClock | None = None,
        seed: int | None = None,
    ) -> Self:
        return super().__new__(cls, read_settings(settings).core(), clock, seed)

    def __init__(
        self,
        *,
        settings: Settings | Mapping[str, Any] | None = None,
        clock: _core.ManualClock | None = None,
        seed: int | None = None,
    ) -> None:
        self._begin(read_settings(settings))

    def _begin(self, settings: Settings) -> None:
        self._given_settings = self._settings = settings
        self._book = book = Book(self, _prices_of)
        book.secret_env = frozenset(self._settings.secret_env)
        self.customers = Customers(book)
        self.teams = Teams(book)
        self.virtual_keys = VirtualKeys(book)
        self.model_configs = ModelConfigs(book)
        self.providers = Providers(book)
        self.provider_keys = ProviderKeys(book)
        self.routing_rules = RoutingRules(book)
        self.pricing_overrides = PricingOverrides(book)
        self.budgets = Budgets(book)
        self.rate_limits = RateLimits(book)
        self.audit = Audit(book)
        self.history = History(book)
        self._flusher: Flusher | None = None
        self.apply([catalog_row(book.prices)])

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        settings: Settings | Mapping[str, Any] | None = None,
        clock: _core.ManualClock | None = None,
        seed: int | None = None,
    ) -> Self:
        """An engine that is kept in the SQLite file at `path`, made where there is none.

        A change of the configuration is on the disk before it is answered; where the disk refuses,
        StorageError, and nothing has changed. Usage, open permits and idempotency ids are written every
        `usage_flush_ms`: a crash loses no more than that, a clean end nothing.

        What files have set stays in force over `settings` (tokens are never kept). StorageError too where
        another process has the file, or it is damaged, or of a newer version. ":memory:" keeps nothing.
        `clock` and `seed` are those of Engine.
        """
        if path == ":memory:":
            return cls(settings=settings, clock=clock, seed=seed)
        # Imported here: an engine in memory needs none of it.
        from limen.store.opening import open_store, settings_after

        given = read_settings(settings)
        with open_store(path) as (store, kept):
            found = settings_after(given, kept.settings)
            secret, boot = kept.identity
            engine = _core.Engine.__new__(cls, found.core(), clock, seed, secret=secret, boot=boot)
            engine._begin(found)
            engine._given_settings = given
            engine._keep_in(store, kept)
            return engine

    def _keep_in(self, store: "Store", kept: Kept) -> None:
        from limen.store.flusher import Flusher

        if (source := catalog_of(kept.settings)) is not None:
            try:
                self._book.prices = self._book.read_prices(source)
                self.apply([catalog_row(self._book.prices)])
            except LimenError as error:
                words = f"the price catalogue {source} that was set cannot be used: {error.message}"
                raise fault("store_refused", words) from error
        self._book.restore(kept)
        self._book.keeper = store
        self.keep_history(on=True)
        try:
            restored = self.restore_usage(*store.usage())
        except InvalidError as error:
            raise store.damaged(error.message) from None
        store.claim(kept.identity, restored["unknown"])
        self._flusher = flusher = Flusher(
            weakref.ref(self),
            collect=_core.Engine.collect,
            every_s=lambda engine: engine.settings.usage_flush_ms / 1000,
            write=lambda engine, pending: store.write_usage(
                pending, engine.history.named, engine._keep_from()
            ),
        )
        self._book.flush = flusher.flush
        # At the end of the interpreter it ends cleanly; of an engine that is forgotten the file is let go of.
        weakref.finalize(self, _end, os.getpid(), weakref.ref(self), flusher, store)

    def _keep_from(self) -> int:
        """Periods that ended before this instant are let go of; a closed engine's clock is asked no more."""
        return 0 if self._book.closed else self.now_ms() - self._settings.history_days * 86_400_000

    @property
    def trouble(self) -> str | None:
        """Why the store takes no changes just now; None where it does, and in memory. Decisions go on."""
        return self._book.keeper.trouble

    @property
    def flush_ms(self) -> int | None:
        """How often usage is written, in milliseconds: the most that a crash can lose. None in memory."""
        return None if self._flusher is None else self._settings.usage_flush_ms

    @property
    def settings(self) -> Settings:
        """The settings in force: the constructor's, then those of the files that were loaded."""
        return self._settings

    def load(self, path: str | os.PathLike[str], prune: bool = False) -> LoadReport:
        """Take the file at `path`, whole or not at all; again, it changes what differs and nothing else.

        `prune` removes what came from a file and is in this one no longer. Anything wrong is an
        InvalidError (or NotFoundError, ConflictError: that of the first fault) whose `faults` name all of it,
        with paths in the file.
        """
        # Imported here: most of what loads a file is needed by nobody else.
        from limen.resources.document import read_document

        document, faults = read_document(path)
        faults.check()
        report = self._take(document, os.fspath(path), prune, os.path.dirname(os.fspath(path)))
        # A large file was read into many times what is kept of it.
        del document
        _core.trim()
        return report

    def _take(self, document: Any, name: str, prune: bool = False, folder: str = "") -> LoadReport:
        """The same of a document at hand, which the audit calls by `name`; its paths begin at `folder`."""
        from limen.resources.config_file import Loading

        with acting_as("file"), self._book.edit() as draft:
            loading = Loading(self._book, draft, self._settings, self._given_settings, folder)
            report = loading.take(document, prune)
            loading.note(name)
            draft.publish()
            self._settings = loading.settings
            self._book.secret_env = frozenset(loading.settings.secret_env)
        if self._flusher is not None:
            self._flusher.wake()
        return report

    def load_prices(self, source: str | os.PathLike[str] | None = None) -> CatalogReport:
        """Have decisions go by the prices in a file from now on, and say what became of the file.

        `source` is as for `limen.load_prices`; None reads those in force again. Permits that are open settle
        by the prices that they were admitted by. Kept in a store. Raises InvalidError, and changes nothing,
        where the file cannot be read.
        """
        with self._book.edit() as draft:
            asked = draft.prices.source if source is None else source
            wanted = source_of(asked, "", "source", draft.faults)
            draft.faults.check()
            take_prices(self._book, draft, wanted, "source")
            draft.faults.check()
            kept = set_catalog(self._book.settings, wanted)
            draft.settings = None if kept == self._book.settings else kept
            if draft.changed():
                draft.note("load", CATALOG, draft.prices.source, None, None)
            draft.publish()
            return draft.prices.report

    @property
    def prices(self) -> CatalogReport:
        """What became of the price file in force."""
        with self._book.reading():
            return self._book.prices.report

    def quota(self, key: str | _core.Handle) -> VirtualKeyQuotaResponse:
        """What the holder of a virtual key (its value, or a handle) may see of it.

        NotFoundError `virtual_key_not_found` (401) where there is none.
        """
        if not isinstance(key, str | _core.Handle):
            raise fault("invalid_request", "must be a virtual key's value or a handle", "key")
        return self.virtual_keys.quota(self.handle(key).id)

    def check_expression(self, text: str) -> None:
        """Nothing where `text` may be the `cel_expression` of a routing rule.

        InvalidError otherwise: the place of the fault, and what to write instead.
        """
        with self._book.reading():
            pass  # raises where the engine is closed
        _core.check_expression(text)

    def evaluate(
        self,
        key: str | _core.Handle | None,
        model: str | None,
        input_tokens: int = 0,
        max_output_tokens: int | None = None,
        *,
        provider: str | None = None,
        request_type: str = "chat_completion",
        tokens: int | None = None,
        cost_usd: Decimal | float | None = None,
        usage: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        mcp_tool: str | None = None,
        fallbacks: Sequence[str] | None = None,
        sticky: str | None = None,
        id: str | None = None,
        now_ms: int | None = None,
    ) -> RuleEvaluation:
        """Which routing rule would bind a request, where it would go, and why other rules would not.

        The arguments and faults of `admit`; a caller who is unknown, missing or blocked is a fault as well.
        Takes and draws nothing, and counts in no rule's health.
        """
        request = {word: value for word, value in locals().items() if word != "self"}
        # Rules have their names here: none may come or go between the core's answer and these.
        with self._book.reading():
            return self.routing_rules.evaluation(*self.trace_rules(request))

    def explain(
        self,
        key: str | _core.Handle | None,
        model: str | None,
        input_tokens: int = 0,
        max_output_tokens: int | None = None,
        *,
        provider: str | None = None,
        request_type: str = "chat_completion",
        tokens: int | None = None,
        cost_usd: Decimal | float | None = None,
        usage: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        mcp_tool: str | None = None,
        fallbacks: Sequence[str] | None = None,
        sticky: str | None = None,
        id: str | None = None,
        now_ms: int | None = None,
        **words: Any,
    ) -> Explanation:
        """What `admit` would answer, and why: rules, candidates, limits, and each line of the price.

        The arguments and faults of `admit`. What is priced are the usage words given beside them, such as
        prompt_tokens; without any, what is expected: `usage`, or the amounts. Where it is not said how much
        the request may use, these words are what it is expected to. Takes nothing.
        """
        request = {word: value for word, value in locals().items() if word not in ("self", "words")}
        # Imported here: most programs explain nothing.
        from limen.explaining import explain

        with self._book.reading():
            return explain(self, request, words)

    def usage(self, **filters: Any) -> ListUsageResponse:
        """What was used of every limit, period by period: `history.list` with its `filters`."""
        return self.history.list(**filters)

    def flush(self) -> None:
        """Write down what was used until now, or raise StorageError; in memory, nothing."""
        with self._book.reading():
            flusher = self._flusher
        if flusher is not None:
            flusher.flush()

    def close(self) -> None:
        """Every later call raises `engine_closed`; everything is on the disk. Twice is once.

        StorageError where the disk does not take the last usage: the engine is closed, and that is lost.
        """
        self._book.check_fork()
        with self._book.editing, self._book.lock:
            first = not self._book.closed
            self._book.closed = True
            self.shut()
        try:
            if first and self._flusher is not None:
                self._flusher.flush()
        finally:
            # Also where another thread closes it just now: it is closed when the last flush has ended.
            if self._flusher is not None:
                self._flusher.stop()
            self._book.keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
