"""Three timelocks: how each is asked what waits behind it, and how its answer reads. Pure.

    kind            contract                          asked by
    aave_payloads   Aave's PayloadsController         views: count, states and payloads of the newest ids
    compound        Compound's Timelock               logs QueueTransaction, then queuedTransactions of each
    maker_pause     Maker's DSPause                   logs plot (ds-note), then plans of each

Sources: aave-governance-v3 PayloadsControllerCore, compound-protocol Timelock, ds-pause.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper import kinds
from keeper.governance.calldata import selector
from keeper.model import Call
from keeper.seams import LogFilter
from keeper.words import Words

KINDS = ("aave_payloads", "compound", "maker_pause")
GOVERNED = tuple(kind.name for kind in kinds.KINDS if kind.governed)
"""Kinds of venues whose parameters a vote may change behind a timelock."""
PAYLOADS_BACK = 128
"""Ids looked at, newest first: a payload lives for 52 days at most (35 to be queued, delay, grace)."""
QUEUED = 2
"""PayloadState.Queued."""
COUNT, STATE, PAYLOAD = (
    selector(s) for s in ("getPayloadsCount()", "getPayloadState(uint40)", "getPayloadById(uint40)")
)
EXECUTE_PAYLOAD = selector("executePayload(uint40)")
_PAYLOAD = (
    "(address,uint8,uint8,uint40,uint40,uint40,uint40,uint40,uint40,uint40,"
    "(address,bool,uint8,uint256,string,bytes)[])"
)
QUEUE_TRANSACTION = "0x" + keccak(text="QueueTransaction(bytes32,address,uint256,string,bytes,uint256)").hex()
IS_QUEUED = selector("queuedTransactions(bytes32)")
GRACE_S = 14 * 86_400
"""Timelock.GRACE_PERIOD."""
_PLOT_ARGS = ("address", "bytes32", "bytes", "uint256")
PLOT, PLANS, EXEC = (
    selector(s)
    for s in ("plot(address,bytes32,bytes,uint256)", "plans(bytes32)", "exec(address,bytes32,bytes,uint256)")
)
PLOTTED = "0x" + PLOT.hex() + "0" * 56
"""Topic of a ds-note: the selector of the function that was called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timelock:
    """A contract behind which changes wait."""

    kind: str
    address: str
    governs: tuple[str, ...] = ()
    """Venue kinds that it may change; empty: any that a vote changes."""
    source: str = ""

    def rules(self, kind: str) -> bool:
        """Whether a market of that kind may be changed through it."""
        return kind in (self.governs or GOVERNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One call of a payload."""

    target: str
    data: bytes
    delegate: bool
    """The target's code runs as the timelock: what it does stands in no calldata."""
    value_wei: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A payload that may land from ``eta_s`` on."""

    timelock: Timelock
    key: str
    eta_s: int
    until_s: int
    actions: tuple[Action, ...]
    run: Call | None = None
    """Runs it, by whoever calls; None where only an admin may."""

    @property
    def id(self) -> str:
        """``0x...:12``."""
        return f"{self.timelock.address}:{self.key}"


def count_call(timelock: Timelock) -> Call:
    """How many payloads were ever created."""
    return Call(target=timelock.address, data=COUNT)


def state_calls(timelock: Timelock, count: int) -> tuple[Call, ...]:
    """The state of each of the newest."""
    return tuple(_of(timelock, STATE, id) for id in _ids(count))


def queued_ids(count: int, words: Words) -> tuple[int, ...] | None:
    """Those that wait, from ``state_calls``; None where one did not answer."""
    ids = _ids(count)
    if not all(words.ok[i] and words.count[i] for i in range(len(ids))):
        return None
    return tuple(id for i, id in enumerate(ids) if words.uint(i) == QUEUED)


def payload_calls(timelock: Timelock, ids: Iterable[int]) -> tuple[Call, ...]:
    """Each payload whole."""
    return tuple(_of(timelock, PAYLOAD, id) for id in ids)


def payload(timelock: Timelock, id: int, told: bytes) -> Queued | None:
    """One payload; None where the answer cannot be read."""
    try:
        ((_, _, _, _, queued_s, _, _, _, delay_s, grace_s, rows),) = decode([_PAYLOAD], told)
    except (DecodingError, OverflowError, ValueError):
        return None
    # it may run in a block later than queuedAt + delay, and no later than the grace
    eta_s = queued_s + delay_s + 1
    return Queued(
        timelock=timelock,
        key=str(id),
        eta_s=eta_s,
        until_s=eta_s + grace_s - 1,
        actions=tuple(
            Action(
                target=to_checksum_address(target),
                data=_data(signature, data),
                delegate=delegate,
                value_wei=value,
            )
            for target, delegate, _, value, signature, data in rows
        ),
        run=Call(target=timelock.address, data=EXECUTE_PAYLOAD + id.to_bytes(32)),
    )


def logs_of(timelock: Timelock) -> LogFilter | None:
    """The logs that queueing leaves; None for a kind that is asked by views."""
    topic = {"compound": QUEUE_TRANSACTION, "maker_pause": PLOTTED}.get(timelock.kind)
    return None if topic is None else LogFilter(target=timelock.address, topics=(topic,))


def from_logs(timelock: Timelock, logs: Sequence[Mapping[str, object]], now_s: int) -> tuple[Queued, ...]:
    """What those logs queued and may still land; a log that cannot be read raises ValueError."""
    found: dict[str, Queued] = {}
    for log in logs:
        raw = bytes.fromhex(str(log["data"])[2:])
        try:
            one = (_transaction if timelock.kind == "compound" else _plan)(timelock, log, raw)
        except (DecodingError, OverflowError) as error:
            raise ValueError(
                f"a log of {timelock.address} cannot be read ({type(error).__name__})"
            ) from error
        if one.until_s > now_s:
            found[one.key] = one
    return tuple(found.values())


def standing_calls(queued: Sequence[Queued]) -> tuple[Call, ...]:
    """Whether each of ``from_logs`` still waits: neither run nor cancelled."""
    return tuple(
        Call(
            target=q.timelock.address,
            data=(IS_QUEUED if q.timelock.kind == "compound" else PLANS) + bytes.fromhex(q.key[2:]),
        )
        for q in queued
    )


def grouped(queued: Sequence[Queued]) -> tuple[Queued, ...]:
    """Calls that one vote queued for one moment as one payload: each by itself may do nothing, or fail."""
    found: dict[tuple[str, int], Queued] = {}
    for q in queued:
        at = (q.timelock.address, q.eta_s)
        if q.run is None and at in found:
            q = replace(found[at], actions=found[at].actions + q.actions)
        found[at if q.run is None else (q.key, q.eta_s)] = q
    return tuple(found.values())


def _transaction(timelock: Timelock, log: Mapping[str, object], raw: bytes) -> Queued:
    topics = log["topics"]
    assert isinstance(topics, list)
    value, signature, data, eta_s = decode(("uint256", "string", "bytes", "uint256"), raw)
    target = to_checksum_address("0x" + str(topics[2])[-40:])
    action = Action(target=target, data=_data(signature, data), delegate=False, value_wei=value)
    return Queued(
        timelock=timelock, key=str(topics[1]), eta_s=eta_s, until_s=eta_s + GRACE_S, actions=(action,)
    )


def _plan(timelock: Timelock, log: Mapping[str, object], raw: bytes) -> Queued:
    _, called = decode(("uint256", "bytes"), raw)
    usr, tag, fax, eta_s = decode(_PLOT_ARGS, called[4:])
    arguments = encode(_PLOT_ARGS, (usr, tag, fax, eta_s))
    return Queued(
        timelock=timelock,
        key="0x" + keccak(arguments).hex(),
        eta_s=eta_s,
        # a plan has no end
        until_s=2**63,
        actions=(Action(target=to_checksum_address(usr), data=fax, delegate=True),),
        run=Call(target=timelock.address, data=EXEC + arguments),
    )


def _data(signature: str, data: bytes) -> bytes:
    """A signature, where there is one, stands for the selector before the arguments."""
    return selector(signature) + data if signature else data


def _ids(count: int) -> range:
    return range(max(0, count - PAYLOADS_BACK), count)


def _of(timelock: Timelock, function: bytes, id: int) -> Call:
    return Call(target=timelock.address, data=function + id.to_bytes(32))
