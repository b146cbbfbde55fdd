"""``keeper replay --figure`` and ``--beside``: one account as a picture, and a second policy in the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keeper.cli.cascade import pairs
from keeper.cli.endings import usage
from keeper.replay import compare
from keeper.replay import figure as drawing
from keeper.replay import run as sea
from keeper.replay.levels import guarding
from keeper.risk.assets import CALM, asset
from keeper.units import wad_float

if TYPE_CHECKING:
    from keeper.cli.replay import Asked
    from keeper.cli.replayed import Scene
    from keeper.model import Policy
    from keeper.replay.fleet import Account


def named(option: str, name: str, config: Path) -> Policy:
    """The policy of that name. Exit 2 where the configuration has none."""
    from keeper.config import load

    found = {p.name: p for p in load(config).policies}
    if name not in found:
        raise usage(option, f'"{name}" is not in {config}: there are {", ".join(found)}')
    return found[name]


def beside(asked: Asked) -> Policy | None:
    """The policy of ``--beside``. Exit 2 where it could not be told apart, or is not compared."""
    if asked.figure is not None and (asked.sweep or asked.chain):
        raise usage("--figure", "is not drawn of --sweep and --chain")
    if asked.figure is not None and asked.keep is not None:
        raise usage("--figure", "is drawn of a whole run: leave --keep away, what it holds has no courses")
    if not asked.beside:
        return None
    if asked.sweep or asked.chain:
        raise usage("--beside", "is not swept, and not driven through a chain")
    if asked.beside in compare.NAMES:
        raise usage("--beside", f'"{asked.beside}" is a keeper of the run: name the policy otherwise')
    if asked.beside == asked.policy:
        raise usage("--beside", f'"{asked.beside}" is --policy already')
    return named("--beside", asked.beside, asked.config)


def wallet(asked: Asked, assets: Sequence[str]) -> Mapping[str, float]:
    """Tokens of ``--wallet`` by asset. Exit 2 for an asset that no account holds or owes."""
    if not asked.wallet:
        return {}
    if asked.sweep or asked.chain:
        raise usage("--wallet", "is not swept, and not driven through a chain")
    found = pairs("--wallet", asked.wallet, "a number of tokens", low=0.0, high=1e15)
    if strange := [n for n in found if n not in assets]:
        raise usage("--wallet", f'nobody holds or owes "{strange[0]}"; there is {", ".join(assets)}')
    return found


def worst(scene: Scene) -> list[Account]:
    """Accounts by what they lose with nobody acting, then by what they owe; most first."""
    idle = compare.makes(["nobody"], None, scene.crew.assets, scene.shop)["nobody"]
    lost = {t.name: t.lost_usd for t in sea.voyage(scene.crew, scene.moved, idle, scene.shop).trips}
    return sorted(scene.crew.accounts, key=lambda a: (-lost[a.name], -a.owed))


def figure(scene: Scene, sailed: Sequence[sea.Voyage], held: Mapping[str, str]) -> str:
    """The picture of the account that loses most, under at most three keepers: nobody, --beside, ours. ``held``: the
    configuration's policy by position, where one holds it."""
    if not scene.crew.accounts:
        found, title, drawn, levels = _bet(scene, sailed)
    else:
        account = worst(scene)[0]
        found, drawn, levels = account.name, _drawn(scene, account), scene.levels(account)
        title = _title(account, sailed[0].usd)
    other = scene.other.name if scene.other is not None else "threshold"
    names = {"nobody": "nobody", other: other, "ours": f"ours: {held[found]}" if found in held else "ours"}
    styles = dict(zip(names, drawing.STYLES, strict=True))
    curves = [
        drawing.Curve(name=names[v.keeper], style=styles[v.keeper], trip=t)
        for v in sailed
        for t in v.trips
        if v.keeper in names and t.name == found
    ]
    return drawing.figure(
        drawing.Sheet(
            title=title,
            paths=scene.moved,
            asset=drawn,
            curves=tuple(curves),
            levels=((levels[0], "trigger"), (levels[1], "target")),
        )
    )


def _title(account: Account, usd: float) -> str:
    held, owed = (
        " and ".join(f"{lot.value * usd:,.0f} of {lot.asset}" for lot in lots)
        for lots in (account.collateral, account.debt)
    )
    return f"{held} against {owed} (dollars)"


def _bet(scene: Scene, sailed: Sequence[sea.Voyage]) -> tuple[str, str, str, tuple[float, float]]:
    """(name, title, index, levels) of the perpetual position that lost most in the first voyage."""
    trip = max(sailed[0].trips, key=lambda t: t.lost_usd)
    bet = next(b for b in scene.perps if b.name == trip.name)
    side, margin = ("long", "short")[bet.size < 0.0], ", ".join(f"{n:,.0f} {a}" for a, n, _ in bet.margin)
    policy = guarding(scene.policy, bet.name)
    levels = (1.0, 1.0) if policy is None else (wad_float(policy.trigger_wad), wad_float(policy.target_wad))
    title = f"A {side} of {abs(bet.size):g} {bet.index} from {bet.entry:,.0f}, margin {margin}"
    return bet.name, title, bet.index, levels


def _drawn(scene: Scene, account: Account) -> str:
    """Whose price tells the story: what left its peg, else the first that is no dollar, else the first."""
    names = [lot.asset for lot in (*account.collateral, *account.debt)]
    loud = [n for n in names if asset(n).kind not in CALM]
    return next((n for n in names if n in scene.moved.quoted), (loud or names)[0])
