"""`limen explain`: what a call would cost, line by line, and why; and what would become of it."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click
from msgspec import convert

import limen
from limen.commands.common import FILE, WRONG, end, print_json
from limen.commands.place import EXIT_CODES, opened, place_options
from limen.commands.tables import plain, print_table, table
from limen.errors import LimenError
from limen.explanation import PriceExplanation

_ROUTE: Final = "/api/governance/pricing/explain"


@click.command(epilog=EXIT_CODES)
@click.argument("model")
@click.argument("words", nargs=-1, metavar="WORDS")
@click.option("--key-id", metavar="ID", help="The virtual key that asks, by its id.")
@click.option("--provider", metavar="NAME", help="The provider that is called.")
@click.option("--type", "request_type", default="chat_completion", show_default=True, metavar="TYPE")
@click.option("--config", type=FILE, metavar="FILE", help="A configuration file, instead of a server.")
@place_options
@click.option("--json", "as_json", is_flag=True, help="The answer of the server as it is.")
def explain(
    model: str,
    words: tuple[str, ...],
    key_id: str | None,
    provider: str | None,
    request_type: str,
    config: Path | None,
    url: str | None,
    db: Path | None,
    as_json: bool,
) -> None:
    """Say what a call of MODEL would cost, where it would go, and why.

    WORDS say what it uses, as in `prompt_tokens=812 completion_tokens=233 batch=true`. Of the price: the row
    of the catalogue, the override that applies and what it won over, the tier, each line. Of the decision:
    each rule, each candidate with its weight or why it is left out, each limit with its numbers.
    """
    body = {"model": model, "request_type": request_type, **_words(words)}
    body |= {name: given for name, given in (("virtual_key_id", key_id), ("provider", provider)) if given}
    if config is not None:
        if url is not None or db is not None:
            raise click.UsageError("--config excludes --url and --db")
        found = _of_file(config, body)
    else:
        with opened(url, db) as place:
            found = place.ask("POST", _ROUTE, body)
    if as_json:
        print_json(found)
    else:
        _show(convert(found, PriceExplanation))


def _of_file(config: Path, body: dict[str, Any]) -> Any:
    request = dict(body)
    try:
        with limen.Engine() as engine:
            engine.load(config)
            id = request.pop("virtual_key_id", None)
            key = None if id is None else engine.handle(id=id)
            return engine.explain(key, **request).whole_price()
    except LimenError as error:
        end(WRONG, "\n".join(f"{config}: {found}" for found in error.faults))


def _words(given: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not value:
            raise click.BadParameter(f"{item!r} is no WORD=VALUE", param_hint="WORD=VALUE")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        number = Decimal(text)
    except ArithmeticError:
        return text
    if not number.is_finite():
        return text
    return int(number) if number == number.to_integral_value() and abs(number) < 2**63 else number


def _show(found: PriceExplanation) -> None:
    lines = table("component", "quantity", "rate", "amount", right=("quantity", "rate", "amount"))
    for line in found.lines:
        rate = "unknown" if line.rate is None else f"${line.rate:f}"
        lines.add_row(line.component, f"{line.quantity:f}", rate, f"${line.amount:f}")
    print_table(lines, "nothing that is priced")
    click.echo(f"exact ${found.exact_usd}, charged ${found.cost_usd:f}")
    if found.tier is not None:
        click.echo(f"tier {found.tier}")
    row = "none" if found.row is None else f"{found.row.name}, by {found.row.found_by} ({found.row.catalog})"
    click.echo(plain(f"row {row}"))
    if found.override is not None:
        click.echo(plain(f"override {found.override.name}: {found.override.why}"))
        for other in found.override.others:
            click.echo(plain(f"  over {other.name}: {other.why}"))
    for note in found.notes:
        click.echo(plain(f"- {note}"))
