"""What ``keeper renew`` finds and sends: one transaction a token, simulated first, with a key of the caller's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keeper.chain.head import latest
from keeper.cli.endings import say
from keeper.cli.owner_module import listed
from keeper.cli.owner_place import Placed, placed
from keeper.cli.renew_rows import Due, Renewals
from keeper.config import Settings
from keeper.daemon.senders import credentials_dir
from keeper.errors import ConfigError, Rejected, Transient
from keeper.executor import renewal
from keeper.executor.grants import day
from keeper.executor.read import BOT_OF
from keeper.executor.renewal import Enabled
from keeper.model import Call
from keeper.seams import TxFields
from keeper.signer.key import Key, decrypted, find_secret, keystore_content, read_secret
from keeper.signer.local import LocalSigner
from keeper.signer.policy import AllowedCall, Argument, SigningPolicy
from keeper.transaction.answers import best
from keeper.transaction.simulate import revert_reason
from keeper.units import GWEI, decimal_text, mul_div_up
from keeper.words import Words

GAS_SPARE_PCT = 30
"""Above the estimate: between it and the block the token may come to be set to nothing first."""
RECEIPT_S = 180.0
POLL_S = 0.5
UNANSWERED = "the token or the module does not answer"
NOT_SENT = "not sent: add --keystore"
OVER = "its term is over"
_MUTE = (
    "it has the module's code and does not tell its terms, so that nothing of it is renewed: run it again, and if it "
    "stays so, look at it (keeper executor verify) and at the endpoints"
)
ENDS_S = 14 * 86_400
"""Before a module's end its owners are told: they need time to sign another."""
TIP_WEI_LEAST = 2 * GWEI
"""A node's suggestion counts up to this, and above it up to the base fee: a tip is a bid, not the node's to name."""
BUMP_PERMILLE = 1_125
"""What a pool asks of both fields before it replaces a transaction."""
BUMPS_MAX = 60
"""1.125 to the power of it is a thousand: from any fee to any cap."""


def opened(settings: Settings, keystore: Path, password: Callable[[], bytes]) -> Key:
    """The key of that file. Raises ConfigError: it cannot be used, or it is one that the daemon signs with."""
    own = {p.resolve() for p in (settings.wallet.keystore, *(k.keystore for k in settings.hedge_keys)) if p}
    if keystore.resolve() in own:
        raise ConfigError((f"--keystore {keystore}: {_OWN}",))
    where = find_secret(keystore, credentials_dir())
    key = decrypted(keystore_content(read_secret(where, credentials_dir()), keystore), password(), keystore)
    hot = {
        a.lower() for a in (settings.wallet.address, *(p.hedge.key for p in settings.pairs if p.hedge)) if a
    }
    if key.address.lower() in hot:
        raise ConfigError((f"--keystore {keystore}: {key.address}: {_OWN}",))
    return key


_OWN = "is the keeper's own wallet, whose nonces belong to the daemon; renew with another key, which needs gas only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """Who sends, and for how much at the most."""

    key: Key
    fee_wei_max: int | None = None
    """A transaction; None: gas limit x the chain's ``storm_gwei``."""

    def cap_wei(self, gas_limit: int, storm_gwei: float) -> int:
        """What one transaction of that gas limit may cost."""
        return int(storm_gwei * GWEI) * gas_limit if self.fee_wei_max is None else self.fee_wei_max


