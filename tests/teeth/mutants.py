"""Wrong versions of the metrics, made one at a time from their source; a golden journal must tell each from the right.

A mutant differs from ``orchestrator/metrics/`` in one place: a window, the edge of a comparison, a denominator, an
aggregate, a condition, a number. It is compiled in memory, and the package is imported anew with it in its place.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from orchestrator import metrics
from orchestrator.evidence import Evidence
from tests.orchestrator.golden import NAMES, departures, events_of

_PACKAGE = metrics.__name__
_FOLDER = Path(str(metrics.__file__)).parent

_WINDOWS = ("task_deadline_s", "rate_window_s", "byte_window_s", "steady_window_s", "steady_hold_s")
_PHASES: Mapping[object, str] = {
    "warmup": "pre", "pre": "inflight", "inflight": "post", "post": "tail", "tail": "post",
}  # fmt: skip
_EDGES: Mapping[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_OPPOSITES: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_AGGREGATES: Mapping[str, str] = {
    "min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor", "fmean": "median",
    "median": "fmean",
}  # fmt: skip
_GROUPS: Mapping[str, str] = {"survivors": "victims", "victims": "survivors"}
_NO_METRICS = ("__init__", "sensitivity")
_WRONG = 1.5
"""By how much a number with a fraction is wrong."""
_SIDES: Mapping[object, str] = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Mutant:
    """One wrong version of one module."""

    module: str
    function: str
    kind: str
    change: str
    """The expression around the place, as it is and as it would be."""
    tree: ast.Module

    @property
    def name(self) -> str:
        """What is wrong, and where."""
        return f"{self.module}.{self.function}: {self.kind}: {self.change}"


Edit = Callable[[ast.AST], None]


def mutants() -> Iterator[Mutant]:
    """All of them, module by module."""
    for path in sorted(_FOLDER.glob("*.py")):
        if path.stem not in _NO_METRICS:
            yield from mutants_of(path.stem, path.read_text("utf-8"))


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Those of one source text."""
    tree = ast.parse(source)
    for at, place in enumerate(_places(tree)):
        for kind, edit in _edits(place.node):
            changed = deepcopy(tree)
            twin = _places(changed)[at]
            edit(twin.node)
            change = f"{ast.unparse(place.around)} \N{RIGHTWARDS ARROW} {ast.unparse(twin.around)}"
            yield Mutant(module, place.function, kind, change, ast.fix_missing_locations(changed))


@dataclass(frozen=True)
class _Place:
    node: ast.AST
    around: ast.AST
    """The expression that the node is part of, to show it by."""
    function: str


