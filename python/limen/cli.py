"""The `limen` command: serve, check, schema, openapi, version; the others stand in `commands/`.

    limen serve --demo                # a packaged policy, and two curl lines to try it with
    limen check policy.json           # every fault of a file, each with its path

Exit codes: 0 after a clean stop, 2 for a wrong command line or configuration, 3 where it cannot start.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import click
    from click.core import ParameterSource
except ImportError:
    sys.stderr.write("the limen command needs the server extra: pip install 'limen[server]'\n")
    sys.exit(3)

import limen
from limen.commands.common import CANNOT_START, EXIT_CODES, FILE, WRONG, end, print_json
from limen.commands.explain import explain
from limen.commands.importing import import_
from limen.commands.keys import keys
from limen.commands.reloading import reload_on_hangup
from limen.commands.store import backup, doctor, export
from limen.commands.usage import usage
from limen.errors import Fault, LimenError, StorageError

if TYPE_CHECKING:
    from limen.model import LoadReport


@click.group(
    epilog="""
\b
Try it:
  limen serve --demo              a packaged example, and two curl lines
  limen check policy.json         every fault of a file, each with its path
  limen serve --config policy.json --db limen.db
  limen keys create bot --provider openai
  limen usage                     how full every limit is
  limen explain gpt-4o prompt_tokens=812 --url http://127.0.0.1:8080
  limen backup limen.db copy.db   while it runs
"""
    + EXIT_CODES
)
@click.version_option(limen.__version__, message="limen %(version)s")
def main() -> None:
    """Exact limits and budgets for gateways of language models, decided before the call."""


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(f"limen {limen.__version__}")


@main.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file.

    For editors that complete and underline. What it cannot say (durations, names that must exist, limits that
    contradict each other) `limen check` says.
    """
    from limen.resources.file_schema import schema

    click.echo(json.dumps(schema(), indent=2))


@main.command()
def openapi() -> None:
    """Print the OpenAPI document of the server.

    The same that it serves at /openapi.json: every route, its parameters, its bodies, its answers and its
    errors. A page to read it in is at /docs.
    """
    from limen.http.openapi import document

    print_json(document())


@main.command(epilog=EXIT_CODES)
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: faults, warnings, entries.")
def check(file: Path, as_json: bool) -> None:
    """Name every fault of a configuration FILE.

    One line a fault, with its path in the file, all of them in one run. Nothing is started and nothing is
    kept. Environment variables that the file names must be set. Entries that can have no effect are warned
    of, and are no faults.
    """
    report, faults = _checked(file)
    warnings, entries = (report.warnings, len(report.created)) if report else ([], 0)
    if as_json:
        found = [{"param": one.param, "code": one.code, "message": one.message} for one in faults]
        print_json({"file": str(file), "faults": found, "warnings": warnings, "entries": entries})
    else:
        for line in (*(f"warning: {warning}" for warning in warnings), *faults):
            click.echo(f"{file}: {line}", err=True)
    if faults:
        sys.exit(WRONG)
    if not as_json:
        click.echo(f"{file}: no faults, {entries} entries")


def _checked(file: Path) -> "tuple[LoadReport | None, Sequence[Fault]]":
    try:
        with limen.Engine() as engine:
            return engine.load(file), ()
    except LimenError as error:
        return None, error.faults


