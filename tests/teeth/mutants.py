"""Wrong versions of the metrics, made one at a time from their source; a golden journal must tell each from the right.

A mutant differs from ``orchestrator/metrics/`` in one place: a window, the edge of a comparison, a denominator, an
aggregate, a condition, a number. It is compiled in memory, and the package is imported anew with it in its place.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from orchestrator import metrics
from orchestrator.evidence import Evidence
from orchestrator.metrics import Value
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
    code: CodeType

    @property
    def name(self) -> str:
        """What is wrong, and where."""
        return f"{self.module}.{self.function}: {self.kind}: {self.change}"


Edit = Callable[[ast.AST], Callable[[], None]]
"""Makes a node wrong, and returns what makes it right again."""


def mutants() -> Iterator[Mutant]:
    """All of them, module by module."""
    for path in sorted(_FOLDER.glob("*.py")):
        if path.stem not in _NO_METRICS:
            yield from mutants_of(path.stem, path.read_text("utf-8"))


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Those of one source text."""
    tree = ast.parse(source)
    for place in _places(tree):
        before = ast.unparse(place.around)
        for kind, edit in list(_edits(place.node)):
            undo = edit(place.node)
            change = f"{before} \N{RIGHTWARDS ARROW} {ast.unparse(place.around)}"
            code = compile(ast.fix_missing_locations(tree), f"{module}.{place.function}", "exec")
            undo()
            yield Mutant(module, place.function, kind, change, code)


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
            yield "condition", _set(op=ast.UAdd(), operand=ast.Call(ast.Name("bool", ast.Load()), [node.operand], []))
        case ast.Constant():
            yield from _of_constant(node.value)
        case ast.Attribute(attr=name) if name in _WINDOWS:
            yield "window", _set(attr=_WINDOWS[(_WINDOWS.index(name) + 1) % len(_WINDOWS)])
        case ast.Attribute(attr=name) if name in _GROUPS:
            yield "population", _set(attr=_GROUPS[name])
        case ast.Call(func=ast.Name(id=name)) if name in _AGGREGATES:
            yield "aggregate", _set(func=ast.Name(_AGGREGATES[name], ast.Load()))


def _of_comparison(node: ast.Compare) -> Iterator[tuple[str, Edit]]:
    for at, operator in enumerate(node.ops):
        if type(operator) in _EDGES:
            yield "edge", _put("ops", at, _EDGES[type(operator)]())
        elif type(operator) in _OPPOSITES:
            yield "condition", _put("ops", at, _OPPOSITES[type(operator)]())


def _of_arithmetic(node: ast.BinOp) -> Iterator[tuple[str, Edit]]:
    if isinstance(node.op, ast.Div):
        yield "denominator", _set(right=ast.BinOp(node.right, ast.Add(), ast.Constant(1)))
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
    def edit(node: ast.AST) -> Callable[[], None]:
        before = {name: getattr(node, name) for name in fields}
        vars(node).update(fields)
        return lambda: vars(node).update(before)

    return edit


def _put(name: str, at: int, value: ast.AST) -> Edit:
    def edit(node: ast.AST) -> Callable[[], None]:
        parts = list(getattr(node, name))
        parts[at] = value
        return _set(**{name: parts})(node)

    return edit


class _Source(MetaPathFinder, Loader):
    """Imports the package from code that is compiled once, one module of it from a mutant's."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Of the package and its modules."""
        del path, target
        if fullname == _PACKAGE:
            spec = ModuleSpec(fullname, self, is_package=True)
            spec.submodule_search_locations = [str(_FOLDER)]
            return spec
        return ModuleSpec(fullname, self) if fullname.startswith(f"{_PACKAGE}.") else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code; names that a swap may need are there."""
        stem = module.__name__.removeprefix(_PACKAGE).removeprefix(".") or "__init__"
        vars(module).update(_SPARE)
        exec(self._mutant.code if stem == self._mutant.module else _right(stem), vars(module))  # noqa: S102 - our own


@cache
def _right(stem: str) -> CodeType:
    return compile((_FOLDER / f"{stem}.py").read_text("utf-8"), stem, "exec")


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


# What wrong arithmetic or a wrong look-up can raise: the golden test would be red of it, of a warning too.
_RED = (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError, Warning)


class _Computed:
    """The metrics of one evidence, each computed when it is asked for."""

    def __init__(self, package: Any, evidence: Evidence) -> None:
        self._package = package
        self._metrics = package.registry()
        self._evidence = evidence

    def of(self, name: str) -> Value:
        """As ``evaluate`` would have it."""
        value: Value = self._package._attempt(self._metrics[name], self._evidence)
        return value


# The journal that says most comes first, and the long ones last.
_ORDER = sorted(NAMES, key=lambda name: (name != "storm", name != "edges", len(events_of(name))))


def caught_by(mutant: Mutant) -> str | None:
    """The golden journal that tells the mutant from the right one, and how; None when all are as they should be."""
    try:
        with _imported_anew(mutant) as package:
            for name in _ORDER:
                values = _Computed(package, _evidence(name))
                departure = next(departures(name, values.of), None)
                if departure is not None:
                    return f"{name}: {departure}"
    except _RED as error:
        return f"{type(error).__name__}: {error}"
    return None
