"""The code map is true: every file is on it, every file on it exists, what it says is absent is absent."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE, BINDING, PACKAGE = ROOT / "rust/core/src", ROOT / "rust/py/src", ROOT / "python/limen"
ROOMS = {"core": CORE, "py": BINDING, "limen": PACKAGE}
MAP = (ROOT / "rust/README.md").read_text()
EXTRAS = {"uvicorn", "uvloop", "httptools", "orjson", "click", "rich"}
MOST_LINES = 500


def files(folder: Path, *kinds: str) -> set[str]:
    return {str(path.relative_to(folder)) for kind in kinds for path in folder.rglob(f"*.{kind}")}


def text_of(room: str) -> str:
    return MAP.partition(f"## Rooms of `{room}`")[2].partition("\n## ")[0]


def named(room: str) -> Iterator[tuple[str, list[str]]]:
    """Each name of a room's tables, and where it may be: in the room, or in a folder of its row or header."""
    header: list[str] = []
    for row in text_of(room).splitlines():
        if not row.startswith("|"):
            header = []
            continue
        words = re.findall(r"`([\w/]+(?:/|\.rs|\.pyi?))`", row)
        folders = [word for word in words if word.endswith("/")]
        if row.startswith("| room of"):
            header = folders
        for word in words:
            yield word, [word, *(folder + word for folder in [*folders, *header])]


# The map


@pytest.mark.parametrize("room", ROOMS)
def test_the_map_names_what_exists(room: str) -> None:
    lost = [name for name, places in named(room) if not any((ROOMS[room] / at).exists() for at in places)]
    assert lost == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_is_on_the_map(room: str) -> None:
    there = {at for _, places in named(room) for at in places}
    folders = {at.rstrip("/") for at in there if at.endswith("/")}
    implied = {f"{folder}/{file}" for folder in folders for file in ("mod.rs", "__init__.py")}
    missing = files(ROOMS[room], "rs", "py", "pyi") - there - implied - {"__init__.py"}
    assert missing == set()


def test_the_entry_points_exist() -> None:
    entries = re.findall(r"`((?:core|py|limen)/[\w/]+\.(?:rs|py))`", MAP.partition("## Rooms")[0])
    roots = {"core": ROOT / "rust", "py": ROOT / "rust", "limen": ROOT / "python"}
    assert len(entries) > 5
    assert [entry for entry in entries if not (roots[entry.split("/")[0]] / entry).is_file()] == []


def test_the_top_level_holds_nothing_else() -> None:
    built = {"target"}
    here = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - built
    sources = {"Cargo.toml", "pyproject.toml", "README.md", "rust", "python", "benches", "tests"}
    assert here == sources | {"Cargo.lock", "LICENSE", "CHANGELOG.md"}


def test_no_file_is_longer_than_a_thought() -> None:
    folders = [ROOT / name for name in ("rust", "python", "benches", "tests")]
    paths = [folder / name for folder in folders for name in files(folder, "rs", "py", "pyi")]
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert {name for name, size in sizes.items() if size > MOST_LINES} == set()


# The core

FORBIDDEN = {
    "Python": r"pyo3",
    "a clock": r"std::time|core::time|SystemTime|\bInstant\b|\bquanta\b",
    "chance": r"\bf?rand(?:om)?::|\bfastrand\b|getrandom|(?<!rapidhash::fast::)RandomState",
    "files": r"std::fs|std::path|\bFile::",
    "network": r"std::net|\btokio\b|\bmio\b",
    "the process": r"std::env|std::process|std::io\b|\blibc\b",
    "JSON": r"\bserde|\bjson",
    "a log": r"\be?print(?:ln)?!|\bdbg!|\blog::|\btracing\b",
    "calendars of others": r"\bchrono\b|\bjiff\b",
    "unsafe code": r"\bunsafe\b(?!_code)",
}
ATOMICS = r"sync::atomic|portable_atomic|\barc_swap\b|\bloom::|\bshuttle::|UnsafeCell"
TEST_ONLY = r"#\[cfg\((?:test|all\(test, \w+\))\)\]\s*(?:pub(?:\(crate\))? )?mod (\w+)"