@main.command(
    epilog="""
\b
Environment:
  LIMEN_ADMIN_TOKEN      (or LIMEN_ADMIN_USER and LIMEN_ADMIN_PASSWORD) the admin's
                         credentials, beside admin_tokens of the settings; without
                         any, administration is open and only loopback is served
  LIMEN_SECRET_KEY       (or LIMEN_SECRET_KEY_FILE) 32 bytes in base64: the key that
                         encrypts secrets of provider keys in the store
"""
    + EXIT_CODES
)
@click.option("--config", type=FILE, help="The configuration file to serve (see limen check, limen schema).")
@click.option("--prune", is_flag=True, help="Remove what came from a file and is in --config no longer.")
@click.option(
    "--db",
    default="limen.db",
    show_default=True,
    metavar="FILE",
    help="The store of the configuration, made where there is none; :memory: keeps nothing.",
)
@click.option("--demo", is_flag=True, help="Serve the packaged example, and print curl lines that try it.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="N",
    help="The port to listen on; 0 takes a free one.",
)
@click.option("--uds", metavar="PATH", help="Listen on a Unix socket instead of an address.")
@click.option("--tls-cert", type=FILE, help="Serve HTTPS with this certificate chain (PEM).")
@click.option("--tls-key", type=FILE, help="The certificate's private key (PEM).")
@click.option("--workers", default=1, hidden=True)
@click.pass_context
def serve(
    context: click.Context,
    config: Path | None,
    prune: bool,
    db: str,
    demo: bool,
    host: str,
    port: int,
    uds: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    workers: int,
) -> None:
    """Decide over HTTP (/v1) and administer (/api).

    It prints one line with its address when it answers, and ends with SIGTERM or SIGINT, after the requests
    that are under way. Configuration and usage are kept in the store. One process has a store. SIGHUP has it
    take --config again, with the prices that it names; a file with a fault changes nothing.
    """
    if config and demo:
        raise click.UsageError("--config and --demo exclude each other")
    if prune and not config:
        raise click.UsageError("--prune needs --config")
    if demo and context.get_parameter_source("db") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--demo keeps nothing: --db has no place beside it")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if uds is not None:
        _refuse_beside_uds(context, uds)
    _refuse_workers(workers)
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    # What uvicorn warns of is what strangers send; whoever can send could fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)

    try:
        from limen.http import start
    except ImportError as error:
        end(CANNOT_START, f"serving needs the server extra: pip install 'limen[server]' ({error})")

    with _open(":memory:" if demo else db) as engine:
        if demo:
            with resources.as_file(resources.files("limen.demo") / "policy.json") as file:
                _load(engine, file)
        elif config:
            for warning in _load(engine, config, prune).warnings:
                click.echo(f"{config}: warning: {warning}", err=True)
            reload_on_hangup(engine, config, prune)
        _say_what_is_served(engine, ":memory:" if demo else db)
        if not start.administrators(engine.settings):
            click.echo("no admin credentials: whoever reaches this address from here administers", err=True)

        def ready(address: str) -> None:
            click.echo(f"limen serves {address}")
            if demo:
                from limen.demo import curl_lines

                for line in curl_lines(address, str(tls_cert) if tls_cert else None):
                    click.echo(line)

        try:
            place = start.Place(host, port, uds, tls_cert, tls_key)
            start.run(engine, place, ready)
        except start.Refusal as refusal:
            end(refusal.exit_code, str(refusal))


def _say_what_is_served(engine: limen.Engine, db: str) -> None:
    if not engine.virtual_keys.list(limit=0).total_count:
        click.echo("the policy has no virtual key: every one is unknown", err=True)
    if db == ":memory:":
        click.echo("everything is kept in memory: every start begins with unused limits", err=True)
    else:
        most = f"a crash loses at most the usage of the last {engine.flush_ms} ms"
        click.echo(f"configuration and usage are in {db}: {most}", err=True)


def _open(db: str) -> limen.Engine:
    """The engine, or the reason and 3; 2 for what the command line or the environment says wrongly."""
    try:
        return limen.Engine.open(db)
    except StorageError as error:
        end(CANNOT_START, error.message)
    except LimenError as error:
        end(WRONG, f"--db {db}: {error}" if error.param == "path" else str(error))


def _load(engine: limen.Engine, file: Path, prune: bool = False) -> "LoadReport":
    """Load, or name every fault and end with 2; 3 where the store does not take it."""
    try:
        return engine.load(file, prune)
    except StorageError as error:
        end(CANNOT_START, error.message)
    except LimenError as error:
        end(WRONG, "\n".join(f"{file}: {found}" for found in error.faults))


def _refuse_beside_uds(context: click.Context, uds: str) -> None:
    if not uds:
        raise click.UsageError("--uds needs a path")
    for option in ("host", "port", "tls_cert"):
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            word = option.replace("_", "-")
            raise click.UsageError(
                f"--uds and --{word} exclude each other: a socket is a file of this machine"
            )


def _refuse_workers(workers: int) -> None:
    asked = os.environ.get("WEB_CONCURRENCY", "").strip()
    if workers != 1 or asked not in ("", "1"):
        end(
            WRONG,
            "one process only: the counters live in it, and several would each admit the whole limit"
            " (--workers and WEB_CONCURRENCY must be 1)",
        )


for _command in (keys, usage, explain, doctor, backup, export, import_):
    main.add_command(_command)
