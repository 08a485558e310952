"""The command: python -m tests.library [--only LIBRARY ...] [--limit N] [-o FOLDER].

It needs the packages of tests/library/packages.txt; `--environment FOLDER` makes an environment of
them over this one, and runs in it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
from pathlib import Path

from fx2caffe.zoo.result import EQUAL, Row
from fx2caffe.zoo.table import summary
from tests.library.models import LIBRARIES
from tests.library.page import PAGE, write
from tests.library.runs import names, rows, saved

PACKAGES = Path(__file__).with_name("packages.txt")


def main() -> int:
    """Run the models, print each row's verdict and write the page of all."""
    parser = argparse.ArgumentParser("tests.library")
    parser.add_argument("--only", nargs="*", default=(), choices=LIBRARIES, metavar="LIBRARY")
    parser.add_argument("--limit", type=int, help="models of each library")
    parser.add_argument("--engine", default="pycaffe")
    parser.add_argument("--environment", type=Path, metavar="FOLDER")
    parser.add_argument("--page", action="store_true", help=f"write {PAGE}")
    parser.add_argument("--saved", action="store_true", help="take the rows there are, run none")
    parser.add_argument("-o", "--output", type=Path, default=Path("library"), metavar="FOLDER")
    asked = parser.parse_args()
    if asked.environment is not None:
        python = environment(asked.environment)
        here = [
            part for part in sys.argv[1:] if part not in ("--environment", str(asked.environment))
        ]
        return subprocess.run([python, "-m", "tests.library", *here], check=False).returncode
    asked.output.mkdir(parents=True, exist_ok=True)
    found: list[Row] = []
    for library, models in names(asked.only, asked.limit).items():
        chosen = saved(library, models, asked.output) if asked.saved else models
        for row in rows(library, chosen, asked.output, asked.engine):
            print(row.job.name.partition(":")[2], row.verdict, *row.reasons[:1], flush=True)
            found.append(row)
    print(summary(found))
    if asked.page:
        write(found)
    return 0 if all(row.verdict == EQUAL for row in found) else 1


def environment(folder: Path) -> Path:
    """Make an environment of the libraries over this one, whose torch they take."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        theirs = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True)
        over = Path(theirs.stdout.strip()) / "over.pth"
        over.write_text(f"{sysconfig.get_paths()['purelib']}\n", encoding="utf-8")
        install = [python, "-m", "pip", "install", "-q", "-r", PACKAGES]
        subprocess.run(install, check=True)
    return python


if __name__ == "__main__":
    sys.exit(main())
