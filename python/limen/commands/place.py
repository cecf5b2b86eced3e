"""What a command administers: a server, or a store that none has open. Both answer the same routes."""

import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import click

import limen
from limen.actor import acting_as
from limen.commands.client import Server, UnreachableError
from limen.commands.common import CANNOT_START, FILE, WRONG, end
from limen.errors import LimenError, StorageError
from limen.model import to_json

DEFAULT: Final = "http://127.0.0.1:8080"
EXIT_CODES: Final = """
\b
Environment:
  LIMEN_ADMIN_TOKEN  (or LIMEN_ADMIN_USER and LIMEN_ADMIN_PASSWORD) the credentials that
                     --url sends; never an argument, for those are seen by whoever
                     lists processes
\b
Exit codes:
  0  done
  2  a wrong command line, or refused: the credentials, or a rule
  3  nobody answers at --url, or the store of --db is in use, damaged or cannot be written
"""
_CREDENTIALS: Final = "LIMEN_ADMIN_TOKEN, or LIMEN_ADMIN_USER and LIMEN_ADMIN_PASSWORD, say who asks"
F = TypeVar("F", bound=Callable[..., Any])


class Place(Protocol):
    """Whoever answers admin routes."""

    def ask(self, method: str, target: str, body: Any = None) -> Any: ...


class _Stored:
    """A store, asked through the routes that a server would have."""

    def __init__(self, engine: limen.Engine) -> None:
        # Imported here: a command that asks a server needs none of it.
        from limen.http import admin

        self._asked = admin.Asked
        self._routes = admin.routes(engine)

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        path, _, query = target.partition("?")
        found = self._routes.find(path.encode())
        assert found is not None, "commands ask for routes that there are"
        methods, at = found
        content = b"" if body is None else to_json(body)
        with acting_as("command"):
            _, _, answer = methods[method].call(self._asked((), query.encode(), content, at, None))
        return json.loads(answer, parse_float=Decimal)


def place_options(command: F) -> F:
    """The options that say where: --url and --db."""
    command = click.option("--db", type=FILE, metavar="FILE", help="A store that no server has open.")(
        command
    )
    words = f"A running server: http(s)://host:port or unix:/path.  [default: {DEFAULT}]"
    return click.option("--url", metavar="URL", help=words)(command)


@contextmanager
def opened(url: str | None, db: Path | None) -> Iterator[Place]:
    """The place, and the end of the command where it refuses or is not to be had."""
    if url is not None and db is not None:
        raise click.UsageError("--url and --db exclude each other")
    try:
        if db is None:
            with _server(DEFAULT if url is None else url) as server:
                yield server
        else:
            with limen.Engine.open(db) as engine:
                yield _Stored(engine)
    except UnreachableError as error:
        end(CANNOT_START, str(error))
    except (ValueError, OverflowError) as error:
        end(CANNOT_START, f"what answered is no limen server: {error}")
    except StorageError as error:
        hint = " (ask the server that has it: --url)" if error.code == "store_locked" else ""
        end(CANNOT_START, error.message + hint)
    except LimenError as error:
        hint = f" ({_CREDENTIALS})" if error.status == 401 else ""
        code = WRONG if error.status < 500 else CANNOT_START
        end(code, "\n".join(f"{found}{hint}" for found in error.faults))


def _authorization() -> str | None:
    """What the environment has for a server: the same variables that a server is started with."""
    environment = os.environ.get
    if token := environment("LIMEN_ADMIN_TOKEN", "").strip():
        return f"Bearer {token}"
    user, password = environment("LIMEN_ADMIN_USER"), environment("LIMEN_ADMIN_PASSWORD")
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}" if user and password else None


def _server(url: str) -> Server:
    try:
        return Server(url, _authorization())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from None
