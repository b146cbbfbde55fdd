"""The cache key of a compilation moves with all that could change its result, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from anvil.client import creation_code
from anvil.compile import Artifact, Unit, compile_key
from anvil.tools import ToolMissing

pytestmark = pytest.mark.unit

A = 'pragma solidity ^0.8.20; import {B} from "./lib/B.sol"; contract A {}'
B = 'import\n  "mapped/C.sol"; contract B {}'
C = "// import 'not/this.sol'\ncontract C {}"


def _tree(folder: Path, a: str = A, b: str = B, c: str = C) -> Path:
    for name, text in (("src/A.sol", a), ("src/lib/B.sol", b), ("deps/c/C.sol", c), ("src/Other.sol", "x")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _unit(folder: Path, runs: int = 200, remapped: str = "deps/c/") -> Unit:
    return Unit(
        name="t",
        base_dir=folder,
        contracts=(("src/A.sol", "A"),),
        remappings=(("mapped/", remapped),),
        runs=runs,
    )


def _key(unit: Unit) -> str:
    return compile_key(unit.standard_json(), unit.solc)


def test_sources__of_a_unit__are_its_whole_import_closure_and_no_more(tmp_path: Path) -> None:
    sources = _unit(_tree(tmp_path)).standard_json()["sources"]
    assert isinstance(sources, dict)
    assert list(sources) == ["deps/c/C.sol", "src/A.sol", "src/lib/B.sol"]


def test_key__same_content_elsewhere__is_the_same(tmp_path: Path) -> None:
    assert _key(_unit(_tree(tmp_path / "one"))) == _key(_unit(_tree(tmp_path / "two")))


def test_key__any_source_or_setting_changed__differs(tmp_path: Path) -> None:
    base = _key(_unit(_tree(tmp_path / "base")))
    others = [
        _key(_unit(_tree(tmp_path / "a", a=A + " "))),
        _key(_unit(_tree(tmp_path / "c", c=C + " "))),
        _key(_unit(_tree(tmp_path / "runs"), runs=201)),
        compile_key(_unit(_tree(tmp_path / "solc")).standard_json(), "solc-0.8.28"),
    ]
    assert len({base, *others}) == 5


def test_key__file_outside_the_closure_changed__is_the_same(tmp_path: Path) -> None:
    before = _key(_unit(_tree(tmp_path)))
    (tmp_path / "src/Other.sol").write_text("y", encoding="utf-8")
    assert _key(_unit(tmp_path)) == before


def test_source__missing__is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match=r"gone/C\.sol is missing .*make setup"):
        _unit(_tree(tmp_path), remapped="gone/").standard_json()


def _artifact(bytecode: str, *links: tuple[str, int]) -> Artifact:
    return Artifact(name="X", source="X.sol", abi=(), bytecode=bytecode, links=links)


def test_creation_code__with_a_library__holds_its_address_at_the_offset() -> None:
    address = "0x" + "Ab" * 20
    code = creation_code(_artifact("0x6001" + "0" * 40 + "ff", ("Lib", 2)), (), {"Lib": address})
    assert code.hex() == "6001" + "ab" * 20 + "ff"


def test_creation_code__library_not_given__is_refused() -> None:
    with pytest.raises(ValueError, match="links Lib"):
        creation_code(_artifact("0x6001" + "0" * 40, ("Lib", 2)), (), {})
