"""Every Python block of the README runs as it stands; the commands are run by the CI script."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_the_readme_runs(block: str) -> None:
    exec(compile(block, str(README), "exec"), {})


def test_there_are_blocks() -> None:
    assert BLOCKS
