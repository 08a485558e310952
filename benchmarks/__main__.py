"""Every ratio in one command: `python -m benchmarks [WORD ...]`; the table goes to README.md here.

A WORD selects the rows whose name ("export:resnet50") holds it; without one all are measured, and
the table is written. Each row runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.rows import Row

PAGE = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
HEAD = ("| stage | net | against | ours / theirs | ours |", "|---|---|---|---|---|")


def main() -> None:
    """Measure the rows that were asked for, and print them."""
    words = sys.argv[1:]
    if words[:1] == ["--row"]:
        print(_measured(words[1]))
        return
    names = [row.name for row in all_rows()]
    lines = list(HEAD)
    print(*lines, sep="\n", flush=True)
    for name in names:
        if all(word in name for word in words):
            command = [sys.executable, "-m", "benchmarks", "--row", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            printed = done.stdout if done.returncode == 0 else done.stderr or f"{name}: failed"
            lines.append(printed.strip().splitlines()[-1])
            print(lines[-1], flush=True)
    if not words:
        _write("\n".join(lines))


def _measured(name: str) -> str:
    """Return the line of the row with this name."""
    row = next(row for row in all_rows() if row.name == name)
    with tempfile.TemporaryDirectory() as folder:
        ratio = row.measure(row.model, Path(folder))
    ours = f"{ratio.amount:.3f} {ratio.unit}"
    return f"| {row.stage} | {row.model} | {row.other} | {ratio.text} | {ours} |"


def all_rows() -> tuple[Row, ...]:
    """Return the rows of every table."""
    from benchmarks import caffe, memory, opencv, rows

    return (*rows.ROWS, *opencv.ROWS, *caffe.ROWS, *memory.ROWS)


def _write(table: str) -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
