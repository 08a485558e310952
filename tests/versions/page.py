"""The page of the versions: the tests of each environment, passed, failed and skipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.versions.environments import named
from tests.versions.runs import Result

PAGE = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- versions: begin -->", "<!-- versions: end -->"
HEAD = (
    *("environment", "Python", "torch", "torchvision", "numpy", "protobuf"),
    *("passed", "failed", "skipped"),
)


def write(results: Sequence[Result]) -> None:
    """Write the table into the page."""
    text = PAGE.read_text("utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{markdown(results)}{END}{after}", "utf-8")


def markdown(results: Sequence[Result]) -> str:
    """Return the table, the tests that failed, and why others were skipped."""
    head = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    rows = [f"| {' | '.join(cells(result))} |" for result in results]
    failed = [
        f"- `{result.name}`: {place}: {_plain(reason)}"
        for result in results
        for place, reason in result.failed.items()
    ]
    return "\n".join([*head, *rows, "", *_listed("Failed", failed), *_skipped(results)])


def cells(result: Result) -> list[str]:
    """Return the cells of one row."""
    versions = result.versions
    protobuf = f"{versions['protobuf']}, {versions['in']}"
    if named(result.name).plugin:
        protobuf += ", after Caffe's own schema"
    torch = [versions[name].partition("+")[0] for name in ("torch", "torchvision", "numpy")]
    passed = f"{result.passed:,}" + (f", {result.mended} at a second try" * bool(result.mended))
    counts = (len(result.failed), sum(result.skipped.values()))
    return [f"`{result.name}`", versions["Python"], *torch, protobuf, passed, *map(str, counts)]


def _skipped(results: Sequence[Result]) -> list[str]:
    reasons = dict[str, list[str]]()
    for result in results:
        for reason, count in result.skipped.items():
            reasons.setdefault(_plain(reason), []).append(f"{count} in `{result.name}`")
    return _listed("Skipped", [f"- {why}: {', '.join(of)}" for why, of in reasons.items()])


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{title}:", "", *lines, ""] if lines else []


def _plain(reason: str) -> str:
    return reason.replace("|", "/").replace("<", "&lt;").strip()