def code(path: Path) -> str:
    """A Rust file without comments, texts, and the modules that only tests have."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text, flags=re.DOTALL)
    while found := re.search(TEST_ONLY + r"\s*\{", text):
        depth = end = 0
        for end in range(found.end() - 1, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                break
        text = text[: found.start()] + text[end + 1 :]
    return text


def core_sources() -> list[Path]:
    paths = [CORE / name for name in sorted(files(CORE, "rs"))]
    tests = {(path.parent, name) for path in paths for name in re.findall(TEST_ONLY + ";", code(path))}

    def is_test(path: Path) -> bool:
        return any(path in (at / f"{name}.rs", at / name / path.name) for at, name in tests)

    return [path for path in paths if not is_test(path)]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_core_knows_nothing_of(what: str) -> None:
    assert [path.name for path in core_sources() if re.search(FORBIDDEN[what], code(path))] == []


def test_one_file_of_the_core_names_atomics() -> None:
    assert [path.name for path in core_sources() if re.search(ATOMICS, code(path))] == ["sync.rs"]


def test_the_core_depends_on_what_its_manifest_gives_reasons_for() -> None:
    manifest = (ROOT / "rust/core/Cargo.toml").read_text()
    needed = tomllib.loads(manifest)["dependencies"]
    assert set(needed) == {
        "arc-swap",
        "cel",
        "hashbrown",
        "portable-atomic",
        "rapidhash",
        "regex-automata",
        "regex-syntax",
        "smallvec",
    }
    assert [name for name in needed if not re.search(rf"^{name} = .*# \w+", manifest, re.MULTILINE)] == []


def test_unsafe_code_of_the_binding_stands_in_four_places() -> None:
    unsafe = {
        path.name: len(re.findall(r"\bunsafe\b(?!_code)", code(path))) for path in BINDING.rglob("*.rs")
    }
    assert {name: count for name, count in unsafe.items() if count} == {
        "clock.rs": 1,
        "fastcall.rs": 3,
        "memory.rs": 1,
        "objects.rs": 2,
    }


# The package


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function; not what only type checkers see."""
    tree = ast.parse(path.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, "imports are absolute"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


MODULES = {name: imports(PACKAGE / name) for name in sorted(files(PACKAGE, "py"))}


def test_one_module_calls_the_extension() -> None:
    users = {name for name, found in MODULES.items() if any(at.startswith("limen._core") for at in found)}
    assert users == {"__init__.py", "engine.py"}


def test_the_extras_are_imported_by_the_server_and_the_command_alone() -> None:
    users = {name for name, found in MODULES.items() if EXTRAS & {at.split(".")[0] for at in found}}
    outside = {name for name in users if not name.startswith(("http/", "commands/"))}
    assert outside == {"cli.py"}


@pytest.mark.parametrize("extra", ["server", "secrets"])
def test_what_an_extra_brings_is_used(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {re.split(r"[^\w-]", line)[0] for line in project[extra]}
    assert extra != "server" or brought == EXTRAS
    used = {at.split(".")[0] for found in MODULES.values() for at in found}
    # uvicorn is told the loop's name, and imports it.
    used |= {"uvloop"} if 'loop="uvloop"' in (PACKAGE / "http/server.py").read_text() else set()
    assert brought <= used


LAYERS = [
    {"errors", "secret", "bodies", "actor", "answers", "reports"},
    {
        "model",
        "evaluation",
        "explanation",
        "wire",
        "resources",
        "settings",
        "gateway",
        "demo",
        "pricing_catalog",
    },
    {"store"},
    {"engine", "explaining"},
    {"http", "importing"},
    {"cli", "commands"},
]


def test_sql_stands_in_the_store_alone() -> None:
    assert {name for name, found in MODULES.items() if "sqlite3" in found and "store/" not in name} == set()


def layer_of(name: str) -> int:
    return next(place for place, layer in enumerate(LAYERS) if name in layer)


def test_layers_point_one_way() -> None:
    upwards = []
    for name, found in MODULES.items():
        own = name.split("/")[0].removesuffix(".py")
        if own == "__init__":
            continue
        for at in found:
            top, _, rest = at.partition(".")
            module = rest.partition(".")[0]
            is_ours = (PACKAGE / f"{module}.py").exists() or (PACKAGE / module / "__init__.py").exists()
            if top == "limen" and module and is_ours and layer_of(module) > layer_of(own):
                upwards.append((name, at))
    assert upwards == []


IMPORT = """
import sys, threading
opened = []
watched = ("open", "socket.connect", "subprocess.Popen")
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event in watched else None)
import limen
assert threading.active_count() == 1
for name in opened:
    if not name.endswith((".py", ".pyc", ".so")):
        print("opened", name)
for name in {name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:]):
    print("imported", name)
lazy = ("http", "gateway", "cli", "commands", "demo", "store", "importing")
for name in sorted(sys.modules):
    if name.startswith(tuple("limen." + part for part in lazy)):
        print("imported", name)
"""


def test_an_import_opens_no_file_starts_no_thread_and_needs_no_extra() -> None:
    words = [sys.executable, "-IB", "-c", IMPORT, *EXTRAS]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")


DEBUG = """
import sys
import limen
sys.modules["limen._core"].debug_build = True
for name in [name for name in sys.modules if name.startswith("limen") and name != "limen._core"]:
    del sys.modules[name]
import limen
"""


def test_a_debug_build_warns_when_it_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", DEBUG], capture_output=True, text=True, timeout=60)
    assert "RuntimeWarning: this is a debug build" in done.stderr


# Strictness


def test_every_exception_from_a_lint_says_why() -> None:
    silent = []
    for folder in (ROOT / "rust", ROOT / "benches"):
        for path in folder.rglob("*.rs"):
            for found in re.findall(r"#!?\[(?:allow|expect)\((?:[^()]|\([^()]*\))*\)\]", path.read_text()):
                silent += [(path.name, found)] if "reason =" not in found else []
    for folder in (ROOT / "python", ROOT / "tests", ROOT / "benches"):
        for path in folder.rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(r"# (?:noqa|type: ignore|pragma)", line) and not re.search(
                    r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])[ (-]+\w+", line
                ):
                    silent.append((path.name, number))
    assert silent == []


def test_every_exception_in_a_manifest_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert "ignore = [" in text
    lists = [text.partition("ignore = [")[2].partition("\n]")[0]]
    lists.append(text.partition("[tool.ruff.lint.per-file-ignores]")[2].partition("\n[")[0])
    lines = [line for part in lists for line in part.splitlines() if line.strip()]
    assert [line for line in lines if not re.search(r"# \w+", line)] == []
    workspace = (
        (ROOT / "Cargo.toml").read_text().partition("[workspace.lints.rust]")[2].partition("[profile")[0]
    )
    assert [line for line in workspace.splitlines() if re.search(r'"(allow|warn)"', line)] == []


# The tests


@pytest.mark.parametrize(
    ("section", "folder"), [("## Python", ROOT / "tests"), ("## Rust", ROOT / "rust/core/tests")]
)
def test_the_readme_of_the_tests_names_each_of_them(section: str, folder: Path) -> None:
    text = (ROOT / "tests/README.md").read_text().partition(section)[2].partition("\n## ")[0]
    listed = set(re.findall(r"`([\w/]+\.(?:py|rs))`", text))
    assert listed == {name for name in files(folder, "py", "rs") if not name.startswith("common/")}
