"""What ``keeper renew`` finds and sends: one transaction a token, simulated first, with a key of the caller's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from keeper.chain.head import latest
from keeper.cli.owner_module import enabled
from keeper.cli.owner_place import Placed, placed
from keeper.config import Settings
from keeper.daemon.senders import credentials_dir
from keeper.errors import ConfigError, Rejected, Transient
from keeper.executor import renewal
from keeper.executor.renewal import Enabled
from keeper.model import Call
from keeper.seams import TxFields
from keeper.signer.key import Key, _decrypt, _keystore, find_secret, read_secret
from keeper.signer.local import LocalSigner
from keeper.signer.policy import AllowedCall, Argument, SigningPolicy
from keeper.transaction.simulate import revert_reason
from keeper.units import WAD, decimal_text

FEE_WEI_MAX = WAD // 20
"""A renewal that costs more than so much of a native token waits."""
GAS_SPARE_PCT = 30
"""Above the estimate: between it and the block the token may come to be set to nothing first."""
RECEIPT_S = 180.0
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One token that a module renews."""

    module: str
    token: str
    symbol: str
    decimals: int
    units: int
    standing: int
    """Units that the Executor may take now."""
    ready_s: int
    until_s: int
    transaction: str = ""

    def shown(self, units: int) -> str:
        """So many units as people write them."""
        return decimal_text(units, self.decimals)


def opened(settings: Settings, keystore: Path, password: Callable[[], bytes]) -> Key:
    """The key of that file. Raises ConfigError: it cannot be used, or it is one that the daemon signs with."""
    own = {p.resolve() for p in (settings.wallet.keystore, *(k.keystore for k in settings.hedge_keys)) if p}
    if keystore.resolve() in own:
        raise ConfigError((f"--keystore {keystore}: {_OWN}",))
    where = find_secret(keystore, credentials_dir())
    key = _decrypt(_keystore(read_secret(where, credentials_dir()), keystore), password(), keystore)
    hot = {
        a.lower() for a in (settings.wallet.address, *(p.hedge.key for p in settings.pairs if p.hedge)) if a
    }
    if key.address.lower() in hot:
        raise ConfigError((f"--keystore {keystore}: {key.address}: {_OWN}",))
    return key


_OWN = "is the keeper's own wallet, whose nonces belong to the daemon; renew with another key, which needs gas only"


async def renewals(settings: Settings, label: str, key: Key | None) -> tuple[Due, ...]:
    """Every token that is renewed for that position; with a key, what can be renewed is sent, one after the other.

    Raises ConfigError (no such position, a module that is not proven, the key), Transient (no receipt in time).
    """
    async with placed(settings, label) as at:
        rows = await _due(at)
        sent = list[Due]()
        for row in rows:
            why = _waits(row, at.site.block.timestamp_s)
            if key is not None and not why:
                why = await _send(at, row, key)
            sent.append(replace(row, transaction=why or "not sent: add --keystore"))
        return tuple(sent)


def _waits(due: Due, now_s: int) -> str:
    """Why it is not asked for now; the module itself has the last word."""
    if now_s > due.until_s:
        return "its term is over"
    if now_s < due.ready_s:
        return "not yet"
    return "not needed: nothing was used" if due.standing >= due.units else ""


