"""`limen keys` and `limen usage`: of a server by each way to reach one, and of a store."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import limen
from limen.commands.client import Server, UnreachableError
from limen.commands.tables import dollars, plain
from limen.commands.usage import Row, bar, ends_at, left
from test_cli import policy, run, serving

TOKEN = "an-admin-token-that-is-long-enough"
VALUE = r"sk-bf-[0-9A-Za-z]{49}"
Run = Callable[..., Any]


@contextmanager
def tcp(folder: Path, **more: str) -> Iterator[Run]:
    with serving("--port", "0", LIMEN_ADMIN_TOKEN=TOKEN) as (_, address):
        yield lambda *words: run(*words, "--url", address, LIMEN_ADMIN_TOKEN=TOKEN)


@contextmanager
def unix(folder: Path) -> Iterator[Run]:
    with serving("--uds", folder / "s", LIMEN_ADMIN_TOKEN=TOKEN) as (_, address):
        yield lambda *words: run(*words, "--url", address, LIMEN_ADMIN_TOKEN=TOKEN)


@contextmanager
def password(folder: Path) -> Iterator[Run]:
    who = {"LIMEN_ADMIN_USER": "ann", "LIMEN_ADMIN_PASSWORD": "a:pässword"}
    with serving("--port", "0", **who) as (_, address):
        yield lambda *words: run(*words, "--url", address, **who)


@contextmanager
def tls(folder: Path) -> Iterator[Run]:
    cert, key = certificate(folder)
    with serving("--port", "0", "--tls-cert", cert, "--tls-key", key) as (_, address):
        yield lambda *words: run(*words, "--url", address, SSL_CERT_FILE=str(cert))


@contextmanager
def store(folder: Path) -> Iterator[Run]:
    db = folder / "limen.db"
    limen.Engine.open(db).close()
    yield lambda *words: run(*words, "--db", db)


def certificate(folder: Path) -> tuple[Path, Path]:
    """Of 127.0.0.1, by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(signed.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@pytest.mark.parametrize("where", [tcp, unix, password, tls, store])
def test_a_key_is_made_listed_rotated_and_switched_off(where: Any, tmp_path: Path) -> None:
    with where(tmp_path) as asked:
        more = ("--provider", "openai=gpt-4o,gpt-4o-mini", "--provider", "azure", "--budget", "100.5/1M")
        more = (*more, "--tokens", "1000/1h", "--requests", "60/1m", "--expires", "2099-01-31T12:00:00Z")
        made = asked("keys", "create", "bot", *more)
        assert made.returncode == 0, made.stderr
        assert re.fullmatch(VALUE + "\n", made.stdout)
        assert "shown once" in made.stderr
        (key,) = json.loads(asked("keys", "list", "--json").stdout, parse_float=Decimal)["virtual_keys"]
        assert key["value"] == "********" + made.stdout.strip()[-4:]
        assert key["budget"]["max_limit"] == Decimal("100.5")
        assert [(one["provider"], one["allowed_models"]) for one in key["provider_configs"]] == [
            ("openai", ["gpt-4o", "gpt-4o-mini"]),
            ("azure", ["*"]),
        ]
        rate = key["rate_limit"]
        assert (rate["token_max_limit"], rate["request_reset_duration"]) == (1000, "1m")
        rotated = asked("keys", "rotate", "bot", "--grace", "60")
        assert re.fullmatch(VALUE + "\n", rotated.stdout)
        assert rotated.stdout != made.stdout
        listed = asked("keys", "list", "--search", "BO")
        for secret in (made.stdout, rotated.stdout):
            assert secret.strip() not in listed.stdout + listed.stderr
        assert listed.stdout.splitlines()[1].split()[:4] == [
            "bot",
            key["id"],
            key["value"][:8] + rotated.stdout.strip()[-4:],
            "yes",
        ]
        assert (asked("keys", "disable", key["id"]).returncode, asked("keys", "list").stdout.split()[9]) == (
            0,
            "no",
        )
        rows = json.loads(asked("usage", "--json").stdout)
        assert sorted(
            (row["level"], row["owner"], row["kind"], row["per"], row["limit"]) for row in rows
        ) == [
            ("virtual_key", "bot", "budget", "1M", 100.5),
            ("virtual_key", "bot", "requests", "1m", 60),
            ("virtual_key", "bot", "tokens", "1h", 1000),
        ]


def test_what_a_store_was_told_its_audit_says(tmp_path: Path) -> None:
    with store(tmp_path) as asked:
        asked("keys", "create", "bot")
    with limen.Engine.open(tmp_path / "limen.db") as engine:
        (entry,) = engine.audit.list().items
        assert (entry.actor, entry.action, entry.entity) == ("command", "create", "virtual_key")


def test_a_store_that_a_server_has_is_refused_with_the_way_out(tmp_path: Path) -> None:
    db = tmp_path / "limen.db"
    with serving("--db", db, "--port", "0") as (process, address):
        for words in (("keys", "create", "bot"), ("keys", "list"), ("usage",)):
            done = run(*words, "--db", db)
            assert (done.returncode, done.stdout) == (3, "")
            assert f"process {process.pid}" in done.stderr
            assert "--url" in done.stderr
        assert run("keys", "create", "bot", "--url", address).returncode == 0


def test_usage_shows_what_was_used_of_what(tmp_path: Path) -> None:
    key = {
        "name": "bot",
        "value": "sk-bf-bot",
        "provider_configs": [{"provider": "p", "weight": 1, "allowed_models": ["*"]}],
        "rate_limit": {"request_max_limit": 4, "request_reset_duration": "1h", "window": "sliding"},
        "budget": {"max_limit": 10, "reset_duration": "1d"},
    }
    limits = {
        "model_name": "m",
        "provider": "p",
        "rate_limit": {"token_max_limit": 10**6, "token_reset_duration": "1h"},
    }
    file = policy(tmp_path, virtual_keys=[key], model_configs=[limits])
    with serving("--port", "0", "--config", file) as (_, address):
        body = {"virtual_key": "sk-bf-bot", "model": "m", "tokens": 10, "cost_usd": 2.5}
        with Server(address, None) as client:
            for _ in range(2):
                client.ask("POST", "/v1/admit", body)
        done = run("usage", "--url", address)
        assert done.returncode == 0, done.stderr
        lines = [re.sub(r" {2,}", "|", line.strip()) for line in done.stdout.splitlines()]
        assert lines[0] == "level|owner|limit|used|held|of|resets in"
        assert [re.sub(r"\d+[hms] \d+[hms]$", "T", line) for line in lines[1:]] == [
            "virtual_key|bot|budget/1d|▒▒▒▒▒▒▒▒▒▒··········|$0.00|$5.00|$10.00|T",
            "virtual_key|bot|requests/1h|██████████··········|2|0|4|slides",
            "model|m on p|tokens/1h|▒···················|0|20|1,000,000|T",
        ]
        assert len(run("usage", "--url", address, "--top", "1").stdout.splitlines()) == 2
        assert "bot" not in run("usage", "--url", address, "--level", "model").stdout
        assert run("usage", "--url", address, "--search", "nobody").stdout == "no limits\n"


@pytest.mark.parametrize(
    ("words", "more", "code", "said"),
    [
        (["keys", "create", ""], {}, 2, "name: must not be empty"),
        (["keys", "create", "bot", "--budget", "x/1M"], {}, 2, "no amount and duration"),
        (["keys", "create", "bot", "--budget", "1e99999/1M"], {}, 2, "no amount and duration"),
        (["keys", "create", "bot", "--budget", "100"], {}, 2, "no amount and duration"),
        (["keys", "create", "bot", "--budget", "1/1x"], {}, 2, "budget.reset_duration"),
        (["keys", "create", "bot", "--requests", "1.5/1m"], {}, 2, "rate_limit.request_max_limit"),
        (["keys", "create", "bot", "--team", "none"], {}, 2, "team_id"),
        (["keys", "create", "bot", "--expires", "soon"], {}, 2, "expires_at"),
        (["keys", "rotate", "nobody"], {}, 2, "no virtual key"),
        (["keys", "rotate", "a/../b?c"], {}, 2, "no virtual key"),
        (["keys", "list", "--team", "a&limit=1"], {}, 0, ""),
        (["keys", "list"], {"LIMEN_ADMIN_TOKEN": "wrong"}, 2, "LIMEN_ADMIN_TOKEN"),
        (["usage"], {"LIMEN_ADMIN_TOKEN": ""}, 2, "LIMEN_ADMIN_TOKEN"),
        (
            ["usage"],
            {"LIMEN_ADMIN_TOKEN": "", "LIMEN_ADMIN_USER": "u", "LIMEN_ADMIN_PASSWORD": "p"},
            2,
            "LIMEN_ADMIN_USER",
        ),
        (["usage", "--db", "x"], {}, 2, "does not exist"),
        (["usage", "--top", "0"], {}, 2, "--top"),
    ],
)
def test_what_goes_wrong_has_its_code_and_its_reason(
    server: str, words: list[str], more: dict[str, str], code: int, said: str
) -> None:
    done = run(*words, "--url", server, **{"LIMEN_ADMIN_TOKEN": TOKEN, **more})
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False), (
        done.stderr
    )
    assert done.stdout in ("", "no virtual keys\n")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving("--port", "0", LIMEN_ADMIN_TOKEN=TOKEN) as (_, address):
        yield address


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://x", "http://", "unix:", "http://a:99999", "http://u:p@a", "http://a/b", "http://a:b"],
)
def test_an_address_of_no_kind_is_a_wrong_command_line(url: str) -> None:
    done = run("usage", "--url", url)
    assert (done.returncode, "--url" in done.stderr) == (2, True)


