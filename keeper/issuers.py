"""Who issues a token: who can freeze it, mint it or break it. By hand; a symbol not listed is nobody's."""

from __future__ import annotations

LIMIT_KINDS = ("asset", "venue", "issuer")
"""What an exposure can be limited by."""
_LISTED = (
    "Circle:USDC,EURC,USDC.e,USDbC Tether:USDT,USDT0,XAUT,USDT.e Sky:DAI,USDS,sDAI,sUSDS,xDAI,WXDAI,DAI.e "
    "Aave:GHO,sGHO Ethena:USDE,sUSDe,USDtb PayPal:PYUSD Ripple:RLUSD Frax:FRAX,sFRAX,frxETH,sfrxETH "
    "Curve:crvUSD,scrvUSD Lido:stETH,wstETH RocketPool:rETH Coinbase:cbETH,cbBTC ether.fi:eETH,weETH "
    "Kelp:rsETH,wrsETH Renzo:ezETH StakeWise:osETH Stader:ETHx,MaticX Mantle:mETH Binance:wbETH BitGo:WBTC "
    "Lombard:LBTC Threshold:tBTC Paxos:USDP,PAXG,USDG FirstDigital:FDUSD"
)
_ISSUER_OF = {
    symbol.lower(): name
    for name, symbols in (pair.split(":") for pair in _LISTED.split())
    for symbol in symbols.split(",")
}
ISSUERS = tuple(sorted(set(_ISSUER_OF.values())))
"""Every issuer that is listed."""


def issuer_of(symbol: str) -> str:
    """Who issues the token of that symbol, letter case ignored; "" where nobody does or nobody knows."""
    return _ISSUER_OF.get(symbol.lower(), "")