async def renewals(settings: Settings, label: str, purse: Purse | None) -> Renewals:
    """Every token that is renewed for that position; with a key, what can be renewed is sent.

    The first nonce is read once: a block between two sends must leave no gap before the second.
    All of it is sent before any receipt is waited for, and all receipts are waited for at once: RECEIPT_S in all.
    Raises ConfigError (no such position, the key), Transient (nothing could be read).
    """
    async with placed(settings, label) as at:
        found = await _due(at)
        rows, now_s = found.rows, at.site.block.timestamp_s
        waits = [_waits(row, now_s) for row in rows]
        _say_ending(rows, now_s)
        if purse is None:
            shown = (replace(r, transaction=why or NOT_SENT) for r, why in zip(rows, waits, strict=True))
            return replace(found, rows=tuple(shown))
        sent, nonce = list[Due](), 0
        lasting = {row.token for row in rows if now_s <= row.until_s}
        if not all(waits):
            await _strange(at, purse.key.address)
            nonce = await _count(at, purse.key.address, "latest")
        for row, why in zip(rows, waits, strict=True):
            gone = why == OVER and row.token not in lasting
            told = replace(row, transaction=why, failed=gone or why == UNANSWERED)
            told = told if why else await _tried(at, row, purse, nonce)
            nonce += told.transaction.startswith("0x")
            sent.append(told)
        return replace(found, rows=tuple(await asyncio.gather(*(_ended(at, row) for row in sent))))


def _say_ending(rows: Sequence[Due], now_s: int) -> None:
    """Tell of what nothing renews any more in two weeks."""
    lasting = {row.token for row in rows if row.until_s - now_s > ENDS_S}
    for row in rows:
        if row.token not in lasting and now_s <= row.until_s:
            say(
                f"module {row.module} renews {row.symbol} until {day(row.until_s)}: its owners must sign another"
            )


async def _tried(at: Placed, due: Due, purse: Purse, nonce: int) -> Due:
    """It with the hash of what was sent, or with why nothing was: the next one is tried all the same."""
    try:
        return await _send(at, due, purse, nonce)
    except (Transient, ConfigError) as e:
        return replace(due, transaction=f"not sent: {e}", failed=True)


async def _ended(at: Placed, due: Due) -> Due:
    """It as its receipt says."""
    if not due.transaction.startswith("0x"):
        return due
    try:
        return await _mined(at, due)
    except Transient as e:
        return replace(due, transaction=f"{due.transaction}: {e}; run it again", failed=True)


def _waits(due: Due, now_s: int) -> str:
    """Why it is not asked for now; the module itself has the last word."""
    if now_s > due.until_s:
        return OVER
    if due.standing is None or due.ready_s is None:
        return UNANSWERED
    if now_s < due.ready_s:
        return "not yet"
    return "not needed: more than half of it stands" if due.standing > due.units // 2 else ""


async def _due(at: Placed) -> Renewals:
    """Raises Transient when no module could be read."""
    read = at.site.camera.reader(at.site.block)
    modules = await listed(at)
    if modules.unread and not modules.rows:
        raise Transient(modules.unread)
    found, wrong = list[tuple[Enabled, str, int]](), list[str]()
    for row in modules.rows:
        terms = row.terms
        if terms is None and row.ours:
            # whose Executor it renews for is not known: it may be this one
            wrong.append(f"module {row.module} of {at.owner}: {_MUTE}")
        if terms is None or not row.feeds(at.executor):
            continue
        if row.wrong:
            # a look-alike keeps no proven one from renewing
            wrong.append(f"module {row.module} of {at.owner}: {row.wrong}; disable it")
            continue
        found += [(row, token, units) for token, units in terms.lines]
    calls = list[Call]()
    for row, token, _ in found:
        assert row.terms is not None  # told above
        calls += [renewal.allowance_call(row.terms, token), renewal.ready_call(row.module, token)]
    words = await read(tuple(calls)) if calls else None
    names = _names(at)
    rows = tuple(
        Due(
            module=row.module,
            token=token,
            symbol=names.get(token, (token, 0))[0],
            decimals=names.get(token, (token, 0))[1],
            units=units,
            standing=_told(words, 2 * i),
            ready_s=_told(words, 2 * i + 1),
            until_s=row.terms.until_s,
        )
        for i, (row, token, units) in enumerate(found)
        if words is not None and row.terms is not None
    )
    return Renewals(rows=rows, wrong=tuple(wrong), unread=modules.unread)


