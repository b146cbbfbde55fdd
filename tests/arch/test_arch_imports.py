"""The import map: which room may know what. An exception list does not exist, as a point of pride."""

from __future__ import annotations

import ast

import pytest

from tests.arch.sources import ROOT, Source, imports, nodes, read, sources

pytestmark = pytest.mark.unit

DOORS = {
    "apprise": {"notify"},
    "prometheus_client": {"notify"},
    "jinja2": {"notify"},
    "ccxt": {"oracle"},
    "web3": {"chain"},
    "aiohttp": {"chain", "notify", "oracle", "dialing"},
    "websockets": {"chain"},
    "asyncio_throttle": {"chain"},
    "eth_account": {"signer"},
    "eth_keys": {"signer"},
    "coincurve": {"signer"},
    "sqlmodel": {"journal"},
    "sqlalchemy": {"journal"},
    "numba": {"risk"},
    "highspy": {"decision"},
    "apscheduler": {"schedule"},
    "pydantic": {"config"},
    "typer": {"cli"},
    "rich": {"cli"},
    "structlog": {"notify", "daemon"},
}
"""Third-party package -> the only rooms that may open it."""
NETWORK = {"socket", "http", "urllib.request", "ssl", "requests", "httpx"}
VOCABULARY = {"units", "errors", "model", "seams", "clock", "sizing", "words", "config", "keeper"}
VOCABULARY |= {
    "phrases",
    "triggers",
    "exits",
    "executor",
    "issuers",
    "kinds",
    "allowed",
    "sockets",
    "dialing",
    "voices",
}
"""What every room may read."""
ALSO = {"signer": {"watchdog"}}
"""Room -> what it reads besides: the signer's process tells systemd itself that it lives."""
WIRING = {"daemon", "granting", "inspection", "cli", "replay", "__main__"}
"""What exists to join rooms: the daemon, the commands, what both need, and replays through the same rooms."""
PURE = {"units", "errors", "model", "sizing", "words", "phrases", "triggers", "exits", "executor", "issuers"}
PURE |= {"kinds", "allowed", "sockets"}
PURE |= {"risk", "decision", "capacity", "plan", "strategies"}
"""No network, no clock, no log."""
PURE_FILES = ("decode", "encode", "rules", "book", "effect", "fill", "signing")
"""Files of a venue's folder that are pure as well."""


def test_third_party__when_imported__then_only_through_its_door() -> None:
    wrong = [
        f"{s.where}:{line} imports {name}; only {sorted(DOORS[top])} may"
        for s in sources()
        for name, line, _ in imports(s)
        if (top := name.split(".")[0]) in DOORS and s.room not in DOORS[top]
    ]
    assert wrong == []


def test_room__when_it_imports_ours__then_only_itself_and_the_vocabulary() -> None:
    wrong = [w for s in sources() for w in _neighbours(s)]
    assert wrong == []


def test_vocabulary__when_it_imports_ours__then_only_vocabulary() -> None:
    wrong = [
        f"{s.where}:{line} imports {name}"
        for s in sources("keeper")
        if s.room in VOCABULARY - {"keeper"}
        for name, line, _ in imports(s)
        if (room := _room_of(name)) and room not in VOCABULARY
    ]
    assert wrong == []


def test_room__when_it_is_a_folder__then_only_the_daemon_and_the_commands_join_others() -> None:
    folders = {p.parent.name for p in (ROOT / "keeper").glob("*/__init__.py")}
    assert folders & WIRING == {"cli", "daemon", "replay"}


def test_pure_room__when_read__then_it_has_no_network_clock_or_log() -> None:
    banned = (
        NETWORK | set(DOORS) - {"numba", "highspy"} | {"time", "asyncio", "logging", "random", "subprocess"}
    )
    wrong = [
        f"{s.where}:{line} imports {name}"
        for s in sources()
        if _pure(s)
        for name, line, _ in imports(s)
        if name.split(".")[0] in banned or name.startswith("datetime.datetime")
    ]
    assert wrong == []


def test_network__when_imported__then_only_by_chain_notify_oracle_and_watchdog() -> None:
    wrong = [
        f"{s.where}:{line} imports {name}"
        for s in sources()
        for name, line, _ in imports(s)
        if (name.split(".")[0] in NETWORK or name.startswith("urllib.request"))
        and s.room not in {"chain", "notify", "oracle", "watchdog"}
    ]
    assert wrong == []


def test_import__when_written__then_it_is_absolute() -> None:
    wrong = [
        f"{s.where}:{node.lineno}"
        for s in sources("keeper", "strategies", "anvil", "tests")
        for node in nodes(s.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert wrong == []


def test_environment__when_read__then_never_at_import() -> None:
    wrong = [
        f"{s.where}:{node.lineno}"
        for s in sources("keeper", "strategies", "anvil")
        for node in _import_time(s.tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    ]
    assert wrong == []


def test_neighbour_check__when_a_room_reaches_over__then_it_is_found() -> None:
    """The checks themselves can fail: this file pretends to be a room that imports its neighbour."""
    bad = read(next(s.path for s in sources("keeper") if s.module == "keeper.units"))
    tree = ast.parse("from keeper.journal.write import Journal\nimport web3")
    planted = Source(path=bad.path, module="keeper.risk.planted", text="", tree=tree)
    assert _neighbours(planted)
    assert [name for name, _, _ in imports(planted)] == ["keeper.journal.write.Journal", "web3"]


def _neighbours(source: Source) -> list[str]:
    if source.room in WIRING or source.module == "keeper":
        return []
    return [
        f"{source.where}:{line} imports {name}: a room knows only itself and the vocabulary"
        for name, line, _ in imports(source)
        if (room := _room_of(name)) and room != source.room and room not in VOCABULARY
        if room not in ALSO.get(source.room, set())
    ]


def _room_of(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] == "strategies":
        return "strategies"
    if parts[0] != "keeper":
        return None
    return parts[1] if len(parts) > 1 else "keeper"


def _pure(source: Source) -> bool:
    in_venue = source.module.startswith("keeper.venues.") and source.module.count(".") >= 3
    return source.room in PURE or (in_venue and source.module.rsplit(".", 1)[1] in PURE_FILES)


def _import_time(tree: ast.Module) -> list[ast.AST]:
    """Nodes that run when the module is imported: everything outside function bodies."""
    found: list[ast.AST] = []
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        found.append(node)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            todo += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)]
        elif not isinstance(node, ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return found
