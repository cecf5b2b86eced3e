"""`limen keys`: virtual keys, made, listed, rotated and switched off."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
from msgspec import Struct, convert

from limen.commands.common import print_json
from limen.commands.place import EXIT_CODES, Place, opened, place_options
from limen.commands.tables import dollars, plain, print_table, table
from limen.errors import LimenError, fault
from limen.model import ListVirtualKeysResponse, VirtualKey

_KEYS: Final = "/api/governance/virtual-keys"
_AS_JSON: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print the answer as one JSON document."
)
_ONCE: Final = "this is shown once: keep it now"


class _Changed(Struct):
    """The answer of create, rotate and update."""

    virtual_key: VirtualKey
    warnings: list[str] = []


class _Amount(click.ParamType[tuple[Decimal, str]]):
    """How much per how long: 100/1M."""

    name = "AMOUNT/DURATION"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[Decimal, str]:
        if isinstance(value, tuple):
            return value
        amount, slash, per = str(value).partition("/")
        try:
            number = Decimal(amount)
        except InvalidOperation:
            number = Decimal("NaN")
        if not slash or not number.is_finite() or abs(number.adjusted()) > 30:
            self.fail(f"{value!r} is no amount and duration, such as 100/1M", param, context)
        return number, per


_PER: Final = _Amount()


@click.group(
    epilog="""
\b
Try it:
  export LIMEN_ADMIN_TOKEN=a-long-random-text
  limen keys create bot --provider openai=gpt-4o --budget 100/1M --requests 60/1m
  limen keys list --url http://127.0.0.1:8080
  limen keys rotate bot --grace 3600
  limen keys disable bot
"""
    + EXIT_CODES
)
def keys() -> None:
    """Make, list, rotate and switch off virtual keys.

    Of a running server (--url), or of a store that no server has open (--db).
    """


@keys.command(epilog=EXIT_CODES)
@click.argument("name")
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="NAME[=MODELS]",
    help="A provider that it may use, with all models or those named (by commas); can be repeated.",
)
@click.option("--team", "team_id", metavar="ID", help="The team that it belongs to.")
@click.option("--customer", "customer_id", metavar="ID", help="The customer that it belongs to.")
@click.option("--budget", type=_PER, help="Dollars per duration, such as 100/1M.")
@click.option("--tokens", type=_PER, help="Tokens per duration, such as 100000/1h.")
@click.option("--requests", type=_PER, help="Requests per duration, such as 60/1m.")
@click.option("--expires", "expires_at", metavar="TIME", help="When it ends, such as 2030-01-31T12:00:00Z.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@_AS_JSON
@place_options
def create(
    name: str,
    providers: tuple[str, ...],
    budget: tuple[Decimal, str] | None,
    tokens: tuple[Decimal, str] | None,
    requests: tuple[Decimal, str] | None,
    as_json: bool,
    url: str | None,
    db: Path | None,
    **given: str | None,
) -> None:
    """Make a virtual key called NAME.

    Its value is printed this once, alone on standard output, so that KEY=$(limen keys create bot) has it.
    A key without --provider may use none.
    """
    body: dict[str, Any] = {"name": name, "provider_configs": [_config(one) for one in providers]}
    body |= {word: value for word, value in given.items() if value is not None}
    if budget is not None:
        body["budget"] = {"max_limit": budget[0], "reset_duration": budget[1]}
    for kind, limit in (("token", tokens), ("request", requests)):
        if limit is not None:
            fields = {f"{kind}_max_limit": limit[0], f"{kind}_reset_duration": limit[1]}
            body["rate_limit"] = body.get("rate_limit", {}) | fields
    with opened(url, db) as place:
        _tell(place.ask("POST", _KEYS, body), as_json)


@keys.command(name="list", epilog=EXIT_CODES)
@click.option("--search", metavar="TEXT", help="Those whose name holds this, in any case.")
@click.option("--team", "team_id", metavar="ID", help="Those of a team.")
@click.option("--customer", "customer_id", metavar="ID", help="Those of a customer.")
@_AS_JSON
@place_options
def list_(as_json: bool, url: str | None, db: Path | None, **filters: str | None) -> None:
    """List virtual keys. Values are masked: nobody can read them again."""
    query = "&".join(f"{word}={quote(value, '')}" for word, value in filters.items() if value is not None)
    with opened(url, db) as place:
        page = place.ask("GET", f"{_KEYS}?{query}")
        listed = convert(page, ListVirtualKeysResponse)
    if as_json:
        print_json(page)
        return
    shown = table("name", "id", "value", "active", "expires", "spent")
    for key in listed.items:
        spent = [f"{dollars(one.current_usage)} of {dollars(one.max_limit)}" for one in key.budgets]
        active, expires = "yes" if key.is_active else "no", key.expires_at or ""
        shown.add_row(key.name, key.id, key.value, active, expires, ", ".join(spent))
    print_table(shown, "no virtual keys")


@keys.command(epilog=EXIT_CODES)
@click.argument("key")
@click.option(
    "--grace",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="How long the old value stays good; at most 30 days.",
)
@_AS_JSON
@place_options
def rotate(key: str, grace: int, as_json: bool, url: str | None, db: Path | None) -> None:
    """Give the virtual KEY (id or name) a new value.

    It is printed this once, alone on standard output. Usage, limits and permits stay as they are.
    """
    with opened(url, db) as place:
        _tell(place.ask("POST", f"{_KEYS}/{_id(place, key)}/rotate", {"grace": grace}), as_json)


@keys.command(epilog=EXIT_CODES)
@click.argument("key")
@_AS_JSON
@place_options
def disable(key: str, as_json: bool, url: str | None, db: Path | None) -> None:
    """Switch off the virtual KEY (id or name).

    It is refused from now on. Its open permits can still be settled, its usage stays, and is_active: true
    switches it on again.
    """
    with opened(url, db) as place:
        answer = place.ask("PUT", f"{_KEYS}/{_id(place, key)}", {"is_active": False})
        name = convert(answer, _Changed).virtual_key.name
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{plain(name)} is switched off", err=True)


def _config(text: str) -> dict[str, Any]:
    provider, equals, models = text.partition("=")
    allowed = [name.strip() for name in models.split(",")] if equals else ["*"]
    return {"provider": provider, "weight": 1, "allowed_models": allowed}


def _tell(answer: Any, as_json: bool) -> None:
    """The value on standard output, everything else beside it."""
    if as_json:
        print_json(answer)
        return
    changed = convert(answer, _Changed)
    for warning in changed.warnings:
        click.echo(f"warning: {plain(warning)}", err=True)
    key = changed.virtual_key
    click.echo(f"{plain(key.name)} ({plain(key.id)}): {_ONCE}", err=True)
    click.echo(plain(key.value))


def _id(place: Place, key: str) -> str:
    """The id of a key that is named by its id or by its name, ready for a path."""
    try:
        place.ask("GET", f"{_KEYS}/{quote(key, '')}")
        return quote(key, "")
    except LimenError as error:
        if error.code != "not_found":
            raise
    page = convert(place.ask("GET", f"{_KEYS}?search={quote(key, '')}"), ListVirtualKeysResponse)
    for found in page.items:
        if found.name == key:
            return quote(found.id, "")
    raise fault("not_found", f"there is no virtual key with the id or the name {key[:64]!r}")
