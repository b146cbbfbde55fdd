"""Every command that a page names is one, with the options that it names; every piece of keeper.toml is accepted."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from anvil.drill.home import toml
from keeper.cli import app
from keeper.config import parse
from keeper.risk.shocks import from_tables
from keeper.signer.__main__ import _parser as signer_parser
from tests.pages import ROOT, Block, Command, Named, blocks, named, pages

pytestmark = pytest.mark.unit
PAGES = pages("README.md", "CHANGELOG.md", "docs/*.md", "docs/*/*.md")
TREE: Any = typer.main.get_command(app)
ADDRESS = "0xcA11bde05977b3631167028862bE2a173976CA11"
FILLED = {
    "0xYourAddress": ADDRESS,
    "https://your-endpoint": "https://endpoint.invalid",
    "https://your-archive-endpoint": "https://endpoint.invalid",
    "0xTransaction": "0x" + "11" * 32,
}
"""What a reader puts in the place of a page's words before the command line can be taken."""
OPEN = {
    'key = "0x..."': 'key = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"',
    'market = "0x..."': f'market = "0x{"22" * 32}"',
    "0xMARKET:0xMARGIN": f"{ADDRESS}:{ADDRESS}",
    '"0x..."': f'"{ADDRESS}"',
}
"""What a page leaves open in a configuration, the longer words first."""
PAIR = f"""
[[venues]]
name = "lending"
kind = "aave_v3"
chain = "arbitrum"
provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
[[venues]]
name = "perp"
kind = "gmx_v2"
chain = "arbitrum"
provider = "0xdD00F639725E19a209880A44962Bc93b51B1B161"
market = "{ADDRESS}:{ADDRESS}:short"
[[positions]]
label = "my-loan"
venue = "lending"
account = "{ADDRESS}"
[[positions]]
label = "my-short"
venue = "perp"
account = "{ADDRESS}"
policy = "short"
[policies.short]
strategies = ["reduce_perp"]
[policies.default]
strategies = ["repay", "repay_from_reserve"]
"""
"""A loan and its hedge, for a page about both."""
STRATEGIES = {"[standby]": ["deleverage"], "gmx_v2": ["reduce_perp"]}
"""What the page around such a piece says that its policy must name."""
ANOTHER_FILE = {"docs/reference/book-file.md": lambda text: from_tables(tomllib.loads(text)["shocks"])}
"""Pages whose blocks belong into another file than keeper.toml, and what reads that."""
GOOD = f"""\
schema = 1
state_dir = "state"
[wallet]
address = "{ADDRESS}"
[[chains]]
name = "ethereum"
chain_id = 1
[[chains.endpoints]]
url = "https://endpoint.invalid"
[[chains]]
name = "arbitrum"
chain_id = 42161
[[chains.endpoints]]
url = "https://endpoint.invalid"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "ethereum"
provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
[[positions]]
label = "tiny"
venue = "aave"
account = "{ADDRESS}"
[policies.default]
trigger = "1.25"
target = "1.40"
[alarms]
targets_file = "alarms"
"""


def commands() -> dict[str, Any]:
    return dict(TREE.commands)


def options(command: Any) -> set[str]:
    return {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "--debug"}


def sh_commands() -> list[Command]:
    return [c for page in PAGES for b in blocks(page) if b.language == "sh" for c in b.commands]


def toml_blocks() -> list[Block]:
    return [b for page in PAGES for b in blocks(page) if b.language == "toml"]


def where(told: Command | Named | Block) -> str:
    return f"{told.page}:{told.line}"


@pytest.mark.parametrize("line", sh_commands(), ids=where)
def test_block__each_command_line__is_one_that_the_command_line_takes(line: Command) -> None:
    said = line.keeper
    if said is not None:
        _taken(line, tuple(FILLED.get(word, word) for word in said))
    elif "keeper.signer" in line.words:
        # argparse ends the process where it does not know a word
        told = signer_parser().parse_args(list(line.words[line.words.index("keeper.signer") + 1 :]))
        assert isinstance(told, argparse.Namespace)
    elif line.words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert line.words[1] in targets, line.where


def _taken(line: Command, said: tuple[str, ...]) -> None:
    if said[0].startswith("--"):
        assert said[0] in {o for p in TREE.params for o in p.opts}, line.where
        return
    command = commands().get(said[0])
    assert command is not None, f"{line.where}: there is no such command"
    command.make_context(said[0], list(said[1:]))  # raises where it does not take the line


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_sentence__a_command_that_a_page_names__exists_with_these_options(page: Path) -> None:
    wrong = []
    for told in named(page):
        for word in told.words[0].split("|"):
            command = commands().get(word)
            if command is None:
                wrong.append(f"{told.where}: there is no such command")
                continue
            unknown = [o for o in told.options if o not in options(command)]
            wrong += [f"{told.where}: it has no {o}" for o in unknown]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("block", toml_blocks(), ids=where)
def test_block__each_piece_of_a_configuration__is_accepted_within_a_whole_one(
    block: Block, tmp_path: Path
) -> None:
    text = block.text
    for open_, filled in OPEN.items():
        text = text.replace(open_, filled)
    if block.page in ANOTHER_FILE:
        assert ANOTHER_FILE[block.page](text)
        return
    good = GOOD.replace("[policies.default]\n", PAIR) if "[[pairs]]" in text else GOOD
    whole = _joined(tomllib.loads(good), tomllib.loads(text))
    strategies = next((names for kind, names in STRATEGIES.items() if kind in text), None)
    if strategies is not None:
        whole["policies"]["default"]["strategies"] = strategies
    whole["positions"][0]["venue"] = whole["venues"][0]["name"]
    (tmp_path / "endpoint").write_text("https://endpoint.invalid\n")
    (tmp_path / "endpoint").chmod(0o600)
    parse(
        "".join(f"{key} = {toml(value)}\n" for key, value in whole.items()),
        tmp_path / "keeper.toml",
        credentials_dir=tmp_path,
    )


def _joined(whole: Mapping[str, Any], piece: Mapping[str, Any]) -> dict[str, Any]:
    """``piece`` laid over ``whole``: tables key by key, a list of tables over the first of those that are there."""
    made = dict(whole)
    for key, value in piece.items():
        there = made.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            made[key] = _joined(there, value)
        elif key in ("chains", "venues", "positions"):
            # [[chains.tickers]] alone belongs to the [[chains]] above it
            first = value[0] if isinstance(value, list) else value
            made[key] = [{**made[key][0], **first}, *made[key][1:]]
        else:
            made[key] = value
    return made


def test_parsing__blocks_of_all_kinds__are_found_where_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n```sh\na b \\\n  c # why\n\nsudo -u keeper /opt/bin/keeper watch --once > x\n```\n"
        "## B\n1. so\n   ```toml\n   x = 1\n   ```\n"
    )
    first, second = blocks(page)
    assert (first.section, first.language, first.line) == ("A", "sh", 3)
    assert [(c.line, c.words[:3]) for c in first.commands] == [
        (3, ("a", "b", "c")),
        (6, ("sudo", "-u", "keeper")),
    ]
    assert first.commands[0].keeper is None
    assert first.commands[1].keeper == ("watch", "--once")
    assert (second.section, second.language, second.line, second.text) == ("B", "toml", 11, "x = 1")
    page.write_text("```sh\nlost\n")
    with pytest.raises(ValueError, match=r"page\.md:1"):
        blocks(page)