def test_url_and_db_exclude_each_other(tmp_path: Path) -> None:
    with store(tmp_path) as asked:
        assert asked("keys", "list", "--url", "http://127.0.0.1:1").returncode == 2


# Whoever answers

PAGES = {
    "no JSON": (200, b"<html>"),
    "another's JSON": (200, b'{"virtual_keys": {}}'),
    "a list": (200, b"[]"),
    "nothing": (200, b""),
    "a deep one": (200, b"[" * 100_000),
    "an error of another": (502, b"bad gateway"),
    "an error without words": (400, b'{"error": {}}'),
    "elsewhere": (302, b""),
}


@pytest.mark.parametrize("answer", PAGES)
def test_who_is_no_limen_server_is_said_to_be_none(answer: str) -> None:
    with answering(*PAGES[answer]) as address:
        done = run("keys", "list", "--url", address)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (3, "", False)
    assert "limen server" in done.stderr


@contextmanager
def answering(status: int, content: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.send_header("location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{found.server_port}"
        finally:
            found.shutdown()
            thread.join()


def test_nobody_and_silence_are_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError, match="refused"):
        Server(f"http://127.0.0.1:{port}", None).ask("GET", "/")
    with pytest.raises(UnreachableError, match="No such file"):
        Server("unix:/no/such/socket", None).ask("GET", "/")


# Words and pictures


def row(used: Any, held: Any, limit: Any) -> Row:
    return Row("team", "t", "i", "l", "tokens", limit, used, held, "1h", None)


@pytest.mark.parametrize(
    ("used", "held", "limit", "shown"),
    [
        (0, 0, 100, "····················"),
        (1, 0, 10**9, "█···················"),
        (50, 25, 100, "██████████▒▒▒▒▒·····"),
        (99, 0, 100, "███████████████████·"),
        (100, 0, 100, "████████████████████"),
        (500, 9, 100, "████████████████████"),
        (0, 0, 0, "████████████████████"),
        (-5, 0, 100, "····················"),
    ],
)
def test_a_bar_is_full_where_the_limit_is(used: int, held: int, limit: int, shown: str) -> None:
    assert bar(row(used, held, limit)).plain == shown


@pytest.mark.parametrize(
    ("per", "aligned", "end"),
    [
        ("90m", False, "2024-01-01T01:30"),
        ("1M", False, "2024-01-31T00:00"),
        ("1M", True, "2024-02-01T00:00"),
        ("14M", True, "2025-03-01T00:00"),
        ("1Y", True, "2025-01-01T00:00"),
        ("1w", True, "2024-01-08T00:00"),
    ],
)
def test_a_window_ends_where_the_engine_ends_it(per: str, aligned: bool, end: str) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert ends_at(start, per, aligned).isoformat().startswith(end)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (-5, "0s"),
        (59, "59s"),
        (60, "1m 0s"),
        (3661, "1h 1m"),
        (90_000, "1d 1h"),
        (864_000, "10d 0h"),
    ],
)
def test_the_time_left_is_said_in_two_units(seconds: int, shown: str) -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    assert left(now + timedelta(seconds=seconds), now) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "$0.00"),
        (Decimal("0.5"), "$0.50"),
        (Decimal("1E+3"), "$1,000.00"),
        (Decimal("0.000000001"), "$0.000000001"),
    ],
)
def test_dollars_have_all_their_digits(amount: Any, shown: str) -> None:
    assert dollars(amount) == shown


def test_no_text_of_a_server_moves_the_terminal() -> None:
    assert plain("a\x1b[2Jb\u202ec") == "a?[2Jb?c"
