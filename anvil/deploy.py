"""Deploy everything a test or the demo stands on: Aave v3.6, Uniswap v3, Multicall3, feeds, lenders' cash."""

from __future__ import annotations

from anvil.client import Chain
from anvil.compile import Artifact, compile_aave
from anvil.deploy_aave_v3 import RESERVES, USD, AaveMarket, deploy_aave_v3
from anvil.deploy_multicall3 import deploy_multicall3
from anvil.deploy_uniswap_v3 import deploy_uniswap_v3
from anvil.deployment import Deployment, Roles

LENT_USD = 60_000_000
"""What the lender supplies of every asset: enough cash for thousands of borrowers."""
_FIRST_ACTOR = 10


def deploy(chain: Chain, code: dict[str, Artifact] | None = None) -> Deployment:
    """A fresh market on a bare chain that mines by itself, under a second.

    Every block is one second after the last while deploying and twelve afterwards, so that two runs with the
    same genesis timestamp agree in every timestamp, index and address.
    """
    code = compile_aave() if code is None else code
    chain.rpc("anvil_setBlockTimestampInterval", 1)
    roles = _roles(chain)
    # the well-known development accounts carry foreign EIP-7702 code on public chains, which a fork inherits
    chain.batch(("anvil_setCode", (account, "0x")) for account in chain.accounts if chain.has_code(account))
    market = deploy_aave_v3(chain, code, roles.treasury)
    prices = {r.symbol: r.price_usd8 for r in RESERVES}
    tokens = {t.symbol: t for t in market.tokens}
    uniswap = deploy_uniswap_v3(chain, tokens, prices)
    _lend(chain, market, roles.lender, prices)
    deployment = Deployment(
        chain_id=int(chain.rpc("eth_chainId"), 16),
        provider=market.provider,
        pool=market.pool,
        configurator=market.configurator,
        oracle=market.oracle,
        data_provider=market.data_provider,
        acl=market.acl,
        multicall=deploy_multicall3(chain),
        uniswap=uniswap,
        tokens=market.tokens,
        roles=roles,
        errors=tuple(sorted(chain.errors.items())),
    )
    chain.rpc("anvil_setBlockTimestampInterval", 12)
    # a hundred nearly empty blocks have let the base fee decay to nothing
    chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    chain.mine()
    return deployment


def _roles(chain: Chain) -> Roles:
    accounts = chain.accounts
    if len(accounts) <= _FIRST_ACTOR:
        raise ValueError(
            f"the node has {len(accounts)} unlocked accounts; start it with more than {_FIRST_ACTOR}"
        )
    deployer, lender, treasury, liquidator, keeper = accounts[:5]
    return Roles(
        deployer=deployer,
        lender=lender,
        treasury=treasury,
        liquidator=liquidator,
        keeper=keeper,
        actors=accounts[_FIRST_ACTOR:],
    )


def _lend(chain: Chain, market: AaveMarket, lender: str, prices_usd8: dict[str, int]) -> None:
    for token in market.tokens:
        units = LENT_USD * USD * token.unit // prices_usd8[token.symbol]
        chain.send(chain.accounts[0], token.address, "mint(address,uint256)", lender, units)
        chain.send(lender, token.address, "approve(address,uint256)", market.pool, 2**256 - 1)
        chain.send(
            lender, market.pool, "supply(address,uint256,address,uint16)", token.address, units, lender, 0
        )
