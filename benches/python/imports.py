"""What does it cost to have limen, before anything is asked of it? Import time and installed size.

Both are those of `pip install limen`: only limen and what it depends on can be imported. In a fuller
environment msgspec imports more (typing_extensions, where that is there).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from common import QUICK, in_turn, print_row

MS = 1_000_000
MB = 1_000_000
BASE = ("limen", "msgspec")


def start(code: str) -> Callable[[], float]:
    """Nanoseconds from nothing to the end of a fresh interpreter."""

    def sample() -> float:
        begun = time.perf_counter_ns()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter_ns() - begun

    return sample


def files(found: Distribution) -> list[Path]:
    paths = [Path(str(found.locate_file(file))) for file in found.files or ()]
    return [path for path in paths if path.is_file()]


def main() -> None:
    sizes = {name: sum(file.stat().st_size for file in files(distribution(name))) / MB for name in BASE}
    with tempfile.TemporaryDirectory() as folder:
        for name in BASE:
            (Path(folder) / name).symlink_to(Path(str(distribution(name).locate_file(name))))
        alone = "import sys; sys.path = [path for path in sys.path if not path.endswith('-packages')]"
        use = f"{alone} + [{folder!r}]; import limen; assert limen.FixedWindow(1, '1m').take()"
        nothing, whole = in_turn([start("pass"), start(use)], 3 if QUICK else 41)
    print_row(
        "import_ms",
        (whole.median - nothing.median) / MS,
        (whole.least - nothing.least) / MS,
        note=f"a fresh interpreter without it takes {nothing.median / MS:.1f} ms",
    )
    total = sum(sizes.values())
    note = ", ".join(f"{name} {size:.2f} MB" for name, size in sizes.items())
    print_row("install_mb", total, total, note=note)


if __name__ == "__main__":
    main()
