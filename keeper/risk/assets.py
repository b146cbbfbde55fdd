"""What a token's price follows: ETH, BTC, a dollar, or itself. Symbols only; a feed's symbol comes from its
venue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """What a symbol follows: its base, its class, and the name its ratio to the base goes by ("" when
    none).
    """

    base: str
    kind: str
    ratio: str = ""


CALM = frozenset({"stable", "fiat", "gold"})
ALT = "alt"
_STABLES = (
    "USDC USDT DAI USDS GHO FRAX LUSD BUSD TUSD PYUSD RLUSD USDE crvUSD MAI sUSD FDUSD USDP GUSD UST "
    "USDtb FEI USD0 DOLA USR USDA USDG eUSD mkUSD BOLD"
)
_ALIASES = "USDC.e:USDC USDbC:USDC USDT0:USDT USD₮0:USDT USDT.e:USDT DAI.e:DAI m.USDT:USDT xDAI:DAI WXDAI:DAI"
_SAVINGS = "sDAI:DAI sUSDe:USDE sUSDS:USDS sGHO:GHO sFRAX:FRAX scrvUSD:crvUSD stUSR:USR wstUSR:USR aUST:UST"
_STAKED = (
    "stETH:ETH:stETH wstETH:ETH:stETH rETH:ETH:rETH cbETH:ETH:cbETH weETH:ETH:eETH eETH:ETH:eETH "
    "ezETH:ETH:ezETH rsETH:ETH:rsETH wrsETH:ETH:rsETH osETH:ETH:osETH ETHx:ETH:ETHx swETH:ETH:swETH "
    "tETH:ETH:tETH sfrxETH:ETH:frxETH frxETH:ETH:frxETH mETH:ETH:mETH wbETH:ETH:wbETH sAVAX:AVAX:sAVAX "
    "stMATIC:POL:stMATIC MaticX:POL:MaticX LBTC:BTC:LBTC eBTC:BTC:eBTC jitoSOL:SOL:jitoSOL "
    "mSOL:SOL:mSOL"
)
_SAME = (
    "WETH:ETH WETH.e:ETH WBTC:BTC WBTC.e:BTC BTC.b:BTC cbBTC:BTC tBTC:BTC FBTC:BTC WAVAX:AVAX "
    "WMATIC:POL WPOL:POL MATIC:POL WBNB:BNB WSOL:SOL WS:S wHYPE:HYPE"
)
_OTHERS = (
    "EURC:fiat EURS:fiat agEUR:fiat EURA:fiat jEUR:fiat EURe:fiat GBPe:fiat XAUT:gold PAXG:gold "
    "ETH:eth BTC:btc"
)


def _assets() -> dict[str, Asset]:
    table = {name.lower(): Asset(base=name, kind="stable") for name in _STABLES.split()}
    for name, kind in (pair.split(":") for pair in _OTHERS.split()):
        table[name.lower()] = Asset(base=name, kind=kind)
    for name, base in (pair.split(":") for pair in (_ALIASES + " " + _SAVINGS).split()):
        table[name.lower()] = Asset(base=base, kind="stable", ratio=name if name in _SAVINGS else "")
    kinds = {"ETH": "eth", "BTC": "btc"}
    for name, base in (pair.split(":") for pair in _SAME.split()):
        table[name.lower()] = Asset(base=base, kind=kinds.get(base, ALT))
    for name, base, ratio in (triple.split(":") for triple in _STAKED.split()):
        table[name.lower()] = Asset(base=base, kind=kinds.get(base, ALT), ratio=ratio)
    return table


_KNOWN: Mapping[str, Asset] = _assets()


def asset(symbol: str) -> Asset:
    """What ``symbol`` follows; letter case is ignored; an unknown symbol is an alt of its own."""
    return _KNOWN.get(symbol.lower(), Asset(base=symbol, kind=ALT))


def is_staked(symbol: str) -> bool:
    """True for a liquid-staking or restaking token, whose ratio to its base can break."""
    known = asset(symbol)
    return bool(known.ratio) and known.kind not in CALM
