"""Finite ERC-20 approvals from the keeper's wallet to the venues: shown exactly, and sent only when asked.

An approval goes the way of every plan: journaled, signed, its bytes durable before they are broadcast. A
crash at any point leaves an intent that the next grant, or the daemon, settles by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.chain.head import latest
from keeper.clock import SystemClock
from keeper.config import ChainSettings, Settings
from keeper.confirmation import Confirmation
from keeper.daemon.senders import credentials_dir
from keeper.daemon.wiring import Site, opened
from keeper.errors import ConfigError, Transient
from keeper.journal.recover import recover
from keeper.journal.write import Journal
from keeper.model import (
    Attempt,
    Bounds,
    Call,
    Intent,
    IntentState,
    Means,
    Plan,
    PlanKey,
    PositionId,
    Refusal,
    Snapshot,
    Token,
)
from keeper.seams import Signer
from keeper.transaction.nobody import silent
from keeper.transaction.send import Live
from keeper.units import UINT256_MAX, WAD, decimal_text

VENUE = "grant"
"""What stands for a venue in the key of an approval's plan; its account is the wallet."""
APPROVE_GAS = 120_000
FEE_WEI_MAX = WAD // 10
"""An approval is never urgent: it waits rather than cost more than a tenth of a native token."""
DEADLINE_BLOCKS = 10
RECEIPT_S = 180.0
POLL_S = 0.2
Probe = Callable[[str], None]
Row = dict[str, object]
SENT = (IntentState.INCLUDED, IntentState.SETTLED, IntentState.FINAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One approval that is wanted."""

    token: Token
    spender: str
    units: int


async def grant(
    settings: Settings, amounts: Mapping[str, str], send: bool, *, probe: Probe = silent
) -> tuple[Row, ...]:
    """The approvals for ``amounts`` (symbol -> whole tokens) on every venue of every chain; sent when asked.

    Raises ConfigError (no wallet, unknown token, key), Broken (foreign nonce), Transient (nobody answered, no
    receipt in time). ``probe`` is for tests, as in ``Live``.
    """
    if settings.wallet.address is None:
        raise ConfigError(("wallet.address: is not set; a grant is an approval from the keeper's wallet",))
    rows: list[Row] = []
    for chain in settings.chains:
        async with opened(settings, chain) as site:
            rows += await _on_chain(settings, site, amounts, probe if send else None)
    unknown = [s for s in amounts if not any(r["token"] == s for r in rows)]
    if unknown:
        raise ConfigError(
            tuple(f"--amount {s}: no configured venue lists a token of this symbol" for s in unknown)
        )
    return tuple(rows)


async def take_back(settings: Settings, send: bool, *, probe: Probe = silent) -> tuple[Row, ...]:
    """An approval of nothing for every allowance that the wallet still gives a venue; sent when asked.

    Nothing where nothing is allowed any more. Raises as ``grant``.
    """
    if settings.wallet.address is None:
        raise ConfigError(
            ("wallet.address: is not set; there is no wallet whose approvals could be revoked",)
        )
    rows: list[Row] = []
    for chain in settings.chains:
        async with opened(settings, chain) as site:
            means = (await site.view()).snapshot.means
            wanted = tuple(
                Approval(token=a.token, spender=a.spender, units=0) for a in means.allowances if a.units
            )
            rows += await _shown(settings, site, wanted, probe if send else None)
    return tuple(rows)


async def _on_chain(
    settings: Settings, site: Site, amounts: Mapping[str, str], probe: Probe | None
) -> list[Row]:
    # markets of one contract share its allowance
    wanted = tuple(
        dict.fromkeys(
            Approval(token=token, spender=venue.spender, units=_units(token, amounts[token.symbol]))
            for venue in site.venues.values()
            for token in venue.tokens
            if token.symbol in amounts
        )
    )
    return await _shown(settings, site, wanted, probe)


async def _shown(
    settings: Settings, site: Site, wanted: tuple[Approval, ...], probe: Probe | None
) -> list[Row]:
    """What is wanted beside what is allowed now; with a probe, sent."""
    means = (await site.view()).snapshot.means
    rows = [_row(a, means) for a in wanted]
    if probe is not None and wanted:
        hashes = await _send(settings, site, wanted, probe)
        rows = [{**row, "transaction": h} for row, h in zip(rows, hashes, strict=True)]
    return rows


def _row(wanted: Approval, means: Means) -> Row:
    token, spender = wanted.token, wanted.spender
    return {
        "token": token.symbol,
        "address": token.address,
        "amount": decimal_text(wanted.units, token.decimals),
        "units": str(wanted.units),
        "spender": spender,
        "now allowed": decimal_text(means.allowance(token, spender), token.decimals),
        "signs": f"approve({spender}, {wanted.units}) on {token.address}",
        "transaction": "not sent: add --send",
    }


async def _send(settings: Settings, site: Site, wanted: tuple[Approval, ...], probe: Probe) -> list[str]:
    """Send and wait for each approval, after settling what an earlier grant left open."""
    live = replace(settings, mode="live")
    live.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = await _signer(live, site.chain, wanted)
    # the journal's lock keeps a running daemon and a grant from taking the same nonce
    with Journal.open(live.journal_path, SystemClock()) as journal:
        await recover(journal, site.endpoints, SystemClock(), site.chain.chain_id, signer.address)
        counter = _Counter(site, journal, signer, probe)
        await counter.settle()
        return [await counter.approve(a) for a in wanted]


class _Counter:
    """Where approvals are handed in, one after the other."""

    def __init__(self, site: Site, journal: Journal, signer: Signer, probe: Probe) -> None:
        self._site = site
        self._journal = journal
        self._address = signer.address
        self._live = Live(journal, site.endpoints, signer, probe=probe)
        self._live.pooled = site.chain.mempool
        self._confirmation = Confirmation(journal, site.endpoints, self._live, signer.address)

    async def approve(self, wanted: Approval) -> str:
        """The hash of the mined approval, or words when the chain allows exactly that already."""
        snapshot = await self._look()
        if snapshot.means.allowance(wanted.token, wanted.spender) == wanted.units:
            return "not needed: allowed already"
        plan = plan_of(wanted, snapshot, self._journal)
        sent = await self._live.act(plan, snapshot)
        if isinstance(sent, Refusal):
            raise ConfigError((f"approval of {wanted.token.symbol}: {sent.code}: {sent.why}",))
        await self.settle()
        return self._hash_of(plan, sent)

    async def settle(self) -> None:
        """Wait until no transaction of this key is open. Raises ConfigError, Transient."""
        try:
            async with asyncio.timeout(RECEIPT_S):
                while opened := self._opened():
                    if any(i.key.position.venue != VENUE for i in opened):
                        why = "a rescue is under way: let `keeper run` settle it first"
                        raise ConfigError((f"{opened[0].key}: {why}",))
                    snapshot = await self._look()
                    await self._confirmation.tend(snapshot.block, snapshot)
                    await asyncio.sleep(POLL_S)
        except TimeoutError as e:
            why = f"no receipt after {RECEIPT_S:.0f} s; it is journaled: run the grant again, or the daemon"
            raise Transient(f"the approval has {why}") from e

    def _opened(self) -> list[Intent]:
        """Of this key alone: for what another one signed a new key's approvals do not wait."""
        opened = self._journal.open_intents(self._site.chain.chain_id)
        return [i for i in opened if i.is_of(self._address)]

    async def _look(self) -> Snapshot:
        return (await self._site.view(await latest(self._site.endpoints))).snapshot

    def _hash_of(self, plan: Plan, sent: Attempt) -> str:
        intent = self._journal.intent(plan.key)
        if intent is None or intent.state not in SENT:
            became = intent.state if intent is not None else "lost"
            raise Transient(f"approval {sent.hash}: {became}; run the grant again")
        return sent.hash


def plan_of(wanted: Approval, snapshot: Snapshot, journal: Journal) -> Plan:
    """An approval as a plan: it moves no position, promises no health and spends nothing but gas."""
    token, block = wanted.token, snapshot.block
    key = f"{token.address}/{wanted.spender}"
    id = PositionId(venue=VENUE, chain_id=block.chain_id, account=snapshot.means.wallet, key=key)
    data = keccak(text="approve(address,uint256)")[:4] + encode(
        ["address", "uint256"], [wanted.spender, wanted.units]
    )
    return Plan(
        key=PlanKey(position=id, seq=journal.next_seq(id)),
        strategy=VENUE,
        steps=(),
        call=Call(target=token.address, data=data),
        bounds=Bounds(
            health_after_min_wad=0,
            health_after_max_wad=UINT256_MAX,
            cost_usd_max=0,
            fee_wei_max=min(FEE_WEI_MAX, snapshot.means.native_wei),
            gas_limit=APPROVE_GAS,
            deadline_block=block.number + DEADLINE_BLOCKS,
        ),
        block=block,
        urgent=False,
        health_before_wad=None,
        why=f"allow {wanted.spender} {decimal_text(wanted.units, token.decimals)} {token.symbol}",
    )


async def _signer(settings: Settings, chain: ChainSettings, wanted: tuple[Approval, ...]) -> Signer:
    from keeper.signer.key import load_key
    from keeper.signer.local import LocalSigner
    from keeper.signer.policy import SigningPolicy, grant_call, revoke_call

    wallet = settings.wallet
    if wallet.signer_socket is not None:
        why = "signs for rescues only: approve from a configuration with the keystore, then adopt its nonce"
        raise ConfigError((f"wallet.signer: {wallet.signer} {why}",))
    if wallet.address is None or wallet.keystore is None or wallet.password_file is None:
        raise ConfigError(("wallet: --send needs address, keystore and password_file in [wallet]",))
    key = await load_key(
        wallet.keystore, wallet.password_file, wallet.address, credentials_dir=credentials_dir()
    )
    calls = tuple(
        grant_call(a.token.address, a.spender, a.units)
        if a.units
        else revoke_call(a.token.address, a.spender)
        for a in wanted
    )
    policy = SigningPolicy(
        chain_id=chain.chain_id, address=wallet.address, calls=calls, fee_wei_max=FEE_WEI_MAX
    )
    return LocalSigner(key, policy)


def _units(token: Token, text: str) -> int:
    """Whole tokens as units, exactly. Raises ConfigError for more decimals than the token has."""
    units = Decimal(text) * 10**token.decimals
    if units != units.to_integral_value():
        raise ConfigError((f"--amount {token.symbol}={text}: {token.symbol} has {token.decimals} decimals",))
    return int(units)
