"""What commands share: exit codes, how they end, what a file argument is."""

import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click
import msgspec

from limen.model import to_json

WRONG: Final = 2
CANNOT_START: Final = 3

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
EXIT_CODES: Final = """
\b
Exit codes:
  0  a clean stop, or nothing to complain of
  2  a wrong command line or configuration file
  3  it cannot start: an address is taken, a part is not installed, the store is in
     use, damaged, or of a newer version
"""


def end(code: int, reason: str) -> NoReturn:
    """Say why, and end."""
    click.echo(reason, err=True)
    sys.exit(code)


def print_json(value: Any) -> None:
    """One document, for programs; dollars as they are, digit for digit."""
    click.echo(msgspec.json.format(to_json(value), indent=2).decode())