def _told(words: Words, i: int) -> int | None:
    """One word; None where it did not come: the other tokens are renewed all the same."""
    return words.uint(i) if words.ok[i] and words.count[i] else None


async def _count(at: Placed, address: str, block: str) -> int:
    """How many transactions that address has sent by ``block``. Raises Transient."""
    return int(str(await at.site.endpoints.request("eth_getTransactionCount", [address, block])), 16)


def _names(at: Placed) -> dict[str, tuple[str, int]]:
    """Contract whose allowance it is -> (what it is called, decimals)."""
    from keeper.cli.owner_place import receipts

    own = {
        receipt: (f"{t.symbol} out of the position", t.decimals)
        for t, receipt in receipts(at.venue, at.seat).items()
    }
    return own | {t.address: (f"{t.symbol} from the Safe", t.decimals) for t in at.venue.tokens}


async def _strange(at: Placed, address: str) -> None:
    """Raises ConfigError for a key that has a right there: one that lies where a timer runs should have none."""
    word = bytes.fromhex(address[2:]).rjust(32, b"\0")
    asked = (
        Call(target=at.executor, data=BOT_OF + word),
        Call(target=at.executor, data=renewal.GUARDIAN),
        Call(target=at.owner, data=renewal.IS_OWNER + word),
    )
    words = await at.site.camera.reader(at.site.block)(asked)
    rights = (
        (bool(words.uint(0)), f"a bot of the Executor {at.executor}"),
        (words.uint(1) == int(address, 16), f"the guardian of the Executor {at.executor}"),
        (bool(words.uint(2)), f"an owner of the Safe {at.owner}"),
    )
    if wrong := [what for holds, what in rights if holds]:
        why = (
            f"{address} is {' and '.join(wrong)}: renew with a key that has no right there, it needs gas only"
        )
        raise ConfigError((f"--keystore: {why}",))


def fees(
    base_wei: int, told_wei: int, at_least: tuple[int, int] | None, limit_wei: int
) -> tuple[int, int] | None:
    """(maxFeePerGas, tip) in wei that a block would take now and a pool for ``at_least``; None above ``limit_wei``.

    ``told_wei``: the tip that the node suggests; ``at_least``: the fees of what is replaced, both are raised over it.
    """
    tip = min(told_wei, max(base_wei, TIP_WEI_LEAST))
    least = base_wei + tip
    most = min(2 * base_wei + tip, max(limit_wei, least))
    if at_least is not None:
        tip = max(tip, mul_div_up(at_least[1], BUMP_PERMILLE, 1_000))
        most = max(most, mul_div_up(at_least[0], BUMP_PERMILLE, 1_000), tip)
    return (most, tip) if most <= limit_wei else None


