"""Breaks of Python source, one expression or statement each: by operator, found in its syntax."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

UNSEEN = (ast.Raise, ast.Assert, ast.JoinedStr)  # texts for people
NOT_RUN = frozenset({"annotation", "returns", "decorator_list", "type_params"})

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """Replaces the bytes from `start` to `end` of a file; `scope` is the function around them."""

    path: str
    line: int
    scope: str
    operator: str
    start: int
    end: int
    new: str

    def applied(self, source: bytes) -> bytes:
        """Return the broken source."""
        return source[: self.start] + self.new.encode() + source[self.end :]

    def shown(self, source: bytes) -> str:
        """Return place, operator and change as one line."""
        old = " ".join(source[self.start : self.end].decode().split())
        return f"{self.path}:{self.line} {self.scope}, {self.operator}: {old} -> {self.new}"


Change = tuple[str, ast.AST, str]  # operator, what is replaced, the text for it


def _text(node: ast.AST) -> str:
    return f"({ast.unparse(node)})"


def _compare(node: ast.Compare) -> Iterator[Change]:
    first, *rest = node.ops
    if type(first) in COMPARISONS:
        ops = [COMPARISONS[type(first)](), *rest]
        yield "comparison", node, _text(ast.Compare(node.left, ops, node.comparators))


def _arithmetic(node: ast.BinOp) -> Iterator[Change]:
    if type(node.op) in ARITHMETIC and not isinstance(node.left, ast.Constant | ast.JoinedStr):
        changed = ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
        yield "arithmetic", node, _text(changed)


def _constant(node: ast.Constant) -> Iterator[Change]:
    if isinstance(node.value, bool):
        yield "boolean", node, str(not node.value)
    elif isinstance(node.value, int):
        yield "constant", node, str(node.value + 1)
    elif isinstance(node.value, float):
        yield "constant", node, repr(2 * node.value + 1)


def _boolean(node: ast.BoolOp) -> Iterator[Change]:
    other = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    yield "boolean", node, _text(ast.BoolOp(other, node.values))
    for dropped in range(len(node.values)):
        left = node.values[:dropped] + node.values[dropped + 1 :]
        yield "boolean", node, _text(left[0] if len(left) == 1 else ast.BoolOp(node.op, left))


def _condition(node: ast.If | ast.IfExp) -> Iterator[Change]:
    yield "boolean", node.test, "True"
    yield "boolean", node.test, "False"


def _not(node: ast.UnaryOp) -> Iterator[Change]:
    if isinstance(node.op, ast.Not | ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "boolean" if isinstance(node.op, ast.Not) else "arithmetic", node, _text(node.operand)


def _return(node: ast.Return) -> Iterator[Change]:
    if node.value is not None and not isinstance(node.value, ast.Constant):
        yield "return", node.value, "None"


def _bound(node: ast.Slice) -> Iterator[Change]:
    for side in (node.lower, node.upper):
        if side is not None and not isinstance(side, ast.Constant):
            yield "off by one", side, f"{_text(side)} + 1"


def _arguments(node: ast.Call) -> Iterator[Change]:
    if isinstance(node.func, ast.Name) and node.func.id == "range":
        yield "off by one", node.args[-1], f"{_text(node.args[-1])} - 1"
    for keyword in node.keywords:
        if _is_seen(node, keyword) and len(node.args) + len(node.keywords) > 1:
            left = [other for other in node.keywords if other is not keyword]
            yield "removed argument", node, ast.unparse(ast.Call(node.func, node.args, left))


def _is_seen(call: ast.AST, child: ast.AST) -> bool:
    """Return whether a child is none of a call's `**more`, names for people, and zip's check."""
    if not isinstance(call, ast.Call) or not isinstance(child, ast.keyword):
        return True
    is_zip = isinstance(call.func, ast.Name) and call.func.id == "zip"
    return child.arg not in (None, "suffix") and not (is_zip and child.arg == "strict")


def _statement(node: ast.Expr) -> Iterator[Change]:
    if isinstance(node.value, ast.Call):
        yield "removed call", node, "pass"


CHANGES: dict[type[ast.AST], Callable[..., Iterator[Change]]] = {
    ast.Compare: _compare,
    ast.BinOp: _arithmetic,
    ast.Constant: _constant,
    ast.BoolOp: _boolean,
    ast.If: _condition,
    ast.IfExp: _condition,
    ast.UnaryOp: _not,
    ast.Return: _return,
    ast.Slice: _bound,
    ast.Call: _arguments,
    ast.Expr: _statement,
}


def mutants(path: str, source: bytes) -> list[Mutant]:
    """Return every break of a file that these operators make."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def offset_of(line: int, column: int) -> int:
        return starts[line - 1] + column

    return [
        Mutant(
            path,
            node.lineno,
            scope,
            operator,
            offset_of(node.lineno, node.col_offset),
            offset_of(node.end_lineno or node.lineno, node.end_col_offset or 0),
            new,
        )
        for scope, operator, node, new in _changes(ast.parse(source), "")
    ]


def _changes(node: ast.AST, scope: str) -> Iterator[tuple[str, str, ast.expr | ast.stmt, str]]:
    for operator, old, new in CHANGES.get(type(node), _none)(node):
        assert isinstance(old, ast.expr | ast.stmt)
        yield scope, operator, old, new
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        scope = f"{scope}.{node.name}".lstrip(".")
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if name in NOT_RUN or not isinstance(child, ast.AST) or isinstance(child, UNSEEN):
                continue
            if _is_seen(node, child):
                yield from _changes(child, scope)


def _none(node: ast.AST) -> Iterator[Change]:
    return iter(())
