"""What ``keeper check`` says of policies that move: where they stand now, and what holds them still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from keeper.daemon.beside import LIMIT_OVER, WARNING_FILE, WARNING_STALE, omen_of
from keeper.daemon.facts import Guarded
from keeper.daemon.wiring import Finding, Site
from keeper.decision import Memory, PositionMemory
from keeper.decision.exposure import over
from keeper.decision.standing import Beside, moves, standing
from keeper.decision.tighten import stale, wants_warning
from keeper.errors import Broken, ConfigError
from keeper.journal.read import Reader
from keeper.model import PositionId, Snapshot
from keeper.seams import Severity

PPM_OF_BPS = 100


def findings(site: Site, snapshot: Snapshot, state: tuple[Path, Path]) -> list[Finding]:
    """Of every guarded position whose policy may move. ``state``: the journal and the state directory."""
    moving = [g for g in site.guarded if moves(g.policy)]
    if not moving:
        return []
    journal, state_dir = state
    rows, omen = _rows(journal), omen_of(state_dir / WARNING_FILE)
    too_much = over({g.id: g.policy for g in site.guarded}, snapshot.positions)
    found: list[Finding] = []
    at_s = snapshot.block.timestamp_s
    for guarded in moving:
        position, policy = snapshot.position(guarded.id), guarded.policy
        beside = Beside.of(snapshot.means, guarded.id, too_much.get(guarded.id, ()))
        kept = rows.get(guarded.id) or PositionMemory(id=guarded.id)
        if wants_warning(policy) and (why := stale(omen, at_s)):
            text = f"the early warning moves nothing: {why}; `keeper leverage --tell` measures it"
            found.append(_of(Severity.WARNING, WARNING_STALE, guarded, text))
        beside = Beside(highest_wad=beside.highest_wad, quoted=beside.quoted, omen=omen, over=beside.over)
        stands = standing(policy, kept, position, at_s, beside)
        found += [_of(Severity.INFO, "policy_moved", guarded, text) for text in stands.moved]
        found += [_of(Severity.WARNING, LIMIT_OVER, guarded, r.why) for r in stands.reduces]
        found += [
            _of(Severity.WARNING, code, guarded, text) for code, text in _unheard(site, guarded, snapshot)
        ]
    return found


def _unheard(site: Site, guarded: Guarded, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Why a stable off its peg would not be seen, or not be sold."""
    line = guarded.policy.depeg_ppm
    if not line:
        return
    if site.chain.uniswap_quoter is None or not site.chain.tickers:
        why = "depeg_playbook believes two sources, the pools (uniswap_quoter) and exchanges ([[chains.tickers]]): "
        yield "depeg_sources", f"{why}one is not configured, so it never acts"
    mandate = snapshot.means.mandate(guarded.id)
    if mandate is not None and mandate.terms.slippage_bps * PPM_OF_BPS <= line:
        slippage = f"{mandate.terms.slippage_bps / 100:g} %"
        why = f"what is held is sold at most {slippage} below the oracle (the executor's slippage), and depeg_pct "
        yield (
            "depeg_sources",
            f"waits for {line / 10_000:g} %: that sale will be refused; debt is still bought back",
        )


def _rows(journal: Path) -> Mapping[PositionId, PositionMemory]:
    """What the daemon remembers; nothing where it never ran, or its journal is told of elsewhere."""
    if not journal.exists():
        return {}
    try:
        with Reader.open(journal) as reader:
            return Memory.restore(reader.memories()).rows()
    except (ConfigError, Broken, ValueError, KeyError):
        return {}


def _of(severity: Severity, code: str, guarded: Guarded, why: str) -> Finding:
    return Finding(severity=severity, code=code, subject=guarded.label, why=why)