async def _send(at: Placed, due: Due, purse: Purse, nonce: int) -> Due:
    """It with the hash of what a pool took under that nonce, or with why not.

    Raises ConfigError, Transient.
    """
    key, ask = purse.key, at.site.endpoints.request
    call = renewal.renew_call(due.module, due.token)
    try:
        gas = int(str(await ask("eth_estimateGas", [_asked(key, call)])), 16)
    except Rejected as error:
        why = revert_reason(error, renewal.errors())
        return replace(due, transaction=f"refused: {why}", failed=True)
    block, tip = await latest(at.site.endpoints), TIP_WEI_LEAST
    with contextlib.suppress(Transient):  # not every node suggests one
        tip = int(str(await ask("eth_maxPriorityFeePerGas", [])), 16)
    pending = await _count(at, key.address, "pending")
    stuck = await _stuck(at, key.address, nonce) if pending > nonce else None
    gas_limit = gas * (100 + GAS_SPARE_PCT) // 100
    cap_wei = purse.cap_wei(gas_limit, at.site.chain.storm_gwei)
    for _ in range(BUMPS_MAX):
        bid = fees(block.base_fee_wei, tip, stuck, cap_wei // gas_limit)
        if bid is None:
            break
        tx = TxFields(
            chain_id=at.site.chain.chain_id,
            nonce=nonce,
            to=call.target,
            data=call.data,
            value_wei=0,
            gas_limit=gas_limit,
            max_fee_wei=bid[0],
            tip_wei=bid[1],
        )
        signed = await LocalSigner(key, _policy(tx, key, due, cap_wei)).sign(tx)
        told = await at.site.endpoints.broadcast(signed.raw)
        verdict = best(told, signed.hash)
        if verdict.reached:
            return replace(due, transaction=signed.hash)
        if not verdict.wants_more:
            raise Transient(f"no endpoint is known to have taken it ({verdict}): {told[0]}")
        stuck = bid
    most = decimal_text(cap_wei, 18)
    why = f"waits: it would cost more than {most} now, which is the most it may (--fee-max)"
    return replace(due, transaction=why, failed=True)


def _asked(key: Key, call: Call) -> dict[str, str]:
    return {"from": key.address, "to": call.target, "data": "0x" + call.data.hex()}


async def _stuck(at: Placed, address: str, nonce: int) -> tuple[int, int] | None:
    """(maxFeePerGas, tip) of the renewal that waits under that nonce; None where no node shows it: its fees are
    found by raising then. Raises ConfigError for a transaction that is no renewal: that is not ours to replace.
    """
    found: object = None
    try:
        told = await at.site.endpoints.request("txpool_contentFrom", [address])
        found = told["pending"].get(str(nonce)) if isinstance(told, dict) and "pending" in told else None
    except Transient:
        pass  # many nodes do not tell: the block that they would build may
    if not isinstance(found, dict):
        try:
            told = await at.site.endpoints.request("eth_getBlockByNumber", ["pending", True])
        except Transient:
            return None
        rows = told.get("transactions", []) if isinstance(told, dict) else []
        found = next((r for r in rows if _is(r, address, nonce)), None)
    if not isinstance(found, dict):
        return None
    if not str(found.get("input")).startswith("0x" + renewal.RENEW.hex()):
        why = f"{address} has another transaction under way, {found.get('hash')}, with nonce {nonce}"
        raise ConfigError((f"--keystore: {why}: let it end, or renew with a key that sends nothing else",))
    most, tip = (
        found.get(name) or found.get("gasPrice") for name in ("maxFeePerGas", "maxPriorityFeePerGas")
    )
    return int(str(most), 16), int(str(tip), 16)


def _is(row: object, address: str, nonce: int) -> bool:
    return (
        isinstance(row, dict)
        and str(row.get("from")).lower() == address.lower()
        and str(row.get("nonce")) == hex(nonce)
    )


def _policy(tx: TxFields, key: Key, due: Due, cap_wei: int) -> SigningPolicy:
    """This key signs this one call and nothing else."""
    token = Argument(kind="address", among=frozenset({due.token.lower()}))
    return SigningPolicy(
        chain_id=tx.chain_id,
        address=key.address,
        calls=(AllowedCall(target=due.module, name="renew", arguments=(token,)),),
        fee_wei_max=cap_wei,
    )


async def _mined(at: Placed, due: Due) -> Due:
    """It, once its transaction is mined and did what it should. Raises Transient."""
    try:
        async with asyncio.timeout(RECEIPT_S):
            while True:
                with contextlib.suppress(Transient):  # asked again until the time is over
                    receipt = await at.site.endpoints.request("eth_getTransactionReceipt", [due.transaction])
                    if isinstance(receipt, dict):
                        break
                await asyncio.sleep(POLL_S)
    except TimeoutError as e:
        raise Transient(f"no receipt after {RECEIPT_S:.0f} s; it may still be mined") from e
    if int(str(receipt["status"]), 16):
        return due
    return replace(due, transaction=f"{due.transaction}: reverted; somebody was first", failed=True)