def _places(tree: ast.Module) -> list[_Place]:
    """Every node that may be edited, always in the same order."""
    found: list[_Place] = []

    def visit(node: ast.AST, around: ast.AST, function: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            function = node.name
        found.append(_Place(node, around, function))
        for child in _children(node):
            visit(child, node if isinstance(node, ast.expr) else child, function)

    visit(tree, tree, "module")
    return found


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that decide numbers: no docstrings, types, decorators, texts, and no digits of a rounding."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            yield from node.body
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr() | ast.ImportFrom() | ast.Import():
            return
        case ast.AnnAssign(value=ast.expr() as value):
            yield value
        case ast.Call(func=ast.Name(id="round") | ast.Attribute(attr="round")):
            yield node.args[0]
        case ast.Call(func=ast.Name(id="null")):
            yield from (keyword.value for keyword in node.keywords)
        case ast.Subscript(
            value=ast.Name(id="dict" | "list" | "tuple" | "Counter" | "NDArray" | "Sequence" | "Mapping")
        ):
            return
        case _:
            yield from ast.iter_child_nodes(node)


def _edits(node: ast.AST) -> Iterator[tuple[str, Edit]]:
    """What can be made wrong at this node: its kind, and how."""
    match node:
        case ast.Compare():
            yield from _of_comparison(node)
        case ast.BinOp():
            yield from _of_arithmetic(node)
        case ast.BoolOp():
            yield "condition", _set(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield "condition", _set(op=ast.UAdd(), operand=ast.Call(ast.Name("bool"), [deepcopy(node.operand)], []))
        case ast.Constant():
            yield from _of_constant(node.value)
        case ast.Attribute(attr=name) if name in _WINDOWS:
            yield "window", _set(attr=_WINDOWS[(_WINDOWS.index(name) + 1) % len(_WINDOWS)])
        case ast.Attribute(attr=name) if name in _GROUPS:
            yield "population", _set(attr=_GROUPS[name])
        case ast.Call(func=ast.Name(id=name)) if name in _AGGREGATES:
            yield "aggregate", _set(func=ast.Name(_AGGREGATES[name]))


def _of_comparison(node: ast.Compare) -> Iterator[tuple[str, Edit]]:
    for at, operator in enumerate(node.ops):
        if type(operator) in _EDGES:
            yield "edge", _put("ops", at, _EDGES[type(operator)]())
        elif type(operator) in _OPPOSITES:
            yield "condition", _put("ops", at, _OPPOSITES[type(operator)]())


def _of_arithmetic(node: ast.BinOp) -> Iterator[tuple[str, Edit]]:
    if isinstance(node.op, ast.Div):
        yield "denominator", _set(right=ast.BinOp(deepcopy(node.right), ast.Add(), ast.Constant(1)))
        yield "denominator", _set(op=ast.Mult())
    elif isinstance(node.op, ast.Add | ast.Sub):
        yield "sign", _set(op=ast.Sub() if isinstance(node.op, ast.Add) else ast.Add())


def _of_constant(value: object) -> Iterator[tuple[str, Edit]]:
    if isinstance(value, str) and value in _PHASES:
        yield "window", _set(value=_PHASES[value])
    elif isinstance(value, str) and value in _SIDES:
        yield "edge", _set(value=_SIDES[value])
    elif isinstance(value, float):
        yield "number", _set(value=_WRONG * value if value else 0.1)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield "off by one", _set(value=value + 1)


def _set(**fields: object) -> Edit:
    def edit(node: ast.AST) -> None:
        for name, value in fields.items():
            setattr(node, name, value)

    return edit


def _put(name: str, at: int, value: ast.AST) -> Edit:
    def edit(node: ast.AST) -> None:
        getattr(node, name)[at] = value

    return edit


class _Source(MetaPathFinder, Loader):
    """Imports one module from its changed tree."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Only of the changed module."""
        del path, target
        return ModuleSpec(fullname, self) if fullname == f"{_PACKAGE}.{self._mutant.module}" else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed tree; names that a swap may need are there."""
        vars(module).update(_SPARE)
        exec(compile(self._mutant.tree, self._mutant.name, "exec"), vars(module))  # noqa: S102 - our own source


_SPARE = {name: vars(import_module("math" if name in ("floor", "ceil") else "statistics"))[name]
          for name in ("floor", "ceil", "fmean", "median")}  # fmt: skip


@contextmanager
def _imported_anew(mutant: Mutant) -> Iterator[ModuleType]:
    """The package with the mutant in place; afterwards everything is as it was."""
    before = {name: module for name, module in sys.modules.items() if name.startswith(_PACKAGE)}
    finder = _Source(mutant)
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield import_module(_PACKAGE)
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(_PACKAGE)]:
            del sys.modules[name]
        sys.modules.update(before)
        sys.modules["orchestrator"].metrics = metrics  # type: ignore[attr-defined]


@cache
def _evidence(name: str) -> Evidence:
    return Evidence.from_events(events_of(name))


# What wrong arithmetic or a wrong look-up can raise: the golden test would be red of it.
_RED = (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError)


def caught_by(mutant: Mutant) -> str | None:
    """The golden journal that tells the mutant from the right one, and how; None when all are as they should be."""
    try:
        with _imported_anew(mutant) as package:
            for name in NAMES:
                departure = next(departures(name, package.evaluate(_evidence(name))), None)
                if departure is not None:
                    return f"{name}: {departure}"
    except _RED as error:
        return f"{type(error).__name__}: {error}"
    return None
