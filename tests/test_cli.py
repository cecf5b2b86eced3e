"""The command as a user runs it: a process of its own, its lines, its exit codes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import limen

WAIT = 30
LIMEN = [sys.executable, "-c", "from limen.cli import main; main()"]


def environment(**more: str) -> dict[str, str]:
    """The environment of the tests, without what the command itself reads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIMEN_", "WEB_"))}
    return {**kept, **more}


def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    words = [*LIMEN, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=WAIT, env=environment(**more))


@contextmanager
def serving(*arguments: object, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that has said that it is ready, and the address that it named; ended by SIGTERM."""
    process = subprocess.Popen(
        [*LIMEN, "serve", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"(https?://\S+|unix:\S+)", line)
        assert found, (line, process.stderr.read() if process.stderr else "")
        yield process, found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WAIT)
    assert process.returncode == 0


def policy(folder: Path, **document: Any) -> Path:
    file = folder / "policy.json"
    file.write_text(json.dumps(document))
    return file


def test_the_demo_prints_curl_lines_that_work_as_they_stand() -> None:
    with serving("--demo", "--port", "0") as (process, _):
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        answers = []
        for line in lines:
            if line.startswith("curl "):
                done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=WAIT)
                answers.append(json.loads(done.stdout))
        allowed, denied = answers
        assert allowed["allowed"] is True
        assert (allowed["provider"], allowed["model"]) == ("openai", "gpt-4o")
        assert (denied["status_code"], denied["type"]) == (429, "token_limited")
        (limit,) = denied["extra_fields"]["limits"]
        assert limit["never"] is True


def test_a_stop_waits_for_the_request_that_is_under_way(tmp_path: Path) -> None:
    file = policy(tmp_path)
    with serving("--config", file, "--port", "0") as (process, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), WAIT) as connection:
            body = b'{"model": "m"}'
            lines = ("POST /v1/admit HTTP/1.1", "host: localhost", "content-type: application/json")
            head = "\r\n".join(
                (*lines, f"content-length: {len(body)}", "expect: 100-continue", "", "")
            ).encode()
            connection.sendall(head)
            assert b"100 Continue" in connection.recv(100)  # the request is being read
            process.send_signal(signal.SIGTERM)
            connection.sendall(body)
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            assert json.loads(reply.read())["type"] == "virtual_key_required"


def test_the_state_in_memory_is_said_at_the_start(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*LIMEN, "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT)
    assert (process.returncode, out) == (0, "")
    assert "memory" in err


def test_a_unix_socket_is_served_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "door.sock"
    for _ in range(2):
        with serving("--uds", path) as (_, address):
            assert address == f"unix:{path}"
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
                reply = http.client.HTTPResponse(connection)
                reply.begin()
                assert reply.status == 200
        assert not path.exists()
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()  # a file that nobody serves: the second round replaces it


def test_a_gateway_token_from_the_file_opens_the_look_up_by_id(tmp_path: Path) -> None:
    key = {
        "id": "bot",
        "name": "bot",
        "value": "sk-bf-of-this-test",
        "mcp_configs": [{"mcp_client_name": "f"}],
    }
    key["mcp_configs"][0]["tools_to_execute"] = ["*"]
    settings = {"gateway_tokens": [{"name": "g", "token": "env.TOKEN_OF_THIS_TEST"}]}
    file = policy(tmp_path, settings=settings, virtual_keys=[key])
    with serving("--config", file, "--port", "0", TOKEN_OF_THIS_TEST="secret-of-this-test") as (_, address):
        client = http.client.HTTPConnection(address.removeprefix("http://"), timeout=WAIT)
        headers = {"content-type": "application/json", "authorization": "Bearer secret-of-this-test"}
        client.request("POST", "/v1/admit", json.dumps({"virtual_key_id": "bot", "mcp_tool": "f/t"}), headers)
        assert client.getresponse().status == 200
        client.close()


@pytest.mark.parametrize(
    ("arguments", "more", "code", "word"),
    [
        (["--nonsense"], {}, 2, "No such option"),
        (["--port", "65536"], {}, 2, "--port"),
        (["--port", "x"], {}, 2, "--port"),
        (["--config", "missing.json"], {}, 2, "missing.json"),
        (["--demo", "--config", __file__], {}, 2, "exclude"),
        (["--tls-cert", __file__], {}, 2, "together"),
        (["--tls-cert", __file__, "--tls-key", __file__], {}, 2, "certificate"),
        (["--host", "0.0.0.0"], {}, 2, "admin credentials"),
        (["--host", "::"], {}, 2, "admin credentials"),
        (["--host", "0.0.0.0"], {"LIMEN_ADMIN_USER": "u"}, 2, "admin credentials"),
        (["--workers", "2"], {}, 2, "one process"),
        ([], {"WEB_CONCURRENCY": "4"}, 2, "one process"),
        ([], {"WEB_CONCURRENCY": "many"}, 2, "one process"),
        (["--host", "192.0.2.1", "--port", "0"], {"LIMEN_ADMIN_TOKEN": "t"}, 3, "cannot listen"),
        (["--uds", __file__], {}, 3, "no socket"),
        (["--uds", "/no/such/folder/door.sock"], {}, 3, "cannot listen"),
    ],
)
def test_it_refuses_to_start_with_the_reason(
    arguments: list[str], more: dict[str, str], code: int, word: str
) -> None:
    done = run("serve", *arguments, **more)
    assert (done.returncode, done.stdout) == (code, "")
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_address_ends_with_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", "--port", taken.getsockname()[1])
    assert done.returncode == 3
    assert "cannot listen" in done.stderr


def test_an_open_address_is_served_with_credentials() -> None:
    with serving("--host", "0.0.0.0", "--port", "0", LIMEN_ADMIN_TOKEN="t-of-this-test") as (_, address):
        client = http.client.HTTPConnection("127.0.0.1", int(address.rpartition(":")[2]), timeout=WAIT)
        client.request("GET", "/health", headers={"host": "gate.example"})
        assert client.getresponse().status == 200
        client.close()


def test_check_names_every_fault_of_a_file_with_its_path(tmp_path: Path) -> None:
    rows = [{"name": "a", "budget": {"max_limit": -1, "reset_duration": "1d"}}, {"name": "b", "nope": 1}]
    done = run("check", policy(tmp_path, customers=rows))
    assert (done.returncode, done.stdout) == (2, "")
    assert "customers[0].budget.max_limit" in done.stderr
    assert "customers[1].nope" in done.stderr


def test_check_passes_a_file_without_faults(tmp_path: Path) -> None:
    done = run("check", policy(tmp_path, customers=[{"name": "acme"}]))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_faulty_file_is_not_served(tmp_path: Path) -> None:
    done = run("serve", "--config", policy(tmp_path, customers=[{"nope": 1}]))
    assert (done.returncode, done.stdout) == (2, "")
    assert "customers[0].nope" in done.stderr


def test_no_secret_of_a_file_is_printed(tmp_path: Path) -> None:
    canary = "canary-7f3a91"
    settings = {"gateway_tokens": [{"name": "g", "token": canary}], "nope": 1}
    key = {"name": "k", "value": f"sk-bf-{canary}", "nope": 1}
    done = run("check", policy(tmp_path, settings=settings, virtual_keys=[key]))
    assert done.returncode == 2
    assert canary not in done.stdout + done.stderr


def test_version_prints_the_version() -> None:
    done = run("version")
    assert (done.returncode, done.stdout) == (0, f"limen {limen.__version__}\n")
