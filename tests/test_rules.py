"""Expressions of routing rules: what is taken, what is refused and where; the core reads these rows too."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from furnished import Furnished, picture
from house import House, refused
from test_config_file import Filed

FILE = json.loads((Path(__file__).parent / "vectors" / "rules.json").read_text())
RULE = {"name": "n", "scope": "global", "priority": 1, "targets": [{"weight": 1}]}


@pytest.fixture(scope="module")
def furnished() -> Furnished:
    return Furnished()


def test_there_are_enough_rows() -> None:
    assert len(FILE["holds"]) >= 120
    assert len({row["expression"] for row in FILE["refused"]}) == len(FILE["refused"]) >= 60


@pytest.mark.parametrize("row", FILE["holds"], ids=lambda row: row["expression"][:60])
def test_an_expression_is_taken(furnished: Furnished, row: Any) -> None:
    rules = furnished.engine.routing_rules
    made = rules.create({**RULE, "cel_expression": row["expression"]})
    assert rules.get(made.id).cel_expression == row["expression"]
    rules.delete(made.id)


@pytest.mark.parametrize("row", FILE["refused"], ids=lambda row: row["expression"][:60])
def test_a_faulty_expression_is_refused_with_its_place_and_changes_nothing(
    furnished: Furnished, row: Any
) -> None:
    engine, body = furnished.engine, {"cel_expression": row["expression"]}
    before = picture(engine)
    for call in (
        lambda: engine.routing_rules.create({**RULE, **body}),
        lambda: engine.routing_rules.update(furnished.routing_rule.id, body),
        lambda: engine.check_expression(row["expression"]),
    ):
        fault = refused(call, "invalid_request", "cel_expression")
        if "\x00" not in row["expression"]:
            assert f"(offset {row['offset']}): " in fault.message
            assert row["says"] in fault.message
    assert picture(engine) == before


def test_the_expressions_of_a_file_are_checked_all_in_one_run(tmp_path: Path) -> None:
    filed = Filed(tmp_path)
    filed.policy["routing_rules"] = [
        {**RULE, "name": name, "cel_expression": text}
        for name, text in (("a", "model = 1"), ("b", "true"), ("c", "budget_used > 80 &&"))
    ]
    before = picture(filed.engine)
    faults = refused(filed.load, "invalid_request", "routing_rules[0].cel_expression").faults
    assert [(fault.param, fault.message) for fault in faults] == [
        (
            "routing_rules[0].cel_expression",
            "line 1, column 7 (offset 6): = is not an operator: write == to compare",
        ),
        (
            "routing_rules[2].cel_expression",
            "line 1, column 20 (offset 19): the expression ends too early",
        ),
    ]
    assert picture(filed.engine) == before


@pytest.mark.parametrize(
    "text",
    ["+".join(["1"] * 2047), "(" * 4096, "!" * 4096, "model.matches('(a*)*(b|c)*" + "x{1000}" * 500 + "')"],
    ids=["a flat sum", "brackets", "negations", "a pattern"],
)
def test_no_text_brings_a_thread_with_a_small_stack_down(text: str) -> None:
    engine, faults = House().engine, []
    before = threading.stack_size(2 * 1024 * 1024)
    try:
        thread = threading.Thread(
            target=lambda: faults.append(refused(lambda: engine.check_expression(text)))
        )
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert [fault.param for fault in faults] == ["cel_expression"]


@pytest.mark.parametrize("text", ["\ud800", "model == '\udfff'", 5, None, b"true", "x" * 4097, ["true"]])
def test_what_is_no_text_is_no_expression(text: Any) -> None:
    refused(lambda: House().engine.check_expression(text), "invalid_request", "cel_expression")
