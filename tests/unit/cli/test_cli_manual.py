"""keeper(1) and the wheel that carries it: every command is told, and data is found without a checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import keeper
from keeper.cli import app
from keeper.cli.manual import _text, page

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[3]
MACROS = {".TH", ".SH", ".SS", ".TP", ".PP", ".B"}
FOUND = """\
import sys
import tarfile
from pathlib import Path
import keeper
from keeper import installation
from keeper.daemon.paging import process
from keeper.executor import verify
from keeper.journal import migrate

home = Path(sys.argv[1])
assert Path(keeper.__file__).is_relative_to(home), keeper.__file__
assert verify.artifact(verify.NAME)
assert migrate.FOLDER.is_relative_to(home) and any(migrate.FOLDER.rglob("*.py"))
from keeper.cli import invoke
sys.exit(invoke(["install-service", "--print"]))
"""
"""Of an installed wheel: its own code, an Executor's artifact, the journal's steps, the units."""


@pytest.fixture(scope="module")
def text() -> str:
    return page(keeper.__version__)


def test_page__when_made__then_every_command_and_every_option_is_told(text: str) -> None:
    root: Any = typer.main.get_command(app)
    sections = dict(
        zip(*[iter(re.split(r'^\.SS "keeper ([a-z-]+)"$', text, flags=re.MULTILINE)[1:])] * 2, strict=True)
    )
    assert sorted(sections) == sorted(root.commands)
    for name, command in root.commands.items():
        options = [o for p in command.params for o in p.opts if o.startswith("-") and o != "--help"]
        for option in options:
            assert re.search(rf"\\fB.*{re.escape(_text(option))}\b", sections[name]), f"{name} {option}"
        assert _text(command.help.split("\n")[0]) in sections[name]
    assert "78 the configuration cannot be used" in text


def test_page__when_a_text_looks_like_a_request__then_roff_takes_it_as_text(text: str) -> None:
    strange = [x for x in text.splitlines() if x[:1] in (".", "'") and x.split()[0] not in MACROS]
    assert strange == []
    assert _text(".so /etc/passwd") == r"\&.so /etc/passwd"
    assert _text("a\\b-c") == r"a\eb\-c"
    if (groff := shutil.which("groff")) is not None:
        line = [groff, "-man", "-Tutf8", "-ww", "-z"]
        told = subprocess.run(line, input=text, capture_output=True, text=True, check=True)
        assert told.stderr == ""


def test_wheel__when_installed_without_a_checkout__then_its_page_its_data_and_its_command_are_there(
    tmp_path: Path, text: str
) -> None:
    builder = WheelBuilder(str(ROOT))
    (wheel,) = builder.build(directory=str(tmp_path / "dist"), versions=["standard"])
    home = tmp_path / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(home)
        entries = packed.read(f"keeper-{keeper.__version__}.dist-info/entry_points.txt").decode()
    assert "keeper = keeper.cli:main" in entries
    (man,) = home.glob("keeper-*.data/data/share/man/man1/keeper.1")
    assert man.read_text() == text
    environment = {**os.environ, "PYTHONPATH": str(home)}
    line = [sys.executable, "-P", "-c", FOUND, str(home)]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "WatchdogSec=" in done.stdout


def test_sdist__when_a_wheel_is_built_from_it__then_it_holds_what_the_checkouts_wheel_holds(
    tmp_path: Path,
) -> None:
    (packed,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    names = []
    for root, out in ((ROOT, "checkout"), (source, "sdist")):
        (wheel,) = WheelBuilder(str(root)).build(directory=str(tmp_path / out), versions=["standard"])
        with zipfile.ZipFile(wheel) as made:
            names.append(sorted(made.namelist()))
    assert names[0] == names[1]
    assert any(name.endswith("AaveV3Executor.json") for name in names[1])
