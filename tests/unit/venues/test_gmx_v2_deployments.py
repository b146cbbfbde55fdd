"""Where GMX stands by chain: every address as the protocol's own package names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keeper.venues.gmx_v2 import deployments

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "anvil" / "node_modules" / "@gmx-io" / "sdk" / "build" / "cjs" / "src" / "configs"
CHAINS = {42161: ("arbitrum", "ARBITRUM"), 43114: ("avalanche", "AVALANCHE")}
SOMEBODY = "0x" + "44" * 20


@pytest.mark.parametrize("chain_id", CHAINS)
def test_deployments__of_a_known_chain__name_router_reader_and_emitter(chain_id: int) -> None:
    (known,) = deployments.contracts(chain_id)
    assert known.chain == CHAINS[chain_id][0]
    assert known.reader == deployments.reader(chain_id)
    assert deployments.openings(known.provider, SOMEBODY).target != known.provider
    assert deployments.openings(str(deployments.exchange(chain_id)), SOMEBODY).target != known.provider
    assert (deployments.contracts(1), deployments.exchange(1)) == ((), None)


@pytest.mark.parametrize("chain_id", CHAINS)
def test_deployments__of_a_known_chain__are_the_package_s(chain_id: int) -> None:
    if not (PACKAGE / "contracts.js").exists():
        pytest.skip("the protocol's package is not installed")
    text = (PACKAGE / "contracts.js").read_text(encoding="utf-8")
    block = text.split(f"[chains_1.{CHAINS[chain_id][1]}]: {{", 1)[1].split("[chains_1.", 1)[0]
    named = dict(re.findall(r"(\w+): \"(0x[0-9a-fA-F]{40})\"", block))
    (known,) = deployments.contracts(chain_id)
    emitter = deployments.openings(known.provider, SOMEBODY).target
    exchange = deployments.exchange(chain_id)
    told = (known.provider, exchange, known.reader, emitter)
    each = ("SubaccountRouter", "ExchangeRouter", "SyntheticsReader", "EventEmitter")
    said = tuple(named[n] for n in each)
    assert [str(a).lower() for a in told] == [a.lower() for a in said]
