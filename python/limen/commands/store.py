"""Commands over a store's file: doctor, backup, export. None changes it; a server may have it meanwhile."""

from pathlib import Path
from typing import Any

import click

from limen.commands.common import CANNOT_START, EXIT_CODES, FILE, end, print_json
from limen.errors import LimenError

_NEW = click.Path(path_type=Path)


@click.command(epilog=EXIT_CODES)
@click.argument("db", type=FILE)
@click.option("--recover", type=_NEW, metavar="TO", help="Save what is readable into a new store at TO.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(db: Path, recover: Path | None, as_json: bool) -> None:
    """Say what is wrong with the store DB, and what can be done.

    Reads every page and every row; changes nothing. With --recover, what can still be read is written into a
    new file, never over an old one. Nothing is loosened by that: a virtual key whose team or customer is lost
    is switched off until somebody decides. What was saved and what was lost is listed.
    """
    from limen.store.doctor import examine
    from limen.store.recovery import recover as save

    report = examine(str(db))
    shown = {"file": str(db), "healthy": not report.faults, **report._asdict()}
    if recover is not None:
        try:
            saved = save(str(db), str(recover))
        except LimenError as error:
            end(CANNOT_START, error.message)
        shown["recovered"] = {"file": str(recover), **saved._asdict()}
    if as_json:
        print_json(shown)
    else:
        _print(shown)
    if report.faults and recover is None:
        raise SystemExit(CANNOT_START)


def _print(shown: dict[str, Any]) -> None:
    for word in ("version", "holder", "records", "audit"):
        value = shown[word]
        if isinstance(value, dict):
            value = ", ".join(f"{count} {kind}" for kind, count in value.items()) or "none"
        if value is not None:
            click.echo(f"{word + ':':<9} {value}")
    for kind in ("faults", "advice"):
        for line in shown[kind]:
            click.echo(f"{kind.removesuffix('s')}: {line}")
    if shown["healthy"]:
        click.echo("no faults")
    saved = shown.get("recovered")
    if isinstance(saved, dict):
        kinds = ", ".join(f"{count} {kind}" for kind, count in saved["records"].items()) or "nothing"
        click.echo(f"saved into {saved['file']}: {kinds}, {saved['audit']} audit entries")
        for line in saved["lost"]:
            click.echo(f"lost: {line}")


@click.command(epilog=EXIT_CODES)
@click.argument("db", type=FILE)
@click.argument("to", type=_NEW)
def backup(db: Path, to: Path) -> None:
    """Copy the store DB into a new file TO, as of one instant.

    A server may have the store open and go on changing it. TO takes its name when it is whole, is never
    written over, and opens as a store. Secrets in it are encrypted where they are in DB.
    """
    from limen.store.copies import copy

    try:
        size = copy(str(db), str(to))
    except LimenError as error:
        end(CANNOT_START, error.message)
    click.echo(f"{to}: {size} bytes")


@click.command(epilog=EXIT_CODES)
@click.argument("db", type=FILE)
def export(db: Path) -> None:
    """Print the configuration in the store DB as a configuration file.

    Loading it elsewhere gives an equal policy, without usage. Virtual keys go out as value_sha256. Literal
    secrets of provider keys are left out: each is named on stderr with the environment variable that stands
    in its place. A server may have the store open: run this beside it. There is no --url, for no route of a
    server tells the hash of a virtual key, and without it the keys would not be the same.
    """
    from limen.model import to_json
    from limen.resources.export import export as document
    from limen.store.copies import read

    try:
        found, notes = document(read(str(db)))
    except LimenError as error:
        end(CANNOT_START, error.message)
    for note in notes:
        click.echo(f"{db}: {note}", err=True)
    import msgspec

    click.echo(msgspec.json.format(to_json(found), indent=2))
