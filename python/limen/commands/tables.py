"""Tables for terminals. What a server sends is printed as text: no markup, nothing that a terminal obeys."""

import sys
from decimal import Decimal
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE: Final = 240


class Shown(Table):
    """A table whose cells are texts, whatever is in them."""

    def add_row(self, *cells: Any, **rest: Any) -> None:
        super().add_row(
            *[cell if isinstance(cell, Text) else Text(plain(str(cell))) for cell in cells], **rest
        )


def table(*columns: str, right: tuple[str, ...] = ()) -> Shown:
    """An empty table with these columns, some of them flush right."""
    shown = Shown(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        shown.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return shown


def print_table(shown: Shown, nothing: str) -> None:
    """To the terminal at its width; into a file or a pipe without colours, one line a row."""
    if not shown.row_count:
        click.echo(nothing)
        return
    Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False).print(shown)


def plain(text: str) -> str:
    """The text, with ? for what is not printed."""
    return "".join(c if c.isprintable() else "?" for c in text)


def dollars(amount: int | Decimal) -> str:
    """$1.25; as many digits as there are, two at least."""
    number = Decimal(amount).normalize()
    exponent = number.as_tuple().exponent
    places = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"${number:,.{places}f}"
