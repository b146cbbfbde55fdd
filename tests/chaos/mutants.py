"""Small changes to the rooms that can lose money, one at a time: the tests must notice at least 85 of 100.

A mutant is a changed syntax tree, compiled in memory by a child that is forked from a warmed parent and runs
the tests that run its line until the first fails. Nothing is written to the source. Survivors are listed in
``build/chaos/survivors.txt``.
"""

from __future__ import annotations

import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import resource
import select
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

from tests.bench.figures import record
from tests.chaos.answering import seconds_of, tests_of
from tests.chaos.campaign import ROOT, STATE, Campaign, Counts, Verdict
from tests.chaos.coverage_run import MONEY_PATH, ROOMS
from tests.chaos.judges import judges_of

SEED = 20_260_801
SAMPLE = 320
SCORE_MIN = 85.0
LIMIT_S = 120
WALL_S = 900
OTHERS_MAX = 60
SURVIVORS = STATE / "survivors.txt"
_FLIPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_SWAPS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_EITHER_WAY = frozenset({"min", "max", "mul_div_up", "mul_div_down"})
"""Their first two arguments may be exchanged: nothing changes, and nothing can notice."""
_TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """The ``at``-th possible change of a file, counted as ``_Changer`` meets them."""

    path: str
    at: int
    line: int
    what: str

    @property
    def module(self) -> str:
        """Dotted name of the changed module."""
        return self.path.removesuffix(".py").replace("/", ".")

    @property
    def tests(self) -> tuple[str, ...]:
        """What must notice: the files that answer for it, and quick ones of the others that run its line."""
        judges = judges_of(self.path.removeprefix("keeper/").removesuffix(".py"))
        others = [t for t in tests_of(self.path, self.line) if t.partition("::")[0] not in judges]
        # of none, pytest would run everything that there is
        assert judges, f"nobody answers for {self.path}"
        return (*judges, *others[:OTHERS_MAX])

    @property
    def limit_s(self) -> int:
        """Longer than its tests ever take without it."""
        told = tests_of(self.path, self.line)
        return min(LIMIT_S, 40 + int(4 * seconds_of(told))) if told else LIMIT_S


class _Changer(ast.NodeTransformer):
    """Counts every possible change and makes the one asked for; -1 makes none."""

    def __init__(self, at: int = -1) -> None:
        self._at = at
        self.seen: list[tuple[int, str]] = []

    def _now(self, node: ast.AST, what: str) -> bool:
        self.seen.append((getattr(node, "lineno", 0), what))
        return len(self.seen) - 1 == self._at

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Annotations are not code here."""
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Bodies and defaults; never decorators, annotations, or what only prints."""
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """The same."""
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if node.name != "__repr__":
            node.args.defaults = [self.visit(d) for d in node.args.defaults]
            node.args.kw_defaults = [self.visit(d) if d else d for d in node.args.kw_defaults]
            node.body = self._body(node.body)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Decorators say what kind of record it is. A protocol's body is never run: its defaults are words."""
        if not any(isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases):
            node.body = [self.visit(s) for s in node.body]
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Blocks of statements are looked at as blocks, once."""
        blocks = {}
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and not isinstance(node, ast.Module):
                blocks[name] = self._body(block)
                setattr(node, name, [])
        super().generic_visit(node)
        for name, block in blocks.items():
            setattr(node, name, block)
        return node

    def _body(self, block: list[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for statement in block:
            named = isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise)
            doc = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if named and not doc and self._now(statement, f"dropped {type(statement).__name__.lower()}"):
                made.append(ast.copy_location(ast.Pass(), statement))
                continue
            made.append(self.visit(self._returned(statement)))
        return made

    def _returned(self, statement: ast.stmt) -> ast.stmt:
        if isinstance(statement, ast.Return) and statement.value is not None:
            none = isinstance(statement.value, ast.Constant) and statement.value.value is None
            if not none and self._now(statement, "returned None"):
                statement.value = ast.Constant(value=None)
        return statement

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Each comparison becomes its neighbour."""
        for i, op in enumerate(node.ops):
            if type(op) in _FLIPS and self._now(node, f"{type(op).__name__} flipped"):
                node.ops[i] = _FLIPS[type(op)]()
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Plus is minus; unions of types are left alone."""
        if type(node.op) in _SWAPS and self._now(node, f"{type(node.op).__name__} swapped"):
            node.op = _SWAPS[type(node.op)]()
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """And is or."""
        if self._now(node, f"{type(node.op).__name__} swapped"):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        """A condition turned round."""
        if self._now(node, "condition negated"):
            node.test = ast.copy_location(ast.UnaryOp(op=ast.Not(), operand=node.test), node.test)
            return node
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Numbers off by one, truths turned round. Texts are for people."""
        if isinstance(node.value, bool):
            if self._now(node, f"{node.value} negated"):
                node.value = not node.value
        elif isinstance(node.value, int | float):
            for step in (1, -1):
                if self._now(node, f"{node.value} {step:+d}"):
                    node.value = node.value + step
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """The first two arguments exchanged; min is max."""
        two = len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args[:2])
        two = two and not (isinstance(node.func, ast.Name) and node.func.id in _EITHER_WAY)
        if two and self._now(node, "arguments exchanged"):
            node.args[0], node.args[1] = node.args[1], node.args[0]
        if isinstance(node.func, ast.Name) and node.func.id in _TWINS and self._now(node, node.func.id):
            node.func.id = _TWINS[node.func.id]
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Words for people."""
        return node


def mutants_of(path: str) -> tuple[Mutant, ...]:
    """Every mutant of one file."""
    changer = _Changer()
    changer.visit(ast.parse((ROOT / path).read_text()))
    return tuple(
        Mutant(path=path, at=at, line=line, what=what) for at, (line, what) in enumerate(changer.seen)
    )


def changed(mutant: Mutant) -> CodeType:
    """The module's code with that one change."""
    tree = copy.deepcopy(ast.parse((ROOT / mutant.path).read_text()))
    made = ast.fix_missing_locations(_Changer(mutant.at).visit(tree))
    return compile(made, str(ROOT / mutant.path), "exec")


