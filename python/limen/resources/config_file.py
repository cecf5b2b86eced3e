"""The configuration file: one document, taken whole or not at all, and again without effect.

Its entries are create bodies. Each is read into the record that it describes; where such an entity is there
already (by id, else by name), the record continues it: ids and usage stay. What then equals the kept record
is left alone; the fingerprint that was kept with it tells whether somebody had changed it by hand.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from limen.model import LoadReport, to_json
from limen.resources.base import Resource
from limen.resources.book import Book, Draft
from limen.resources.continuing import continue_record
from limen.resources.customers import Customers
from limen.resources.file_keys import FileKeys
from limen.resources.model_configs import ModelConfigs
from limen.resources.prices import BUILTIN, CATALOG, set_catalog, source_of, take_prices
from limen.resources.pricing_overrides import PricingOverrides
from limen.resources.provider_keys import ProviderKeys
from limen.resources.providers import Providers
from limen.resources.reading import identifier
from limen.resources.records import ProviderRow, Record, VirtualKeyRow, fingerprint
from limen.resources.routing_rules import RoutingRules
from limen.resources.shape import Body, Field, Shape, check_fixed
from limen.resources.teams import Teams
from limen.secret import new_id
from limen.settings import Settings, merge_settings

AnyResource: TypeAlias = Resource[Any, Any, Any]
Find: TypeAlias = Callable[[Body, str], str]
_TOKENS: Final = frozenset({"admin_tokens", "gateway_tokens"})
_JSON: Final = msgspec.json.Encoder(order="sorted", decimal_format="number")


class Section(NamedTuple):
    """One list of the file: its name, the entity, how its entries are read, the field that names them."""

    word: str
    resource: AnyResource
    shape: Shape
    title: str


class Entry(NamedTuple):
    """One entry that was read: where it stands, its clean fields, the id of its entity."""

    at: str
    body: Body
    id: str
    title: str


def _sections(book: Book) -> list[Section]:
    """In the order in which entries are taken: what is named before what names it."""
    listed: tuple[tuple[str, AnyResource, str], ...] = (
        ("providers", Providers(book), "name"),
        ("customers", Customers(book), "name"),
        ("teams", Teams(book), "name"),
        ("provider_keys", ProviderKeys(book), "name"),
        ("virtual_keys", FileKeys(book), "name"),
        ("model_configs", ModelConfigs(book), "model_name"),
        ("routing_rules", RoutingRules(book), "name"),
        ("pricing_overrides", PricingOverrides(book), "name"),
    )
    return [Section(word, resource, _shape(resource), title) for word, resource, title in listed]


def _shape(resource: AnyResource) -> Shape:
    shape = resource.create_shape
    if resource.kind == "provider":
        return shape
    fixed = tuple(word for word in shape.fixed if word != "id")
    return Shape({**shape.fields, "id": Field(identifier)}, fixed=fixed)


class Loading:
    """One load into a draft. `settings` are those in force after it, `given` those that no file has set.

    Paths in it are those beside `folder`.
    """

    def __init__(self, book: Book, draft: Draft, settings: Settings, given: Settings, folder: str) -> None:
        self.book = book
        self.draft = draft
        self.settings = settings
        self.given = given
        self.folder = folder
        self._report = LoadReport(created=[], updated=[], removed=[], restored=[], unchanged=0, warnings=[])

    def take(self, document: Any, prune: bool = False) -> LoadReport:
        """Read the whole document into the draft; its faults say everything that is wrong."""
        faults = self.draft.faults
        if not isinstance(document, Mapping):
            faults.add("", "the document must be an object")
            return self._report
        sections = _sections(self.book)
        known = {"settings", CATALOG, *(section.word for section in sections)}
        for word in document:
            if word not in known:
                faults.add(str(word)[:64], "is not a section of a configuration file")
        if prune or document.get("settings") is not None:
            self._settings(document.get("settings") or {}, prune)
        if prune or document.get(CATALOG) is not None:
            self._prices(document.get(CATALOG))
        read = [(section, self._read(section, document.get(section.word))) for section in sections]
        if prune:
            self._prune(read)
        for section, entries in read:
            for entry in entries:
                self._entry(section, entry)
        return self._report

    def _settings(self, value: Any, prune: bool) -> None:
        """Settings are kept as the rest is: what left the file stays as it is, unless it is pruned."""
        old = self.settings
        self.settings = merge_settings(value, "settings", self.draft.faults, self.given if prune else old)
        self.draft.secret_env = frozenset(self.settings.secret_env)
        if self.settings.core() != old.core():
            self.draft.first_rows.append({"op": "settings", **self.settings.core()})
        if not self.draft.faults:
            before = msgspec.json.decode(self.book.settings)
            before = {word: before[word] for word in before if word == CATALOG} if prune else before
            after = _JSON.encode(_set_by(before, value))
            self.draft.settings = None if after == self.book.settings else after

    def _prices(self, value: Any) -> None:
        """The price catalogue; without one in the file, as no file has set it."""
        faults, draft = self.draft.faults, self.draft
        source = BUILTIN if value is None else source_of(value, self.folder, CATALOG, faults)
        take_prices(self.book, draft, source, CATALOG)
        if value is not None:
            self._report.prices = draft.prices.report
        if not faults:
            set_before = self.book.settings if draft.settings is None else draft.settings
            after = set_catalog(set_before, None if value is None else source)
            draft.settings = None if after == self.book.settings else after

    def _read(self, section: Section, listed: Any) -> list[Entry]:
        """The entries of a section, each with the id of the entity that it describes."""
        faults, kind = self.draft.faults, section.resource.kind
        if listed is None:
            return []
        if not isinstance(listed, list | tuple):
            faults.add(section.word, "must be a list")
            return []
        bodies = []
        for index, item in enumerate(listed):
            body = section.shape.read(item, f"{section.word}[{index}]", faults, create=True)
            if body.fixed:
                check_fixed(body, {}, f"{section.word}[{index}]", faults)
            bodies.append(body)
        stated = {body["id"] for body in bodies if "id" in body}
        find = self._finder(section, bodies, stated)
        entries: list[Entry] = []
        taken: dict[str, int] = {}
        for index, body in enumerate(bodies):
            at = f"{section.word}[{index}]."
            id = body.get("id") or find(body, at)
            if taken.setdefault(id, index) != index:
                field = "id" if "id" in body else section.title
                faults.add(f"{at}{field}", f"is that of {section.word}[{taken[id]}]", "conflict")
                continue
            # Known from here on, so that a fault in it does not make faults of all that name it.
            self.draft.expected.add((kind, id))
            entries.append(Entry(at, body, id, str(body.get(section.title, id))))
        return entries

    def _finder(self, section: Section, bodies: list[Body], stated: set[str]) -> Find:
        """How an entry without an id finds its entity: by what is unique, else by a name that is alone."""
        kind, title = section.resource.kind, section.title
        if kind in ("customer", "team", "pricing_override"):
            return self._by_name(section, bodies, stated)

        def find(body: Body, at: str) -> str:
            called = body.get(title)
            if kind == "provider":
                return called or new_id()
            value: Any = called
            if kind == "provider_key":
                value = (body.get("provider"), called)
            elif kind == "model_config":
                value = (called, body.get("provider"))
            elif kind == "routing_rule":
                value = (body.get("scope"), body.get("scope_id"), called)
            found = self.book.uniques[kind].get(value)
            return new_id() if found is None or found in stated else found

        return find

    def _by_name(self, section: Section, bodies: list[Body], stated: set[str]) -> Find:
        kind = section.resource.kind
        here = Counter(body.get("name") for body in bodies)
        there: dict[str, list[str]] = {}
        if len(stated) < len(bodies):
            for id in self.book.records[kind]:
                if id not in stated:
                    called = section.resource.title(self.book.get(kind, id))
                    there.setdefault(called, []).append(id)

        def find(body: Body, at: str) -> str:
            called = body.get("name")
            found = there.get(called, []) if called is not None else []
            if called is not None and (here[called] > 1 or len(found) > 1):
                self.draft.faults.add(f"{at}name", "is not alone: entries of one name need an id each")
                return new_id()
            return found[0] if found else new_id()

        return find

    def _entry(self, section: Section, entry: Entry) -> None:
        resource, draft = section.resource, self.draft
        old = draft.get(resource.kind, entry.id)
        record: Record | None = resource.merge(None, entry.body, entry.at, draft, entry.id, create=True)
        if record is None:
            return
        if draft.faults:
            # Nothing will be published; the rest is read for its faults, such as a name taken twice.
            draft.put(resource.kind, record, entry.at)
            return
        if old is not None:
            record = continue_record(old, record)
        if isinstance(resource, FileKeys):
            resource.take_value(cast("VirtualKeyRow", record), draft)
        resource.complete(record, draft)
        record.origin = old.origin if old is not None else None
        same = record == old
        record.origin = fingerprint(record)
        shown = f"{section.word}/{entry.title}"
        self._report.warnings += [f"{shown}: {words}" for words in resource.warn(record, draft)]
        if same and old is not None and old.origin == record.origin:
            self._report.unchanged += 1
            return
        if old is None:
            self._report.created.append(shown)
        elif same:
            self._report.unchanged += 1
        else:
            record.updated = draft.now
            self._report.updated.append(shown)
            if old.origin is not None and fingerprint(old) != old.origin:
                self._report.restored.append(shown)
        draft.put(resource.kind, record, entry.at)

    def note(self, path: str) -> None:
        """Have the audit say that a file was loaded, where that changes anything."""
        if self.draft.changed():
            report = self._report
            done = {"created": report.created, "updated": report.updated, "removed": report.removed}
            counts = {word: len(entries) for word, entries in done.items()}
            self.draft.note("load", "file", path, None, to_json({**counts, "restored": report.restored}))

    def _prune(self, read: list[tuple[Section, list[Entry]]]) -> None:
        """Remove what came from a file and is in this one no longer, what names others first."""
        used = {entry.body.get("provider") for section, entries in read for entry in entries}
        for section, entries in reversed(read):
            kind = section.resource.kind
            here = {entry.id for entry in entries}
            for id in list(self.book.records[kind]):
                record = self.draft.get(kind, id) if id not in here else None
                if record is None or record.origin is None:
                    continue
                self._report.removed.append(f"{section.word}/{section.resource.title(record)}")
                keys = self.draft.linked(kind, id, "provider_key")
                if isinstance(record, ProviderRow) and (keys or id in used):
                    # Its keys stay, so it stays with them, without limits.
                    record.budgets, record.rate, record.origin = [], None, None
                    record.updated = self.draft.now
                    self.draft.put(kind, record)
                else:
                    section.resource.erase(self.draft, id)


def _set_by(before: dict[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """All that files have set, after one more; who holds a token is said anew at every start."""
    kept = {word: item for word, item in value.items() if word not in _TOKENS}
    if isinstance(kept.get("estimate"), Mapping):
        kept["estimate"] = {**before.get("estimate", {}), **kept["estimate"]}
    return {**before, **kept}
