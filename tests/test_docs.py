"""What the documents claim is executed: every block and table of the README, every example in a docstring."""

from __future__ import annotations

import doctest
import inspect
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import limen
from bifrost_file import ENVIRONMENT, WHOLE
from limen.cli import main
from limen.demo import curl_lines
from limen.errors import TABLE
from limen.http.admin import QUOTA, ROWS
from limen.settings import Settings
from test_cli import WAIT, environment, run, serving

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
EXECUTED = {"python", "sh", "json", "text"}
"""Kinds of blocks that something here runs or reads; text is pictures."""


def blocks(kind: str) -> list[str]:
    return [text for word, text in BLOCKS if word == kind]


def rows(header: str) -> list[list[str]]:
    """The cells of the table under `header`, without it."""
    lines = README.partition(header)[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def short(value: Any) -> str:
    return value if isinstance(value, str) and len(value) < 40 else ""


# The README


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {kind for kind, _ in BLOCKS} == EXECUTED
    assert README.count("```") == 2 * len(BLOCKS)


def test_the_python_blocks_run_one_after_the_other() -> None:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["settled"].cost_nano_usd == 4_360_000


def test_the_json_blocks_are_files_without_faults(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    assert blocks("json")
    for block in blocks("json"):
        file.write_text(block, encoding="utf-8")
        limen.Engine().load(file)


def test_the_commands_use_what_there_is() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    serve, every_test, *_ = blocks("sh")
    for command in (serve, every_test):
        (named,) = re.findall(r"pip install -q '\.\[(\w+)\]'", command)
        assert named in extras
    words = serve.split(".venv/bin/limen ")[1].split()
    options = [word for option in main.commands[words[0]].params for word in option.opts]
    assert [word for word in words[1:] if word not in options] == []
    assert every_test.rstrip().endswith("cargo test -q && .venv/bin/pytest -q")


def test_the_lines_that_administer_do_so() -> None:
    """The server that the block starts is started here, and its lines go to where that one listens."""
    start, *lines = blocks("sh")[2].splitlines()
    assert start.startswith("export LIMEN_ADMIN_TOKEN=")
    assert start.endswith(" && limen serve")
    token = start.removeprefix("export LIMEN_ADMIN_TOKEN=").partition(" ")[0]
    with serving("--port", "0", "--db", ":memory:", LIMEN_ADMIN_TOKEN=token) as (_, address):
        answers = []
        for line in lines:
            asked = line.replace("localhost:8080", address.removeprefix("http://"))
            done = subprocess.run(
                asked,
                shell=True,
                capture_output=True,
                text=True,
                timeout=WAIT,
                env=environment(LIMEN_ADMIN_TOKEN=token),
            )
            answers.append(json.loads(done.stdout))
    created, listed = answers
    assert created["message"] == "customer created"
    assert [found["id"] for found in listed["customers"]] == [created["customer"]["id"]]


def test_the_lines_about_keys_and_usage_work_one_after_the_other() -> None:
    start, *lines = blocks("sh")[3].splitlines()
    token = start.removeprefix("export LIMEN_ADMIN_TOKEN=")
    with serving("--port", "0", LIMEN_ADMIN_TOKEN=token) as (_, address):
        for line in lines:
            _, *words = shlex.split(line)
            done = run(*words, "--url", address, LIMEN_ADMIN_TOKEN=token)
            assert done.returncode == 0, (line, done.stderr)


def test_the_lines_that_come_from_bifrost_end_with_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(WHOLE))
    monkeypatch.chdir(tmp_path)
    took, checked, served = (shlex.split(line)[1:] for line in blocks("sh")[4].splitlines())
    assert [run(*words, **ENVIRONMENT).returncode for words in (took, checked)] == [0, 0]
    with serving(*served[1:], "--port", "0", **ENVIRONMENT) as (_, address):
        listed = run("keys", "list", "--url", address)
        assert "growth key" in listed.stdout


def test_the_table_of_bifrosts_routes_says_which_there_are() -> None:
    here = {(row.method, row.path) for row in ROWS} | {("GET", QUOTA)}
    shown = rows("| route in Bifrost | here | why |")
    assert len(shown) > 20
    for route, said, _ in shown:
        methods, path = re.fullmatch(r"([A-Z, ]+) `(.+)`", route).groups()
        are = {(method, path) in here for method in methods.split(", ")}
        assert are == {said != "not here"}, route


def test_ci_begins_with_the_tests_of_the_readme() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert "All tests, Rust and Python:" in script
    assert "\nAll tests, Rust and Python:\n" in README
    gates = [
        quoted or word for quoted, word in re.findall(r'^gate (?:"([^"]+)"|(\w+)) ', script, re.MULTILINE)
    ]
    assert gates[0] == "tests"
    assert set(gates) >= {
        "format",
        "clippy",
        "ruff",
        "mypy",
        "stub",
        "debug build",
        "loom",
        "shuttle",
        "canaries",
    }


def test_the_demo_lines_are_made_for_a_shell() -> None:
    lines = list(curl_lines("http://127.0.0.1:8080"))
    assert [line.split()[0] for line in lines] == ["#", "curl", "#", "curl"]


# Tables


def test_the_readme_lists_the_errors_as_the_table_has_them() -> None:
    shown = rows("| code | status | raised as |")
    assert shown == [[code, str(row.status), row.error.__name__, row.message] for code, row in TABLE.items()]


def flat(settings: Settings) -> Iterator[tuple[str, Any]]:
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if name == "estimate":
            yield from ((f"estimate.{part}", getattr(value, part)) for part in value.__struct_fields__)
        else:
            yield name, list(value) if isinstance(value, tuple) else value


def test_the_readme_lists_the_settings_with_their_defaults() -> None:
    shown = {name: json.loads(default) for name, default, meaning in rows("| setting | default |") if meaning}
    assert shown == dict(flat(Settings()))


# Docstrings


def public() -> Iterator[tuple[str, Any]]:
    """Every name that `import limen` offers, and the public parts of its classes."""
    for name in limen.__all__:
        subject = getattr(limen, name)
        yield name, subject
        if inspect.isclass(subject) and not issubclass(subject, BaseException):
            for part in dir(subject):
                if not part.startswith("_") and part not in OF_EVERY_STRUCT:
                    yield f"{name}.{part}", inspect.getattr_static(subject, part)


OF_EVERY_STRUCT = set(dir(tuple))
DATA = {"__version__", "debug_build"}


@pytest.mark.parametrize(("name", "subject"), list(public()), ids=short)
def test_everything_public_says_what_it_is(name: str, subject: Any) -> None:
    if name in DATA or inspect.ismemberdescriptor(subject):
        return
    text = inspect.getdoc(subject)
    assert text, f"{name} says nothing"
    assert len(text.split()) >= 2


def words_of(name: str) -> str:
    """What is said of a name: its own words, those of its class, and those of what they refer to."""
    own, _, part = name.partition(".")
    text = f"{getattr(limen, own).__doc__} {inspect.getdoc(getattr(getattr(limen, own), part or '__doc__'))}"
    for other in re.findall(r"`(\w+(?:\.\w+)?)`", text):
        word, _, rest = other.partition(".")
        told = (
            getattr(getattr(limen, word, None), rest, None)
            if rest
            else getattr(getattr(limen, own), word, None)
        )
        text += f" {inspect.getdoc(told)}" if callable(told) else ""
    return text


def documented_calls() -> Iterator[tuple[str, Any]]:
    for name, subject in public():
        is_error = inspect.isclass(subject) and issubclass(subject, BaseException)
        if callable(subject) and not is_error:
            yield name, subject


@pytest.mark.parametrize(("name", "call"), list(documented_calls()), ids=short)
def test_every_argument_is_spoken_of(name: str, call: Any) -> None:
    try:
        parameters = inspect.signature(call).parameters
    except ValueError:
        return
    words = words_of(name)
    assert [word for word in parameters if word != "self" and not re.search(rf"\b{word}\b", words)] == []


def examples() -> list[tuple[str, str]]:
    return [(name, text) for name, subject in public() if ">>>" in (text := inspect.getdoc(subject) or "")]


@pytest.mark.parametrize(("name", "text"), examples(), ids=short)
def test_an_example_is_true(name: str, text: str) -> None:
    test = doctest.DocTestParser().get_doctest(text, {**vars(limen), "limen": limen}, name, None, 0)
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_the_parts_that_are_used_by_themselves_have_examples() -> None:
    primitives = {"FixedWindow", "SlidingWindow", "KeyedLimiter", "BudgetCounter", "WeightedSampler"}
    primitives |= {"PricingPatch", "RateCard"}
    assert {name for name, _ in examples()} >= primitives | {"Engine", "ManualClock"}
