"""Finite ERC-20 approvals from the keeper's wallet to the venues: shown exactly, and sent only when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from keeper.chain.head import latest
from keeper.clock import SystemClock
from keeper.config import ChainSettings, Settings
from keeper.errors import ConfigError, Rejected, Transient
from keeper.journal.write import Journal
from keeper.model import Means, Refusal, Token
from keeper.seams import Signer, TxFields
from keeper.senders import credentials_dir
from keeper.transaction.fees import Market, first_fee
from keeper.units import WAD, decimal_text
from keeper.wiring import Site, opened

APPROVE_GAS = 120_000
FEE_WEI_MAX = WAD // 10
"""An approval is never urgent: it waits rather than cost more than a tenth of a native token."""
RECEIPT_S = 120.0
Row = dict[str, object]


async def grant(settings: Settings, amounts: Mapping[str, str], send: bool) -> tuple[Row, ...]:
    """The approvals for ``amounts`` (symbol -> whole tokens) on every venue of every chain; sent when asked.

    Raises ConfigError (no wallet, unknown token, key), Transient (nobody answered, no receipt in time).
    """
    if settings.wallet.address is None:
        raise ConfigError(("wallet.address: is not set; a grant is an approval from the keeper's wallet",))
    rows: list[Row] = []
    for chain in settings.chains:
        async with opened(settings, chain) as site:
            rows += await _on_chain(settings, site, amounts, send)
    unknown = [s for s in amounts if not any(r["token"] == s for r in rows)]
    if unknown:
        raise ConfigError(
            tuple(f"--amount {s}: no configured venue lists a token of this symbol" for s in unknown)
        )
    return tuple(rows)


async def _on_chain(settings: Settings, site: Site, amounts: Mapping[str, str], send: bool) -> list[Row]:
    means = (await site.view()).snapshot.means
    wanted = [
        (token, venue.spender, _units(token, amounts[token.symbol]))
        for venue in site.venues.values()
        for token in venue.tokens
        if token.symbol in amounts
    ]
    rows: list[Row] = [
        {
            "token": token.symbol,
            "address": token.address,
            "amount": decimal_text(units, token.decimals),
            "units": str(units),
            "spender": spender,
            "now allowed": decimal_text(means.allowance(token, spender), token.decimals),
            "signs": f"approve({spender}, {units}) on {token.address}",
            "transaction": "not sent: add --send",
        }
        for token, spender, units in wanted
    ]
    if send and wanted:
        hashes = await _send(settings, site, means, wanted)
        rows = [{**row, "transaction": h} for row, h in zip(rows, hashes, strict=True)]
    return rows


async def _send(
    settings: Settings, site: Site, means: Means, wanted: list[tuple[Token, str, int]]
) -> list[str]:
    """Sign, send and wait for each approval; the journal then answers for the nonces used."""
    live = replace(settings, mode="live")
    live.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = await _signer(live, site.chain, wanted)
    # the journal's lock keeps a running daemon and a grant from taking the same nonce
    with Journal.open(live.journal_path, SystemClock()) as journal:
        nonce = _quantity(
            await site.endpoints.request("eth_getTransactionCount", [signer.address, "pending"])
        )
        known = journal.next_nonce(site.chain.chain_id, signer.address)
        if known is not None and known != nonce:
            why = f"the chain's nonce is {nonce}, the journal's {known}: run the daemon to settle it first"
            raise ConfigError((f"wallet.address {signer.address}: {why}",))
        hashes = []
        for i, (token, spender, units) in enumerate(wanted):
            tx = await _approval(site, means, token, (spender, units), nonce + i)
            signed = await signer.sign(tx)
            await _broadcast(site, signed.raw)
            await _mined(site, signed.hash)
            journal.adopt_nonce(
                site.chain.chain_id, signer.address, nonce + i + 1, f"grant {token.symbol}", "grant"
            )
            hashes.append(signed.hash)
    return hashes


async def _signer(settings: Settings, chain: ChainSettings, wanted: list[tuple[Token, str, int]]) -> Signer:
    from keeper.signer.key import load_key
    from keeper.signer.local import LocalSigner
    from keeper.signer.policy import SigningPolicy, grant_call, revoke_call

    wallet = settings.wallet
    if wallet.address is None or wallet.keystore is None or wallet.password_file is None:
        raise ConfigError(("wallet: --send needs address, keystore and password_file in [wallet]",))
    key = await load_key(
        wallet.keystore, wallet.password_file, wallet.address, credentials_dir=credentials_dir()
    )
    calls = tuple(
        grant_call(token.address, spender, units) if units else revoke_call(token.address, spender)
        for token, spender, units in wanted
    )
    policy = SigningPolicy(
        chain_id=chain.chain_id, address=wallet.address, calls=calls, fee_wei_max=FEE_WEI_MAX
    )
    return LocalSigner(key, policy)


async def _approval(site: Site, means: Means, token: Token, to: tuple[str, int], nonce: int) -> TxFields:
    from eth_abi.abi import encode
    from eth_utils.crypto import keccak

    block = await latest(site.endpoints)
    market = Market(base_fee_wei=block.base_fee_wei, tip_wei=means.tip_wei)
    fee = first_fee(market, APPROVE_GAS, min(FEE_WEI_MAX, means.native_wei), urgent=False)
    if isinstance(fee, Refusal):
        raise ConfigError((f"wallet.address {means.wallet}: {fee.why}",))
    return TxFields(
        chain_id=site.chain.chain_id,
        nonce=nonce,
        to=token.address,
        data=keccak(text="approve(address,uint256)")[:4] + encode(["address", "uint256"], to),
        value_wei=0,
        gas_limit=fee.gas_limit,
        max_fee_wei=fee.max_fee_wei,
        tip_wei=fee.tip_wei,
    )


async def _broadcast(site: Site, raw: bytes) -> None:
    answers = await site.endpoints.broadcast(raw)
    if all(isinstance(a, Rejected) for a in answers):
        raise Transient(f"every endpoint refused the approval: {answers[0]}")


async def _mined(site: Site, tx_hash: str) -> None:
    try:
        async with asyncio.timeout(RECEIPT_S):
            while True:
                receipt = await site.endpoints.request("eth_getTransactionReceipt", [tx_hash])
                if isinstance(receipt, dict):
                    break
                await asyncio.sleep(0.2)
    except TimeoutError as e:
        raise Transient(
            f"approval {tx_hash} has no receipt after {RECEIPT_S:.0f} s; run the grant again"
        ) from e
    if receipt.get("status") != "0x1":
        raise Transient(f"approval {tx_hash} reverted")


def _units(token: Token, text: str) -> int:
    """Whole tokens as units, exactly. Raises ConfigError for more decimals than the token has."""
    units = Decimal(text) * 10**token.decimals
    if units != units.to_integral_value():
        raise ConfigError((f"--amount {token.symbol}={text}: {token.symbol} has {token.decimals} decimals",))
    return int(units)


def _quantity(answer: object) -> int:
    return int(str(answer), 16)
