"""What the key lets a sale tell Uniswap's router: the Executor is paid, the order's tokens, no more than it sells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import decode, encode

from keeper.executor import abi
from keeper.model import Amount, Share, Source
from keeper.signer import swaps
from keeper.units import WAD
from tests.build import DAI, USDC, WBTC, WETH
from tests.mandates import EXECUTOR, ROUTER, sale
from tests.unit.signer.test_signer_orders import POLICY, ROUTED, STEPS, asked, tx

pytestmark = pytest.mark.unit
THIEF = "0x" + "de" * 20
SHARES = (Share(fees=(500,), via=(), bought=5_000), Share(fees=(100, 500), via=(DAI.address,), bought=4_000))
SPLIT = {**ROUTED, "shares": SHARES}
COMPOSED = [ROUTED, STEPS, SPLIT, {**ROUTED, "sell_all": True}, {**SPLIT, "sell_all": True}]
NAMES = ["buys", "steps", "split", "sells all", "sells all, split"]


def bent(part: bytes, **changes: Any) -> bytes:
    """One call of the router with some of its words changed."""
    if part[:4] == abi.ROUTER_MULTICALL:
        (parts,) = decode(["bytes[]"], part[4:])
        return part[:4] + encode(["bytes[]"], [[*parts[:-1], bent(parts[-1], **changes)]])
    (words,) = decode([abi.EXACT_INPUT], part[4:])
    names = ("path", "recipient", "deadline", "first", "second")
    told = {**dict(zip(names, words, strict=True)), **changes}
    return part[:4] + encode([abi.EXACT_INPUT], [tuple(told[n] for n in names)])


def said(changes: dict[str, Any], **words: Any) -> str | None:
    """Of the last call of an order as the project composes it, with some words of it changed."""
    order = abi.order_of(sale(**changes))
    return swaps.refuses(bent(order.data[-1], **words), order, EXECUTOR)


@pytest.mark.parametrize("changes", COMPOSED, ids=NAMES)
def test_swap__as_the_project_composes_it__is_signed(changes: dict[str, Any]) -> None:
    assert asked(**changes) is None
    assert said(changes) is None


@pytest.mark.parametrize("changes", COMPOSED, ids=NAMES)
@pytest.mark.parametrize("recipient", [THIEF, abi.ZERO, ROUTER])
def test_swap__that_pays_anybody_but_the_executor__is_refused(
    changes: dict[str, Any], recipient: str
) -> None:
    assert said(changes, recipient=recipient) == (
        f"deleverage: the router would pay {recipient.lower()}, not the Executor"
    )


@pytest.mark.parametrize("changes", COMPOSED, ids=NAMES)
@pytest.mark.parametrize("way", [(WETH, WBTC), (WBTC, USDC), (USDC, WETH)])
def test_swap__of_other_tokens_than_the_order_s__is_refused(
    changes: dict[str, Any], way: tuple[Any, Any]
) -> None:
    buys = changes is ROUTED or changes is SPLIT
    ends = [t.address for t in (way[::-1] if buys else way)]
    path = abi.path((ends[0], DAI.address, ends[1]), (500, 500))
    sold, bought = (t.address.lower() for t in way)
    assert said(changes, path=path) == f"deleverage: the router would sell {sold} for {bought}"


@pytest.mark.parametrize("changes", COMPOSED, ids=NAMES)
def test_swap__that_could_take_more_than_the_order_sells__is_refused(changes: dict[str, Any]) -> None:
    word = "second" if changes is ROUTED or changes is SPLIT else "first"
    most = sale(**changes).sell_max.units
    assert said(changes, **{word: most}) is None
    assert said(changes, **{word: most + 1}) == (
        f"deleverage: the router would take {most + 1}, the order sells {most}"
    )


def test_swap__of_each_step__is_asked() -> None:
    order = abi.order_of(sale(**STEPS))
    for at in range(2):
        data = tuple(bent(d, recipient=THIEF) if i == at else d for i, d in enumerate(order.data))
        step = replace(order, data=data)
        assert "would pay" in (_ordered(step) or "")
    assert _ordered(order) is None


def test_swap__of_any_part__is_asked_and_what_is_not_known_stays_closed() -> None:
    order = abi.order_of(sale(**SPLIT))
    (parts,) = decode(["bytes[]"], order.data[0][4:])
    other = bytes.fromhex("414bf389") + bytes(256)
    for call, fine in ((parts[0], True), (bent(parts[0], recipient=THIEF), False), (other, True)):
        for several in ([call, other, parts[1]], [parts[1], other, call]):
            data = abi.ROUTER_MULTICALL + encode(["bytes[]"], [several])
            assert (swaps.refuses(data, order, EXECUTOR) is None) == fine


def test_swap__by_another_router_s_bytes__stays_closed_to_the_signer() -> None:
    offered = bytes.fromhex("12aa3caf") + bytes.fromhex(THIEF[2:]).rjust(32, b"\0")
    assert asked(**{**ROUTED, "calldata": offered}) is None


@pytest.mark.parametrize("name", [abi.ROUTER_EXACT_INPUT, abi.ROUTER_EXACT_OUTPUT, abi.ROUTER_MULTICALL])
def test_swap__whose_bytes_do_not_decode__is_refused(name: bytes) -> None:
    why = asked(**{**ROUTED, "calldata": name + b"\xff" * 64}) or ""
    assert why.startswith("deleverage: the router's calldata does not decode (")


def test_swap__when_the_executor_is_written_otherwise__is_the_same() -> None:
    order = abi.order_of(sale(**ROUTED))
    assert swaps.refuses(order.data[0], order, EXECUTOR.lower()) is None


def test_order__with_another_recipient__is_refused_whole() -> None:
    step = sale(**{**ROUTED, "source": Source.MORPHO_BLUE, "sell_max": Amount(token=WETH, units=WAD)})
    order = abi.order_of(step)
    assert "would pay" in (_ordered(replace(order, data=(bent(order.data[0], recipient=THIEF),))) or "")


def _ordered(order: abi.Order) -> str | None:
    """The policy's word on an order that nobody composed so."""
    body = tuple(getattr(order, name) for name in abi.Order.__slots__)
    return POLICY.refuses(tx(abi.DELEVERAGE + encode([abi.ORDER], [body])))