@cache
def sample() -> tuple[Mutant, ...]:
    """SAMPLE mutants of the four rooms, drawn by SEED from all of them."""
    every = [m for p in files() for m in mutants_of(p)]
    return tuple(random.Random(SEED).sample(every, min(SAMPLE, len(every))))


def files() -> tuple[str, ...]:
    """Every file of the four rooms; a migration is released once, and judged by what it leaves behind."""
    found = (p.relative_to(ROOT).as_posix() for r in ROOMS for p in (ROOT / "keeper" / r).rglob("*.py"))
    return tuple(sorted(p for p in found if "/migrations/" not in p))


class _Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the changed module before anybody finds the real one."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Only for the one module."""
        if name != self._mutant.module:
            return None
        origin = ROOT / self._mutant.path
        return importlib.util.spec_from_file_location(name, origin, loader=self)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As usual."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """The changed code."""
        exec(changed(self._mutant), module.__dict__)


@contextmanager
def warmed() -> Iterator[None]:
    """Everything imported that no mutant changes."""
    for name in ("pytest", "hypothesis", "sqlmodel", "alembic.command", "eth_account", "coincurve"):
        importlib.import_module(name)
    for name in ("keeper.model", "keeper.seams", "keeper.sizing", "keeper.config", "keeper.words"):
        importlib.import_module(name)
    assert not any(n.startswith(tuple(f"keeper.{r}" for r in ROOMS)) for n in sys.modules)
    yield


def verdict_of(mutant: Mutant) -> str:
    """``killed``, ``timeout`` or ``survived``, as that room's tests say in a child of their own."""
    tests, limit_s = mutant.tests, mutant.limit_s
    pid = os.fork()
    if not pid:
        _in_child(mutant, tests, limit_s)
    late = not _ended(pid, WALL_S)
    if late:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if late:
        return "timeout"
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU) else "killed"
    return "survived" if os.WEXITSTATUS(status) == 0 else "killed"


def _ended(pid: int, within_s: float) -> bool:
    """Waits for a child. An alarm of its own would not do: a test's timer takes it, and C code never looks."""
    child = os.pidfd_open(pid)
    try:
        return bool(select.select([child], [], [], within_s)[0])
    finally:
        os.close(child)


def _in_child(mutant: Mutant, tests: tuple[str, ...], limit_s: int) -> None:
    """Never returns. The limit is of CPU time: on a crowded machine a slow pass is no catch."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 5))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    code = 1
    try:
        import pytest

        sys.meta_path.insert(0, _Planted(mutant))
        sys.dont_write_bytecode = True
        with tempfile.TemporaryDirectory(prefix="keeper-mutant-") as home:
            os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = home
            options = ("-x", "-q", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:xdist")
            code = int(pytest.main([*options, f"--basetemp={home}/t", *tests]))
    finally:
        os._exit(code)


def unit(number: int) -> Verdict:
    """One mutant of the sample."""
    if number >= len(sample()):
        return Verdict()
    mutant = sample()[number]
    found = verdict_of(mutant)
    if found == "survived":
        SURVIVORS.parent.mkdir(parents=True, exist_ok=True)
        with SURVIVORS.open("a", encoding="utf-8") as file:
            file.write(f"{number} {mutant.path}:{mutant.line} {mutant.what} (at {mutant.at})\n")
    return Verdict(counts={"mutants": 1, found: 1})


def record_score(counts: Counts, done: int, failures: list[str]) -> None:
    """mutation_score_money_path."""
    n, alive = counts.get("mutants", 0), counts.get("survived", 0)
    score = round(100 * (n - alive) / n, 1) if n else None
    record(
        "mutation_score_money_path",
        score,
        unit="%",
        bound=f">= {SCORE_MIN:.0f}",
        holds=None if score is None or n < 300 else score >= SCORE_MIN,
        evidence="own_double",
        n=n,
        seed=SEED,
    )
    print(f"mutation_score_money_path {score} % of {n}; survivors in {SURVIVORS.relative_to(ROOT)}")


MUTANTS = Campaign(
    name="mutants", units=SAMPLE, run=unit, record=record_score, around=warmed, also=MONEY_PATH
)
