"""What a campaign exercises, as files: its module and everything that its imports lead to, function by function."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("keeper", "strategies", "tests", "anvil")
NAMED_BY_TEXT = ("strategies/*.py",)
"""Found by a name in a configuration and by no import."""
_IMPORTED = re.compile(r"""^\s*(?:import|\})[^;]*?["'](\.{1,2}/[^"']+)["'];""", re.MULTILINE)


def digest(module: str, also: Sequence[str]) -> str:
    """A hash of those files and of the ones that ``also`` (globs from the root) names."""
    named = {p for pattern in (*NAMED_BY_TEXT, *also) for p in ROOT.glob(pattern) if p.is_file()}
    h = hashlib.sha256()
    for path in sorted(named | closure(module)):
        h.update(path.relative_to(ROOT).as_posix().encode())
        h.update(path.read_bytes())
    return h.hexdigest()[:16]


def closure(module: str) -> set[Path]:
    """The module's file and those of all that it imports, at its top or within a function, and so on."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = _file_of(waiting.pop())
        if path is not None and path not in found:
            found.add(path)
            waiting += _imports(path)
    return found


def solidity(*patterns: str) -> tuple[str, ...]:
    """The contracts that those (globs from the root) name and all that they import of ours, from the root."""
    found: set[Path] = set()
    waiting = [p for pattern in patterns for p in ROOT.glob(pattern)]
    assert waiting, f"{patterns} name no contract"
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [path.parent.joinpath(at).resolve() for at in _IMPORTED.findall(path.read_text())]
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in found))


@cache
def _file_of(module: str) -> Path | None:
    at = ROOT.joinpath(*module.split("."))
    return next((p for p in (at.with_suffix(".py"), at / "__init__.py") if p.is_file()), None)


@cache
def _imports(path: Path) -> tuple[str, ...]:
    return tuple(_named(ast.parse(path.read_bytes())))


def _named(tree: ast.AST) -> Iterator[str]:
    """Every module of ours that is imported, with its packages; a name taken from one may be one itself."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{a.name}" for a in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] in OURS:
                yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))
