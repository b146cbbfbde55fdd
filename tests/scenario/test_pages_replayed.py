"""The strategies' pages: their commands typed as written, their tables and drawings compared with what comes out."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path

import pytest

from keeper.config.schema import STRATEGIES
from tests import strategy_fall, strategy_pages
from tests.pages import ROOT, blocks, pages
from tests.strategy_pages import FIGURES, Drawn, drawings

pytestmark = pytest.mark.scenario
DRAWN = drawings()
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
LIGHT_BYTES = 60_000
NOT_REPLAYED = {
    "hedge.md": "orders of another key to another venue, which a replay has not",
    "README.md": "the list",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkout")


@pytest.mark.parametrize("drawn", DRAWN, ids=[d.figure for d in DRAWN])
def test_page__when_its_command_is_typed__then_table_and_drawing_are_those_of_the_page(
    drawn: Drawn, checkout: Path
) -> None:
    told, svg = strategy_pages.ran(drawn, checkout)
    text = drawn.page.read_text()
    first, last = drawn.table(text)

    here, there = (strategy_pages.parsed(x) for x in (text[first:last], strategy_pages.rows(drawn, told)))
    assert [name for name, _ in here] == [name for name, _ in there]
    for (name, said), (_, found) in zip(here, there, strict=True):
        # whole dollars, and health to the thousandth
        assert said == pytest.approx(found, abs=1.0001), name
        assert said[4] == pytest.approx(found[4], abs=0.0011), name
        assert said[:2] == found[:2], name

    kept = (FIGURES / drawn.figure).read_text()
    assert len(kept) < LIGHT_BYTES
    assert NUMBER.sub("#", kept) == NUMBER.sub("#", svg)
    points = [[float(x) for x in NUMBER.findall(s)] for s in (kept, svg)]
    assert max(abs(a - b) for a, b in zip(*points, strict=True)) <= 1.0


@pytest.mark.parametrize("drawn", DRAWN, ids=[d.figure for d in DRAWN])
def test_page__when_it_shows_a_policy__then_it_is_the_one_that_is_replayed(drawn: Drawn) -> None:
    shown = next(b for b in blocks(drawn.page) if b.language == "toml" and "[policies." in b.text)
    said = tomllib.loads(shown.text)["policies"]["default"]
    played = tomllib.loads((strategy_fall.FOLDER / "keeper.toml").read_text())["policies"][drawn.policy]
    played.pop("caps")
    apart = {key for key in played if key not in said}
    assert {key: played[key] for key in said if key in played} == {
        k: v for k, v in said.items() if k in played
    }
    # a page that names none rides beside deleverage; the playbook's needs room above target, which its text says
    assert apart <= {"strategies", "max_health"}
    assert set(said) <= set(played)


def test_pages__when_counted__then_every_shipped_strategy_has_one_and_every_page_a_drawing() -> None:
    every = pages("docs/strategies/*.md")
    drawn = {d.page.name for d in DRAWN}
    assert {p.name for p in every} - drawn == set(NOT_REPLAYED)
    text = (ROOT / "docs/strategies/README.md").read_text()
    assert [s for s in STRATEGIES if f"`{s}`" not in text] == []
    assert [p.name for p in every if p.name != "README.md" and f"({p.name})" not in text] == []
    assert {f.name for f in FIGURES.iterdir()} == {d.figure for d in DRAWN}


def test_fall__when_its_formulas_are_asked__then_the_files_are_theirs() -> None:
    for name, text in strategy_fall.files().items():
        kept = (strategy_fall.FOLDER / name).read_text()
        words, again = (re.split(r"[,\n]", t) for t in (kept, text))
        assert len(words) == len(again), name
        for a, b in zip(words, again, strict=True):
            # a sine's last digit is the machine's own
            near = (
                NUMBER.fullmatch(a)
                and NUMBER.fullmatch(b)
                and math.isclose(float(a), float(b), abs_tol=0.011)
            )
            assert a == b or near, (name, a, b)
