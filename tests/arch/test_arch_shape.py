"""Sizes, names and habits of the source. The list of exceptions is empty."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.arch.sources import Source, nodes, sources

pytestmark = pytest.mark.unit

MODULE_LINES_MAX = 400
STRATEGY_LINES_MAX = 200
FUNCTION_LINES_MAX = 60
PARAMETERS_MAX = 5
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
ROOTS = {"Exception", "Protocol", "Enum", "StrEnum", "IntEnum", "IntFlag", "NamedTuple", "TypedDict", "ABC"}
ROOTS |= {"object", "Generic"}
SUPERVISORS = {
    "keeper.daemon.service",
    "keeper.daemon.slow",
    "keeper.daemon.supervise",
    "keeper.daemon.isolation",
    "keeper.cli",
}
"""The only modules that may catch Exception: something must keep the house standing."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_module__when_counted__then_it_fits_its_limit() -> None:
    wrong = [
        f"{s.where}: {n} lines"
        for s in sources("keeper", "strategies", "anvil")
        if (n := s.text.count("\n"))
        > (STRATEGY_LINES_MAX if s.module.startswith("strategies") else MODULE_LINES_MAX)
    ]
    assert wrong == []


def test_function__when_counted__then_it_has_at_most_60_lines() -> None:
    wrong = [
        f"{s.where}:{f.lineno} {f.name}: {n} lines"
        for s in sources("keeper", "strategies", "anvil")
        for f in _functions(s)
        if (n := (f.end_lineno or f.lineno) - f.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert wrong == []


def test_function__when_called__then_it_takes_at_most_5_parameters() -> None:
    """Commands are left out (typer needs one parameter an option); a seam speaks for what implements it."""
    seams = {f.name for s in sources("keeper") if s.module == "keeper.seams" for f in _functions(s)}
    wrong = [
        f"{s.where}:{f.lineno} {f.name}: {n} parameters"
        for s in sources()
        if s.room != "cli"
        for f in _functions(s)
        if (n := _parameters(f)) > PARAMETERS_MAX and f.name not in seams
    ]
    assert wrong == []


def test_class__when_derived__then_at_most_one_step_deep() -> None:
    classes = {c.name: c for s in sources() for c in nodes(s.tree) if isinstance(c, ast.ClassDef)}
    wrong = [name for name, c in classes.items() if _depth(c, classes) > 1 and not _is_error(c, classes)]
    assert wrong == []


def test_file_and_function__when_named__then_by_a_noun_of_the_field() -> None:
    wrong = [s.where for s in sources("keeper", "strategies", "anvil") if _vague(s)]
    assert wrong == []


def test_except__when_written__then_it_names_what_it_expects() -> None:
    wrong = [
        f"{s.where}:{h.lineno}"
        for s in sources()
        if s.module not in SUPERVISORS
        for h in nodes(s.tree)
        if isinstance(h, ast.ExceptHandler) and _broad(h.type) and not _passes_on(h)
    ]
    assert wrong == []


def test_suppress__when_written__then_it_names_what_it_expects() -> None:
    wrong = [
        f"{s.where}:{c.lineno}"
        for s in sources()
        if s.module not in SUPERVISORS
        for c in nodes(s.tree)
        if isinstance(c, ast.Call)
        and ast.unparse(c.func).endswith("suppress")
        and any(_broad(a) for a in c.args)
    ]
    assert wrong == []


def test_public_name__when_shipped__then_it_has_a_docstring() -> None:
    wrong = [
        f"{s.where}:{getattr(n, 'lineno', 1)} {getattr(n, 'name', s.module)}"
        for s in sources()
        for n in _public(s)
        if ast.get_docstring(n) is None
    ]
    assert wrong == []


def test_global_statement__when_searched__then_there_is_none() -> None:
    wrong = [f"{s.where}:{n.lineno}" for s in sources() for n in nodes(s.tree) if isinstance(n, ast.Global)]
    assert wrong == []


def test_record__when_declared__then_it_is_frozen_slotted_and_keyword_only() -> None:
    wrong = [
        f"{s.where}:{c.lineno} {c.name}"
        for s in sources()
        for c in nodes(s.tree)
        if isinstance(c, ast.ClassDef) and not c.name.startswith("_")
        for d in c.decorator_list
        if "dataclass" in ast.unparse(d)
        and not all(f"{k}=True" in ast.unparse(d) for k in ("frozen", "slots", "kw_only"))
    ]
    assert wrong == []


def _functions(source: Source) -> Iterator[Function]:
    return (n for n in nodes(source.tree) if isinstance(n, Function))


def _parameters(f: Function) -> int:
    names = [a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
    return len([n for n in names if n not in ("self", "cls")])


def _bases(c: ast.ClassDef) -> list[str]:
    return [ast.unparse(b).split("[")[0].split(".")[-1] for b in c.bases]


def _depth(c: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> int:
    """Steps through our own classes; a foreign base (or a root of the language) is the ground."""
    ours = [classes[b] for b in _bases(c) if b in classes and b != c.name and b not in ROOTS]
    return 1 + max((_depth(b, classes) for b in ours), default=-1)


def _is_error(c: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    return any(
        b in ("Exception", "BaseException") or (b in classes and _is_error(classes[b], classes))
        for b in _bases(c)
        if b != c.name
    )


def _vague(source: Source) -> bool:
    parts = source.module.split(".")
    return any(p in FORBIDDEN or p.startswith("base_") for p in parts)


def _broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    elements = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(ast.unparse(e) in ("Exception", "BaseException") for e in elements)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    """Cleaning up and raising again swallows nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _public(source: Source) -> Iterator[ast.Module | ast.ClassDef | Function]:
    """The module, its public classes and functions, and public methods of classes that are no Protocol."""
    yield source.tree
    for node in source.tree.body:
        if isinstance(
            node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and not node.name.startswith("_"):
            yield node
        if (
            isinstance(node, ast.ClassDef)
            and not node.name.startswith("_")
            and "Protocol" not in _bases(node)
        ):
            yield from (
                m
                for m in node.body
                if isinstance(m, Function) and not m.name.startswith("_") and not _inherited(m, node)
            )


def _inherited(method: Function, owner: ast.ClassDef) -> bool:
    """A method with the name of a seam's is described there."""
    seam = {
        f.name
        for s in sources("keeper")
        if s.module == "keeper.seams"
        for f in nodes(s.tree)
        if isinstance(f, Function)
    }
    return method.name in seam
