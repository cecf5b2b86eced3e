"""Reading a stranger's document so that nothing of it is forgotten.

A node is an object of the document that remembers which of its fields were asked for. What nobody asked for
is left out by name at the end, so that a field which a later version of the other gateway adds is never
dropped unseen.

    >>> notes = Notes()
    >>> node = Node({"name": "acme", "colour": "red"}, "customers[0]", notes)
    >>> node.take("name"), notes.finish(), notes.left_out
    ('acme', None, [Note(path='customers[0].colour', reason='is no field that the import knows')])
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

Fields: TypeAlias = dict[str, Any]
_UNKNOWN: Final = "is no field that the import knows"


class Note(NamedTuple):
    """What became of a field: its path in the document, and why."""

    path: str
    reason: str


class Notes:
    """What was taken in another form, what governs and was not taken, and what governs nothing here."""

    def __init__(self) -> None:
        self.changed: list[Note] = []
        self.left_out: list[Note] = []
        self.outside: list[Note] = []
        self._nodes: list[Node] = []

    def open(self, node: "Node") -> None:
        self._nodes.append(node)

    def finish(self) -> None:
        """Name every field that nobody asked for."""
        for node in self._nodes:
            node.rest(_UNKNOWN)


class Node:
    """An object, where it stands, and what of it was asked for. Null is as left out, as it is in Go."""

    def __init__(self, value: Mapping[str, Any], path: str, notes: Notes) -> None:
        self.value = value
        self.path = path
        self.notes = notes
        self._asked: set[str] = set()
        notes.open(self)

    def at(self, word: str) -> str:
        return f"{self.path}.{_shown(word)}" if self.path else _shown(word)

    def take(self, word: str) -> Any:
        """The value of a field; None where there is none."""
        self._asked.add(word)
        return self.value.get(word)

    def fields(self, **words: str) -> Fields:
        """Fields that mean the same here: ours=theirs. What is not there is left out."""
        found = {ours: self.take(theirs) for ours, theirs in words.items()}
        return {ours: value for ours, value in found.items() if value is not None}

    def node(self, word: str) -> "Node | None":
        """The object in a field."""
        value = self.take(word)
        return None if value is None else self._node(value, self.at(word))

    def nodes(self, word: str) -> list["Node"]:
        """The objects of the list in a field."""
        value = self.take(word)
        if value is None:
            return []
        if not isinstance(value, list):
            self.leave_out(word, "must be a list")
            return []
        found = [self._node(item, f"{self.at(word)}[{index}]") for index, item in enumerate(value)]
        return [node for node in found if node is not None]

    def _node(self, value: Any, path: str) -> "Node | None":
        if isinstance(value, Mapping):
            return Node(value, path, self.notes)
        self.notes.left_out.append(Note(path, "must be an object"))
        return None

    def leave_out(self, word: str, reason: str) -> None:
        """Say that a field which governs something is not taken; nothing where it is not there."""
        self._note(self.notes.left_out, word, reason)

    def change(self, word: str, reason: str) -> None:
        """Say that a field is taken in another form."""
        self._note(self.notes.changed, word, reason)

    def ignore(self, *words: str) -> None:
        """Fields that say nothing beyond what is taken anyway."""
        self._asked.update(words)

    def outside(self, reason: str, *words: str) -> None:
        """Say of fields that they govern nothing here."""
        for word in words:
            self._note(self.notes.outside, word, reason)

    def say(self, reason: str) -> None:
        """Leave out something of the object as a whole."""
        self.notes.left_out.append(Note(self.path, reason))

    def refuse(self, reason: str) -> None:
        """Leave out the object as a whole, with every field of it."""
        self.say(reason)
        self._asked.update(self.value)

    def rest(self, reason: str) -> None:
        """Leave out what nobody asked for."""
        for word in [word for word in self.value if word not in self._asked]:
            self.leave_out(word, reason)

    def rest_outside(self, reason: str) -> None:
        """What nobody asked for governs nothing here."""
        self.outside(reason, *[word for word in self.value if word not in self._asked])

    def _note(self, notes: list[Note], word: str, reason: str) -> None:
        if self.take(word) is not None:
            notes.append(Note(self.at(word), reason))


def _shown(word: str) -> str:
    """A name from a stranger, short and without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in word[:64])
