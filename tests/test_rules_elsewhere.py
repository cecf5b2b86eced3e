"""The rows of expressions, and generated ones, asked of another implementation of CEL: cel-python.

What ours answers stands in the file, and the core's own tests hold it to that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import celpy
import pytest
from celpy import celtypes

FILE = json.loads((Path(__file__).parent / "vectors" / "rules.json").read_text())
ENVIRONMENT = celpy.Environment()
ERROR = "error"
DIFFERENT: dict[str, bool | str] = {
    # An empty expression is true here, and none there.
    "": ERROR,
    "  \n\t": ERROR,
    # An int and a double are compared as the numbers that they are; there hardly ever.
    **dict.fromkeys(
        (
            "80 < budget_used",
            "budget_used == 80",
            "budget_used != 80",
            "tokens_used == 0",
            "1 < 1.5",
            "2 == 2.0",
            "9007199254740993 == 9007199254740992.0",
            "9007199254740993 > 9007199254740992.0",
            "9223372036854775807 < 9223372036854775808.0",
            "-9223372036854775808 == -9223372036854775808.0",
            "-1 < -0.5",
            "-2 < -1.5",
            "-1 > -1.5",
            "1e3 == 1000",
            "2 in [1, 2.0]",
        ),
        ERROR,
    ),
    # What is no number is unequal to itself, and not less than any.
    "0.0 / 0.0 == 0.0 / 0.0": True,
    "!(0.0 / 0.0 >= 1)": False,
    # The rest of a division that overflows: the specification leaves it open.
    "-9223372036854775808 % -1 == 0": True,
    # It has no lowerAscii.
    **dict.fromkeys(
        (
            '"GPT-4O".lowerAscii() == model',
            'headers["x-name"].lowerAscii() == "Ünï"',
            '(provider + "/" + model).lowerAscii().endsWith("4o")',
        ),
        ERROR,
    ),
}


def value(of: Any) -> Any:
    if isinstance(of, dict):
        return celtypes.MapType({celtypes.StringType(key): value(item) for key, item in of.items()})
    return celtypes.DoubleType(of) if isinstance(of, float) else celtypes.StringType(of)


def answer(expression: str, request: dict[str, Any]) -> bool | str:
    try:
        program = ENVIRONMENT.program(ENVIRONMENT.compile(expression))
        return bool(program.evaluate({name: value(item) for name, item in request.items()}))
    except (celpy.CELEvalError, celpy.CELParseError):
        return ERROR


@pytest.mark.parametrize("row", FILE["holds"], ids=lambda row: row["expression"][:60])
def test_a_row_means_the_same_there_or_differs_as_it_is_meant_to(row: Any) -> None:
    expression = row["expression"]
    ours = row["expected"] if isinstance(row["expected"], bool) else ERROR
    theirs = answer(expression, FILE["request"] | row["request"])
    assert theirs == DIFFERENT.get(expression, ours)


def test_a_difference_is_one_of_a_row() -> None:
    assert DIFFERENT.keys() <= {row["expression"] for row in FILE["holds"]}


def test_generated_expressions_mean_the_same_there() -> None:
    rows, request = FILE["generated"], FILE["generated_request"]
    assert len(rows) >= 500
    assert {str(row["expected"]) for row in rows} == {"True", "False", ERROR}
    different = [row for row in rows if answer(row["expression"], request) != row["expected"]]
    assert different == []