async def _due(at: Placed) -> tuple[Due, ...]:
    """Raises ConfigError for a module that says it renews and is not proven."""
    read = at.site.camera.reader(at.site.block)

    async def code(address: str) -> bytes:
        told = await at.site.endpoints.request("eth_getCode", [address, hex(at.site.block.number)])
        return bytes.fromhex(str(told or "0x")[2:])

    found = list[tuple[Enabled, str, int]]()
    for row in await enabled(at.owner, read, code):
        terms = row.terms
        if terms is None or terms.executor.lower() != at.executor.lower():
            continue
        if row.wrong:
            raise ConfigError((f"module {row.module} of {at.owner}: {row.wrong}; disable it",))
        found += [(row, token, units) for token, units in terms.lines]
    calls = list[Call]()
    for row, token, _ in found:
        assert row.terms is not None  # told above
        calls += [renewal.allowance_call(row.terms, token), renewal.ready_call(row.module, token)]
    words = await read(tuple(calls)) if calls else None
    names = _names(at)
    return tuple(
        Due(
            module=row.module,
            token=token,
            symbol=names.get(token, (token, 0))[0],
            decimals=names.get(token, (token, 0))[1],
            units=units,
            standing=words.uint(2 * i),
            ready_s=words.uint(2 * i + 1),
            until_s=row.terms.until_s,
        )
        for i, (row, token, units) in enumerate(found)
        if words is not None and row.terms is not None
    )


def _names(at: Placed) -> dict[str, tuple[str, int]]:
    """Contract whose allowance it is -> (what it is called, decimals)."""
    from keeper.cli.owner_place import receipts

    own = {
        receipt: (f"{t.symbol} out of the position", t.decimals)
        for t, receipt in receipts(at.venue, at.seat).items()
    }
    return own | {t.address: (f"{t.symbol} from the Safe", t.decimals) for t in at.venue.tokens}


async def _send(at: Placed, due: Due, key: Key) -> str:
    """The hash of the mined renewal, or why the module refused. Raises ConfigError, Transient."""
    call = renewal.renew_call(due.module, due.token)
    ask = at.site.endpoints.request
    asked = {"from": key.address, "to": call.target, "data": "0x" + call.data.hex()}
    try:
        gas = int(str(await ask("eth_estimateGas", [asked])), 16)
    except Rejected as error:
        return f"refused: {revert_reason(error, renewal.errors())}"
    block = await latest(at.site.endpoints)
    tip = int(str(await ask("eth_maxPriorityFeePerGas", [])), 16)
    tx = TxFields(
        chain_id=at.site.chain.chain_id,
        nonce=int(str(await ask("eth_getTransactionCount", [key.address, "pending"])), 16),
        to=call.target,
        data=call.data,
        value_wei=0,
        gas_limit=gas * (100 + GAS_SPARE_PCT) // 100,
        max_fee_wei=2 * block.base_fee_wei + tip,
        tip_wei=tip,
    )
    if tx.gas_limit * tx.max_fee_wei > FEE_WEI_MAX:
        return (
            f"waits: it may cost {decimal_text(tx.gas_limit * tx.max_fee_wei, 18)} now, of which it spends no more "
            f"than {decimal_text(FEE_WEI_MAX, 18)}"
        )
    signed = await LocalSigner(key, _policy(tx, key, due)).sign(tx)
    told = await at.site.endpoints.broadcast(signed.raw)
    if not any(isinstance(answer, str) for answer in told):
        raise Transient(f"no endpoint took the renewal: {told[0]}")
    return await _mined(at, signed.hash)


def _policy(tx: TxFields, key: Key, due: Due) -> SigningPolicy:
    """This key signs this one call and nothing else."""
    token = Argument(kind="address", among=frozenset({due.token.lower()}))
    return SigningPolicy(
        chain_id=tx.chain_id,
        address=key.address,
        calls=(AllowedCall(target=due.module, name="renew", arguments=(token,)),),
        fee_wei_max=FEE_WEI_MAX,
    )


async def _mined(at: Placed, hash: str) -> str:
    """The hash, once it is mined and did what it should. Raises Transient."""
    try:
        async with asyncio.timeout(RECEIPT_S):
            while True:
                receipt = await at.site.endpoints.request("eth_getTransactionReceipt", [hash])
                if isinstance(receipt, dict):
                    return (
                        hash if int(str(receipt["status"]), 16) else f"{hash}: reverted; somebody was first"
                    )
                await asyncio.sleep(POLL_S)
    except TimeoutError as e:
        raise Transient(
            f"the renewal {hash} has no receipt after {RECEIPT_S:.0f} s; it may still be mined"
        ) from e
