"""A vault as its owner's Executor sees it: by holder and number, at the price poked, by the holder's leave."""

from __future__ import annotations

from keeper.executor import vault
from keeper.executor.seat import Measure, Seat
from keeper.executor.vault import VaultPermit
from keeper.venues.aave_v3.book import word
from keeper.venues.maker import book, math
from keeper.venues.maker.book import Market, Vault, ask

HOUR_LAG = (4, 5)
"""A next price that is a fifth lower: more than ether ever fell within an hour (March 2020). What no action may pass
is raised by all of it, the trigger only up to below the target: `keeper grant` prints the fall that this leaves."""
SPOT, PAR, MAT = 2, 0, 1
"""Words of Vat.ilks, Spotter.par and Spotter.ilks."""


def seat(market: Market, account: str) -> Seat:
    """The vault at ``account``, its address in the Vat; ``lacks`` where its number is not configured."""
    found = next((v for v in market.vaults if v.urn == account), None)
    if found is None:
        why = f"name the number of vault {account} in venues.{market.name}.vaults"
        return Seat(key="0x" + "00" * 32, lacks=why)
    ilk = bytes.fromhex(market.ilk[2:])
    return Seat(
        key=f"0x{position_key(found):064x}",
        permit=_permit(market, found),
        # in wads, whatever the token: of one with fewer decimals it is only known that there is enough
        held={market.gem.address: (ask(market.vat, book.URNS, ilk, word(found.urn)), 0)},
        measure=Measure(
            # the Executor pokes first
            first=(ask(market.spotter, book.POKE, ilk),),
            asks=(
                (ask(market.vat, book.ILKS, ilk), SPOT),
                (ask(market.spotter, book.PAR), PAR),
                (ask(market.spotter, book.ILKS, ilk), MAT),
            ),
            price=math.price_down,
            venue=market.id,
            token=market.gem,
        ),
        owner=found.owner,
        lag=HOUR_LAG,
        names={
            "manager": market.manager,
            "spotter": market.spotter,
            "jug": market.jug,
            "Dai adapter": market.dai_join,
            "registry": market.registry,
        },
    )


def position_key(found: Vault) -> int:
    """The position's id in an Executor: the holder's address, then the vault's number; another holder is another."""
    return int(found.holder, 16) << 96 | found.number


def _permit(market: Market, found: Vault) -> VaultPermit:
    proxied = found.owner != found.holder
    return VaultPermit(
        contract=found.holder if proxied else market.manager,
        asks=vault.CDP_CAN,
        allows=vault.CDP_ALLOW,
        name=f"cdpAllow of vault {found.number}" + (f" by your proxy {found.holder}" if proxied else ""),
        reach=f"everything with vault {found.number} for you: free its collateral, draw Dai, give it away",
        manager=market.manager,
        number=found.number,
        holder=found.holder,
        actions=market.actions if proxied else "",
    )
