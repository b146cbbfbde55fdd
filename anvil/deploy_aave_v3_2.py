"""The real Aave v3.2 market (POOL_REVISION 5) beside the newer one, on its tokens and feeds.

Nothing is compiled, and nothing of it lies in the tree: its artifacts, of the release's own build, are single files
of a wheel that is fetched when tests first ask for them (``aave_v3_2.lock``). The release has liquid e-modes and
virtual accounting like those after it, and isolation mode, half-up rounding and numbered errors like those before.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

import orjson
from eth_abi.abi import encode

from anvil.client import Chain
from anvil.compile import Artifact
from anvil.deploy_aave_v3 import EMODES, RESERVES, ZERO, set_emode
from anvil.deploy_aave_v3_0 import housed, lend, listed, ruled, switches
from anvil.deployment import Deployment
from anvil.tools import HERE, ToolMissing
from anvil.wheel import unpacked

LOCK = HERE / "aave_v3_2.lock"
FOLDER = "eth_defi/abi/aave_v3"
LIBRARIES = ("BorrowLogic", "BridgeLogic", "ConfiguratorLogic", "EModeLogic", "LiquidationLogic", "PoolLogic",
             "SupplyLogic", "FlashLoanLogic")  # fmt: skip
"""In an order in which each links only what stands before it."""
NAMES = (*LIBRARIES, "PoolInstance", "PoolConfiguratorInstance", "PoolAddressesProvider", "ACLManager", "AaveOracle",
         "AaveProtocolDataProvider", "DefaultReserveInterestRateStrategyV2", "ATokenInstance",
         "VariableDebtTokenInstance")  # fmt: skip
INPUT = "address,address,bool,address,address,address,address,string,string,string,string,bytes,bytes"
"""ConfiguratorInputTypes.InitReserveInput: aToken, debt token, whether its cash is counted, strategy, asset,
treasury, incentives, names, parameters, rates."""


def artifacts() -> dict[str, Artifact]:
    """What the market needs, by contract name; the first call fetches it. Raises ToolMissing."""
    folder = unpacked(LOCK, [f"{FOLDER}/{name}.json" for name in NAMES])
    return {name: _artifact(name, (folder / f"{name}.json").read_bytes()) for name in NAMES}


def _artifact(name: str, text: bytes) -> Artifact:
    """One contract as foundry writes it."""
    body = orjson.loads(text)
    places = body["bytecode"]["linkReferences"]
    links = tuple(
        (library, use["start"])
        for found in places.values()
        for library, uses in found.items()
        for use in uses
    )
    return Artifact(
        name=name, source=FOLDER, abi=tuple(body["abi"]), bytecode=body["bytecode"]["object"], links=links
    )


def deploy_aave_v3_2(chain: Chain, deployment: Deployment) -> Deployment:
    """The deployment with this market in place of its own; the lender has filled it. Raises ToolMissing."""
    code = artifacts()
    libs: dict[str, str] = {}
    for name in LIBRARIES:
        libs[name] = chain.deploy(code[name], libs=libs)
    provider, tokens = ruled(chain, code, "Keeper test market 3.2"), deployment.tokens
    market = housed(chain, code, deployment, (provider, libs), ("PoolInstance", "PoolConfiguratorInstance"))
    _list(chain, code, market)
    for mode in EMODES:
        set_emode(chain, market.configurator, mode, {t.symbol: (t.address, t.feed) for t in tokens})
    market = replace(market, tokens=tuple(listed(chain, market.pool, t) for t in tokens))
    lend(chain, market)
    return market


def _list(chain: Chain, code: Mapping[str, Artifact], market: Deployment) -> None:
    me = chain.accounts[0]
    strategy = chain.deploy(code["DefaultReserveInterestRateStrategyV2"], market.provider)
    a_token = chain.deploy(code["ATokenInstance"], market.pool)
    debt_token = chain.deploy(code["VariableDebtTokenInstance"], market.pool)
    inputs = [
        (
            a_token, debt_token, True, strategy, market.token(r.symbol).address, market.roles.treasury, ZERO,
            f"Aave {r.symbol}", f"a{r.symbol}", f"Aave variable debt {r.symbol}", f"variableDebt{r.symbol}", b"",
            encode(("uint16", "uint32", "uint32", "uint32"), r.rates_bps),
        )
        for r in RESERVES
    ]  # fmt: skip
    chain.send(me, market.configurator, f"initReserves(({INPUT})[])", inputs)
    for r in RESERVES:
        for signature, values in switches(r):
            chain.send(me, market.configurator, signature, market.token(r.symbol).address, *values)
    chain.send(me, market.configurator, "updateFlashloanPremiumTotal(uint128)", 5)


def main() -> int:
    """Fetch the artifacts before tests ask for them; tells what is wrong and leaves the rest to the tests."""
    try:
        artifacts()
    except ToolMissing as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
