"""The project's own source files as parsed trees, for the tests of its shape."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("keeper", "strategies")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file: dotted module name, text and tree."""

    path: Path
    module: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """``keeper.chain.rpc`` -> ``chain``; ``strategies.repay`` -> ``strategies``."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "keeper" and len(parts) > 1 else parts[0]

    @property
    def where(self) -> str:
        """Path relative to the repository."""
        return str(self.path.relative_to(ROOT))


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file below ``folders`` (default: the shipped packages)."""
    # a million nodes are made and kept: to look through them for garbage again and again costs more than to parse
    gc.disable()
    try:
        paths = (p for f in folders or PACKAGES for p in sorted((ROOT / f).rglob("*.py")))
        return tuple(_parsed(p) for p in paths if _ours(p))
    finally:
        gc.freeze()
        gc.enable()


@cache
def nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Everything in it, as ``ast.walk`` goes."""
    return tuple(ast.walk(tree))


def read(path: Path) -> Source:
    """One file, parsed."""
    text = path.read_text(encoding="utf-8")
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Source(path=path, module=module, text=text, tree=ast.parse(text, str(path)))


@cache
def _parsed(path: Path) -> Source:
    return read(path)


def imports(source: Source) -> Iterator[tuple[str, int, bool]]:
    """(dotted name, line, whether only for type checking) of every absolute import, however deep it stands.

    ``from a.b import c`` is told as ``a.b.c``: ``c`` may be a module.
    """
    typing_only = {
        id(node)
        for block in nodes(source.tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for stmt in block.body
        for node in ast.walk(stmt)
    }
    for node in nodes(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno, id(node) in typing_only


def _ours(path: Path) -> bool:
    return not {"node_modules", "__pycache__"} & set(path.parts)
