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
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import limen
from limen.cli import main
from limen.http import openapi
from limen.resources import config_file, file_schema
from test_config_file import POLICY

WAIT = 30
LIMEN = [sys.executable, "-c", "from limen.cli import main; main()"]


def environment(**more: str) -> dict[str, str]:
    """The environment of the tests, without what the command itself reads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIMEN_", "WEB_"))}
    return {**kept, **more}


def in_memory(*words: str) -> list[str]:
    """A server of a test keeps nothing where the test does not say otherwise."""
    keeps = words[:1] != ("serve",) or {"--db", "--demo", "--help"} & set(words)
    return [*words] if keeps else [*words, "--db", ":memory:"]


def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    words = [*LIMEN, *in_memory(*map(str, arguments))]
    return subprocess.run(words, capture_output=True, text=True, timeout=WAIT, env=environment(**more))


@contextmanager
def serving(*arguments: object, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that has said that it is ready, and the address that it named; ended by SIGTERM.

    What it printed is `process.printed` afterwards.
    """
    process = subprocess.Popen(
        [*LIMEN, *in_memory("serve", *map(str, arguments))],
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
        process.printed = [line, *process.communicate(timeout=WAIT)]
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


def test_the_demo_is_a_whole_small_company() -> None:
    with limen.Engine() as engine, resources.as_file(resources.files("limen.demo") / "policy.json") as file:
        report = engine.load(file)
        # The retired key is there to be refused.
        assert [words.partition(":")[0] for words in report.warnings] == ["virtual_keys/support retired"]
        kinds = ("customers", "teams", "virtual_keys")
        assert [len(list(getattr(engine, kind).list())) for kind in kinds] == [2, 3, 8]
        assert len(list(engine.providers.list())) == 2, "those with limits; a third has none"
        models = {
            name
            for key in engine.virtual_keys.list()
            for config in key.provider_configs
            for name in config.allowed_models
        }
        assert len(models - {"*"}) > 3


def credentials(environment: dict[str, str]) -> Iterator[tuple[dict[str, str], int]]:
    """What an administrator of this environment sends, and what somebody sends who is none."""
    if "LIMEN_ADMIN_TOKEN" in environment:
        token = environment["LIMEN_ADMIN_TOKEN"]
        yield {"authorization": f"Bearer {token}"}, 200
        yield {"authorization": f"Bearer {token}x"}, 401
    if "LIMEN_ADMIN_USER" in environment:
        user, password = environment["LIMEN_ADMIN_USER"], environment["LIMEN_ADMIN_PASSWORD"]
        for text, status in ((f"{user}:{password}", 200), (f"{user}:", 401), (f"x:{password}", 401)):
            yield {"authorization": f"Basic {b64encode(text.encode()).decode()}"}, status


def test_the_start_says_whether_anyone_may_administer() -> None:
    said = "no admin credentials"
    for more in ({}, {"LIMEN_ADMIN_TOKEN": "t"}, {"LIMEN_ADMIN_USER": "u", "LIMEN_ADMIN_PASSWORD": "p"}):
        with serving("--port", "0", "--db", ":memory:", **more) as (process, address):
            client = http.client.HTTPConnection(address.removeprefix("http://"), timeout=WAIT)
            for headers, status in (({}, 401 if more else 200), *credentials(more)):
                client.request("GET", "/api/keys", headers=headers)
                reply = client.getresponse()
                assert (reply.status, bool(reply.read())) == (status, True)
            client.close()
        assert any(said in line for line in process.printed) == (not more)


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
        [*LIMEN, "serve", "--port", "0", "--db", ":memory:"],
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
        (["--uds", ""], {}, 2, "needs a path"),
        (["--uds", "door.sock", "--port", "0"], {}, 2, "exclude"),
        (["--uds", "door.sock", "--host", "127.0.0.1"], {}, 2, "exclude"),
        (["--uds", "door.sock", "--tls-cert", __file__, "--tls-key", __file__], {}, 2, "exclude"),
        (["--config", str(Path(__file__).parent)], {}, 2, "is a directory"),
        (["--host", "no.such.host.invalid"], {"LIMEN_ADMIN_TOKEN": "t"}, 3, "cannot listen"),
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


@pytest.mark.parametrize("word", ["admin_tokens", "gateway_tokens"])
def test_the_token_of_the_environment_is_nobody_elses(tmp_path: Path, word: str) -> None:
    settings = {
        word: [{"name": "first", "token": "another"}, {"name": "n", "token": "env.LIMEN_ADMIN_TOKEN"}]
    }
    done = run(
        "serve", "--config", policy(tmp_path, settings=settings), LIMEN_ADMIN_TOKEN="secret-of-this-test"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"settings.{word}[1].token" in done.stderr
    assert "secret-of-this-test" not in done.stderr


def test_a_taken_address_ends_with_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", "--port", taken.getsockname()[1])
    assert done.returncode == 3
    assert "cannot listen" in done.stderr
    assert "--port" in done.stderr, "what to do about it"


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
    done = run("check", "--json", policy(tmp_path, customers=rows))
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr, told["warnings"], told["entries"]) == (2, "", [], 0)
    assert [fault["param"] for fault in told["faults"]] == [
        "customers[0].budget.max_limit",
        "customers[1].nope",
    ]
    assert {fault["code"] for fault in told["faults"]} == {"invalid_request"}


def test_check_passes_a_file_without_faults_and_says_what_can_have_no_effect(tmp_path: Path) -> None:
    done = run("check", policy(tmp_path, customers=[{"name": "acme"}]))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("no faults, 1 entries\n")
    done = run("check", policy(tmp_path, virtual_keys=[{"name": "bot", "value": "sk-bf-of-this-test"}]))
    assert done.returncode == 0
    assert "warning: virtual_keys/bot: " in done.stderr
    told = json.loads(run("check", "--json", tmp_path / "policy.json").stdout)
    assert (told["faults"], told["entries"]) == ([], 1)
    assert told["warnings"][0].startswith("virtual_keys/bot: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"customers": [\n  {"name": "a"},\n]}', ["not JSON", "line 3, column 1"]),
        ("", ["not JSON", "line 1, column 1"]),
        ("[]", ["must be an object"]),
        ('{"teams": [], "teams": []}', ["teams: stands twice"]),
        (
            '{"customers": [{"name": "a", "budget": {"max_limit": 1e400, "reset_duration": "1d"}}]}',
            ["max_limit"],
        ),
        (
            '{"pricing_overrides": [], "price_catalog": "nowhere.json"}',
            ["price_catalog: there is no such file"],
        ),
        ('{"settings": {"usage_flush_ms": 1, "default_price": {}, "nope": 1}}', ["settings.usage_flush_ms"]),
        ('{"nope": 1}', ["nope: is not a section"]),
    ],
)
@pytest.mark.parametrize("command", ["check", "serve --config"])
def test_a_file_is_refused_with_the_place_of_each_fault(
    tmp_path: Path, command: str, text: str, words: list[str]
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(text)
    done = run(*command.split(), file)
    assert (done.returncode, done.stdout) == (2, "")
    assert [word for word in words if word not in done.stderr] == []
    assert all(line.startswith(f"{file}: ") for line in done.stderr.splitlines())


COMMANDS = ["", "serve", "check", "schema", "openapi", "version", "doctor", "backup", "export", "usage"]
COMMANDS += [
    "keys",
    "keys create",
    "keys list",
    "keys rotate",
    "keys disable",
    "import",
    "import bifrost",
    "explain",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does(command: str) -> None:
    done = run(*command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage:" in done.stdout
    assert "..." not in done.stdout.replace("[ARGS]...", ""), "no summary is cut off"
    if command not in ("schema", "openapi", "version"):
        assert "Exit codes:" in done.stdout


def test_help_lists_every_command() -> None:
    first = {command.split()[0] for command in COMMANDS if command}
    assert first == set(main.commands)
    listed = run("--help").stdout.partition("Commands:")[2]
    assert [command for command in first if command not in listed] == []


def test_the_command_without_its_extra_says_what_to_install() -> None:
    blocked = "import sys; sys.modules['click'] = None; import limen.cli"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, timeout=WAIT)
    assert (done.returncode, done.stdout) == (3, "")
    assert "pip install 'limen[server]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_openapi_document_is_the_one_that_is_served() -> None:
    done = run("openapi")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == openapi.document()


def test_the_schema_takes_the_demo_and_refuses_what_check_refuses() -> None:
    done = run("schema")
    assert (done.returncode, done.stderr) == (0, "")
    schema = json.loads(done.stdout)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    demo = (resources.files("limen.demo") / "policy.json").read_text()
    assert list(validator.iter_errors(json.loads(demo))) == []
    assert list(validator.iter_errors(POLICY)) == []
    for document in (
        {"customers": [{"nope": 1}]},
        {"customers": [{"name": "a", "budget": {"max_limit": "5", "reset_duration": "1d"}}]},
        {"customers": [{"name": "a", "budget": {"max_limit": -1, "reset_duration": "1d"}}]},
        {"settings": {"nope": 1}},
        {"settings": {"estimate": {"nope": 1}}},
        {"price_catalog": 1},
    ):
        assert list(validator.iter_errors(document)), document


def test_the_schema_has_the_sections_and_the_fields_that_a_file_is_read_by() -> None:
    found = file_schema.schema()
    parts = found["$defs"]
    for section in config_file._sections(limen.Engine()._book):
        entry = found["properties"][section.word]["items"]["$ref"].rpartition("/")[2]
        assert set(parts[entry]["properties"]) == set(section.shape.fields), section.word
    sections = [section.word for section in config_file._sections(limen.Engine()._book)]
    assert set(found["properties"]) == {"settings", "price_catalog", *sections}


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


def test_the_installed_command_is_this_one() -> None:
    (entry,) = entry_points(group="console_scripts", name="limen")
    assert entry.load() is main


def test_version_prints_the_version() -> None:
    for words in ("version", "--version"):
        done = run(words)
        assert (done.returncode, done.stdout) == (0, f"limen {limen.__version__}\n")
