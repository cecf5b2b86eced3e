"""Entries of the configuration file in the making, each with where it came from; and what of them loads.

An entry that limen would refuse is left out whole, and with it whatever names it: a budget that cannot be
kept must not leave its key behind without one. What is written always loads.

Prices of an override that are over a thousand times the catalogue's, or less than a thousandth, are taken
only where whoever imports confirms them: they are mostly a slip of units.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import limen
from limen.errors import Fault, LimenError
from limen.importing.node import Fields, Node, Note, Notes

_FAR_OFF: Final = "is left out whole: if its prices are meant, import with --confirm"
_CONFIRMED: Final = "moves a price more than a thousandfold: confirmed"
_PLACE: Final = re.compile(r"(\w+)\[(\d+)\]\.?(.*)", re.DOTALL)


class Entry:
    """One entry: its section, its body, the paths that parts of it came from, and why it cannot be taken."""

    def __init__(self, section: str, node: Node, body: Fields) -> None:
        self.section = section
        self.path = node.path
        self.body = body
        self.origins: dict[str, str] = {}
        self.refused: list[Note] = []

    def refuse(self, path: str, reason: str) -> None:
        self.refused.append(Note(path, reason))

    def origin(self, place: str) -> str:
        """The path in the other document of a place in the body."""
        start = place
        while start and start not in self.origins:
            start = start[: max(start.rfind("."), start.rfind("["), 0)]
        if not start:
            return f"{self.path}.{place}" if place else self.path
        return self.origins[start] + place[len(start) :]


def loadable(entries: Iterable[Entry], settings: Fields, notes: Notes, confirm: bool) -> Fields:
    """The document of those entries that load together; the others are left out, with the reason."""
    kept = list(entries)
    refused = {entry: entry.refused for entry in kept if entry.refused}
    while True:
        for entry, why in refused.items():
            notes.left_out.extend(why)
            if all(note.path != entry.path for note in why):
                notes.left_out.append(Note(entry.path, "is left out whole: limen would refuse it"))
        kept = [entry for entry in kept if entry not in refused]
        refused, document = _refused(kept, settings)
        if not refused:
            confirmed = [entry for entry in kept if "confirm" in entry.body]
            notes.changed.extend(Note(entry.path, _CONFIRMED) for entry in confirmed)
            return document
        for entry in _far_off(kept, refused, settings):
            if confirm:
                del refused[entry]
            else:
                refused[entry].append(Note(entry.path, _FAR_OFF))


def _far_off(kept: list[Entry], refused: dict[Entry, list[Note]], settings: Fields) -> list[Entry]:
    """Those of the refused that would be taken if they were confirmed; these are, from here on."""
    suspects = [entry for entry in refused if "patch" in entry.body]
    for entry in suspects:
        entry.body["confirm"] = True
    still = _refused(kept, settings)[0] if suspects else {}
    for entry in suspects:
        if entry in still:
            del entry.body["confirm"]
    return [entry for entry in suspects if entry not in still]


def _faults(document: Fields) -> tuple[Fault, ...]:
    """What an engine that is empty before finds wrong with it."""
    with limen.Engine() as engine:
        try:
            engine._take(document, "import")
        except LimenError as error:
            return error.faults
    return ()


def _document(entries: list[Entry], settings: Fields) -> tuple[Fields, dict[str, list[Entry]]]:
    places: dict[str, list[Entry]] = {}
    for entry in entries:
        places.setdefault(entry.section, []).append(entry)
    sections = {section: [entry.body for entry in found] for section, found in places.items()}
    return ({"settings": settings} if settings else {}) | sections, places


def _refused(kept: list[Entry], settings: Fields) -> tuple[dict[Entry, list[Note]], Fields]:
    """Those of them that would be refused in one document, and the document."""
    document, places = _document(kept, settings)
    refused: dict[Entry, list[Note]] = {}
    for fault in _faults(_without_variables(document)):
        found = _PLACE.fullmatch(fault.param or "")
        if found is None:
            raise LimenError.of((fault,))
        entry = places[found[1]][int(found[2])]
        refused.setdefault(entry, []).append(Note(entry.origin(found[3]), fault.message))
    return refused, document


def _without_variables(document: Fields) -> Fields:
    """The document without the keys' `env.NAME`: those variables are set where the file will be used."""
    keys: list[dict[str, Any]] = document.get("virtual_keys", [])
    bare = [{word: value for word, value in key.items() if word != "value"} for key in keys]
    return {**document, "virtual_keys": bare} if keys else document
