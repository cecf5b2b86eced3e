"""The `limen` command: serve, check, version.

    limen serve --demo                # a packaged policy, and two curl lines to try it with
    limen check policy.json           # every fault of a file, each with its path

Exit codes: 0 after a clean stop, 2 for a wrong command line or configuration, 3 where it cannot start.
"""

import logging
import os
import sys
from importlib import resources
from pathlib import Path
from typing import Final, NoReturn

try:
    import click
except ImportError:
    sys.exit("the limen command needs the server extra: pip install 'limen[server]'")

import limen
from limen.errors import LimenError

_WRONG: Final = 2

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Exact limits and budgets for gateways of language models, decided before the call."""


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(f"limen {limen.__version__}")


@main.command()
@click.argument("file", type=_FILE)
def check(file: Path) -> None:
    """Name every fault of a configuration FILE; nothing is started."""
    engine = limen.Engine()
    _load(engine, file)
    click.echo(f"{file}: no faults")


@main.command()
@click.option("--config", type=_FILE, help="The configuration file to serve.")
@click.option("--demo", is_flag=True, help="Serve the packaged example, and print curl lines that try it.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--uds", metavar="PATH", help="Listen on a Unix socket instead.")
@click.option("--tls-cert", type=_FILE, help="Certificate chain, PEM.")
@click.option("--tls-key", type=_FILE, help="Its private key, PEM.")
@click.option("--workers", default=1, hidden=True)
def serve(
    config: Path | None,
    demo: bool,
    host: str,
    port: int,
    uds: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    workers: int,
) -> None:
    """Answer /v1/admit, /v1/settle and the others until it is told to stop (SIGTERM, SIGINT)."""
    if config and demo:
        raise click.UsageError("--config and --demo exclude each other")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    _refuse_workers(workers)
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    # What uvicorn warns of is what strangers send; whoever can send could fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)

    from limen.http import start

    with limen.Engine() as engine:
        if demo:
            with resources.as_file(resources.files("limen.demo") / "policy.json") as file:
                _load(engine, file)
        elif config:
            _load(engine, config)
        else:
            click.echo("no --config: the policy is empty, so every virtual key is unknown", err=True)
        click.echo("state is kept in memory: every start begins with unused limits", err=True)

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
            _end(refusal.exit_code, str(refusal))


def _load(engine: limen.Engine, file: Path) -> None:
    """Load, or name every fault and end with 2."""
    try:
        engine.load(file)
    except LimenError as error:
        _end(_WRONG, "\n".join(f"{file}: {found}" for found in error.faults))


def _refuse_workers(workers: int) -> None:
    asked = os.environ.get("WEB_CONCURRENCY", "").strip()
    if workers != 1 or asked not in ("", "1"):
        _end(
            _WRONG,
            "one process only: the counters live in it, and several would each admit the whole limit"
            " (--workers and WEB_CONCURRENCY must be 1)",
        )


def _end(code: int, reason: str) -> NoReturn:
    click.echo(reason, err=True)
    sys.exit(code)
