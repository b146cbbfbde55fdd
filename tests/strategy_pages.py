"""What the strategies' pages say of the invented fall: their commands run, and their tables and drawings written.

``python -m tests.strategy_pages`` (``make strategy-figures``) writes both anew.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import strategy_fall
from tests.command import typed
from tests.pages import ROOT, Command, blocks, pages

FIGURES = ROOT / "docs" / "strategies" / "figures"
HEAD = "| keeper | liquidated | acts | cost | gas | lowest health | equity at the end |"
_ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<cells>[^|]+(?: \| [^|]+){5}) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One command of a page with ``--figure``."""

    page: Path
    command: Command

    @property
    def words(self) -> tuple[str, ...]:
        """What is said to keeper."""
        assert self.command.keeper is not None
        return self.command.keeper

    @property
    def figure(self) -> str:
        """The drawing's file name."""
        return self.words[self.words.index("--figure") + 1]

    @property
    def policy(self) -> str:
        """The policy that is shown."""
        return self.words[self.words.index("--policy") + 1]

    def table(self, text: str) -> tuple[int, int]:
        """Where the rows under its drawing begin and end in the page's text."""
        at = text.index(HEAD, text.index(f"(figures/{self.figure})"))
        first = text.index("\n", text.index("\n", at) + 1) + 1
        return first, text.index("\n\n", first)


def drawings() -> tuple[Drawn, ...]:
    """Of every page, in order."""
    return tuple(
        Drawn(page=page, command=line)
        for page in pages("docs/strategies/*.md")
        for block in blocks(page)
        if block.language == "sh"
        for line in block.commands
        if line.keeper is not None and "--figure" in line.words
    )


def ran(drawn: Drawn, folder: Path) -> tuple[Mapping[str, Any], str]:
    """(what the command prints as JSON, its drawing), run in ``folder`` as in a checkout."""
    if not (folder / "docs").exists():
        (folder / "docs").symlink_to(ROOT / "docs")
    done = typed(folder, *drawn.words, "--json")
    assert done.returncode == 0, f"{drawn.command.where}: {done.stdout[-500:]}{done.stderr}"
    return json.loads(done.stdout), (folder / drawn.figure).read_text()


def rows(drawn: Drawn, told: Mapping[str, Any]) -> list[str]:
    """The page's table of what was printed."""
    return [_row(drawn.policy, k) for k in told["keepers"]]


def _row(policy: str, keeper: Mapping[str, Any]) -> str:
    name = {"nobody": "nobody", "ours": f"`{policy}`"}.get(keeper["keeper"], f"`{keeper['keeper']}`")
    lost, cost = keeper["lost_usd"], keeper["cost_usd"]
    cells = (
        str(keeper["liquidated"]),
        str(keeper["acts"]),
        f"{lost:,.0f} lost" if lost else f"{cost:,.0f}",
        f"{keeper['gas_usd']:,.0f}",
        f"{keeper['lowest']:.3f}",
        f"{keeper['equity_usd']:,.0f}",
    )
    return f"| {name} | {' | '.join(cells)} |"


def parsed(lines: str | Sequence[str]) -> list[tuple[str, list[float]]]:
    """Rows as (name, numbers)."""
    text = lines if isinstance(lines, str) else "\n".join(lines)
    return [
        (m["name"], [float(c.split()[0].replace(",", "")) for c in m["cells"].split(" | ")])
        for m in _ROW.finditer(text + "\n")
    ]


def write() -> None:
    """Prices, tables and drawings."""
    for name, text in strategy_fall.files().items():
        (strategy_fall.FOLDER / name).write_text(text)
    with tempfile.TemporaryDirectory() as folder:
        for drawn in drawings():
            told, svg = ran(drawn, Path(folder))
            (FIGURES / drawn.figure).write_text(svg)
            text = drawn.page.read_text()
            first, last = drawn.table(text)
            drawn.page.write_text(text[:first] + "\n".join(rows(drawn, told)) + text[last:])


if __name__ == "__main__":
    write()
