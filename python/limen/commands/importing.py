"""`limen import`: configurations of other gateways."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import limen
from limen.commands.common import CANNOT_START, FILE, WRONG, end, print_json
from limen.errors import LimenError, StorageError

if TYPE_CHECKING:
    from limen.importing.bifrost import Imported

LEFT_OUT: Final = 1
_EXIT_CODES: Final = """
\b
Exit codes:
  0  everything that governs was taken
  1  it was written, and something that governs is left out: it is named
  2  FILE is no config.json of Bifrost, or a wrong command line
  3  OUT or DB cannot be written
"""
_NEW: Final = click.Path(dir_okay=False, path_type=Path)


@click.group(name="import", epilog=_EXIT_CODES)
def import_() -> None:
    """Take over the configuration of another gateway."""


@import_.command(
    epilog="""
\b
Try it:
  limen import bifrost config.json -o policy.json
  limen check policy.json
  limen serve --config policy.json --db limen.db
"""
    + _EXIT_CODES
)
@click.argument("file", type=FILE)
@click.option("-o", "--out", type=_NEW, metavar="OUT", help="Write a new file, for its owner alone to read.")
@click.option("--db", type=_NEW, metavar="DB", help="Load it into a store, made where there is none.")
@click.option(
    "--confirm", is_flag=True, help="Take prices that are over 1,000 times the catalogue's, or under 1/1,000."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON (needs -o or --db).")
def bifrost(file: Path, out: Path | None, db: Path | None, confirm: bool, as_json: bool) -> None:
    """Write Bifrost's config.json FILE as a file of limen.

    It goes to standard output where neither -o nor --db says otherwise. What limits, allows and prices is
    taken, from `governance` and `providers`; the report on stderr names everything else: "changed" is taken
    in another form, "left out" governs and is not taken, "outside" governs nothing. An entry that limen would
    refuse is left out whole, with what names it; so is a price that is far off the catalogue's, most likely
    by a slip of units, unless --confirm says that it is meant. Usage is not carried over. Virtual keys stay
    good: their values go over as SHA-256. In a file with `version: 1` empty lists allow all; else they allow
    nothing.
    """
    from limen.importing.bifrost import read_bifrost
    from limen.resources.document import read_document

    if as_json and out is None and db is None:
        raise click.UsageError("--json prints the report where the file would go: say -o or --db")
    document, faults = read_document(file)
    try:
        faults.check()
        found = read_bifrost(document, confirm)
    except LimenError as error:
        end(WRONG, "\n".join(f"{file}: {one}" for one in error.faults))
    text = _text(found.document)
    if out is not None:
        _write(out, text)
    if db is not None:
        _load(db, file, found.document)
    if out is None and db is None:
        click.echo(text, nl=False)
    _report(file, found, as_json)
    if found.notes.left_out:
        sys.exit(LEFT_OUT)


def _text(document: Mapping[str, Any]) -> str:
    import msgspec

    from limen.model import to_json

    return msgspec.json.format(to_json(document), indent=2).decode() + "\n"


def _write(out: Path, text: str) -> None:
    """Never over an old file; secrets of provider keys stand in it, so it is its owner's alone."""
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "w") as file:
            file.write(text)
    except FileExistsError:
        end(CANNOT_START, f"{out} is there already, and is not written over")
    except OSError as error:
        end(CANNOT_START, f"{out} cannot be written: {error.strerror or error}")


def _load(db: Path, file: Path, document: Mapping[str, Any]) -> None:
    try:
        with limen.Engine.open(db) as engine:
            report = engine._take(document, str(file))
    except StorageError as error:
        end(CANNOT_START, error.message)
    except LimenError as error:
        end(WRONG, "\n".join(f"{db}: {one}" for one in error.faults))
    click.echo(f"{db}: {len(report.created)} entries created, {len(report.updated)} updated", err=True)


def _report(file: Path, found: "Imported", as_json: bool) -> None:
    notes = {
        "changed": found.notes.changed,
        "left out": found.notes.left_out,
        "outside": found.notes.outside,
    }
    if as_json:
        lists = {word.replace(" ", "_"): [one._asdict() for one in listed] for word, listed in notes.items()}
        print_json({"file": str(file), "taken": found.counts, **lists})
        return
    for word, listed in notes.items():
        for note in listed:
            click.echo(f"{word}: {note.path} {note.reason}", err=True)
    taken = (
        ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in found.counts.items()) or "nothing"
    )
    others = ", ".join(f"{len(listed)} {word}" for word, listed in notes.items())
    click.echo(f"{file}: taken {taken}; {others}", err=True)
