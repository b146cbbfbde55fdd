"""An account's orders on a slot, and what its owner allows the keeper, from the words of one account. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from keeper.executor import perp_bounded
from keeper.model import Acting, Block, PerpOrder
from keeper.seams import Seen
from keeper.units import UINT256_MAX
from keeper.venues.gmx_v2 import book
from keeper.venues.gmx_v2.book import Slot
from keeper.words import Words

_ORDERS = (
    "(bytes32,((address,address,address,address,address,address,address,address[]),"
    "(uint8,uint8,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256),"
    "(bool,bool,bool,bool),bytes32[]))[]"
)
"""Answer of getAccountOrders."""
BOUNDS = 6
"""Behind position, orders and the four words of the grant: what an Executor says of itself, where there is one."""
RESTING = frozenset({3, 5, 6, 8})
"""Order types that wait for a price: limit and stop orders."""
INCREASES = frozenset({2, 3, 8})
"""Order types that pay in, at once, at a limit and by a stop."""


PAGE, MOST = 32, 256
"""Orders of an account, on all of its markets, that are asked for; and once there may be more of them than that.
Reading so many costs a node some 16 M gas of the 50 M that many allow a call."""


def page(seen: Seen, account: str) -> int:
    """How many orders of the account this batch asks for."""
    return max(seen.assets.get(account, ()), default=PAGE)


def count(words: Words) -> int:
    """How many orders an account's answer holds: the length of its array."""
    return words.uint(1, 1) if words.ok[1] and words.count[1] >= 2 else 0


def more(accounts: Sequence[str], parts: Sequence[Words], seen: Seen) -> tuple[Seen, bool]:
    """What the next batch must know of accounts with many orders; whether one of them has more than were asked for,
    and so must be asked again."""
    many = {a: (count(w), page(seen, a)) for a, w in zip(accounts, parts, strict=True)}
    longer = {a: frozenset({MOST}) for a, (found, _) in many.items() if found >= PAGE}
    return Seen(assets=longer), any(found >= asked and asked < MOST for found, asked in many.values())


def waiting(slot: Slot, block: Block, words: Words, asked: int) -> tuple[PerpOrder, ...] | str:
    """The account's orders on this slot: what waits, and what rests; why not where ``asked`` may not be all."""
    if not words.ok[1]:
        return f"the orders could not be read from {slot.reader}"
    if count(words) >= asked:
        return f"the account has {asked} orders or more: one that waits may be among those that were not read"
    try:
        (found,) = abi_decode([_ORDERS], words.data(1))
    except (DecodingError, OverflowError, ValueError) as error:
        return f"the orders do not decode ({type(error).__name__})"
    orders = []
    for at, (addresses, numbers, flags, _) in found:
        if int(addresses[5], 16) != int(slot.market, 16) or bool(flags[0]) != slot.long:
            continue
        # what is paid in another token and swapped on its way may end in this one: where, the order does not say
        swapped = numbers[0] in INCREASES and bool(addresses[7])
        if int(addresses[6], 16) != int(slot.collateral.address, 16) and not swapped:
            continue
        orders.append(
            PerpOrder(
                key="0x" + at.hex(),
                kind=numbers[0],
                size_usd=numbers[2],
                margin=numbers[3],
                trigger_price=numbers[4],
                age_s=max(0, block.timestamp_s - numbers[9]),
                resting=numbers[0] in RESTING,
                frozen=flags[2],
            )
        )
    return tuple(orders)


def granted(slot: Slot, account: str, words: Words, timestamp_s: int = 0) -> Acting:
    """What the owner allows; what could not be read is not allowed. ``timestamp_s``: of the words' block."""
    if slot.own:
        # nobody's leave is asked of the owner's own key: what it may not is another account's
        mine = slot.subaccount.lower() == account.lower()
        most = UINT256_MAX if mine else 0
        return Acting(subaccount=slot.subaccount, allowed=mine, until_s=most, actions_left=most)
    n = [0] * 4
    if slot.subaccount != book.ZERO:
        n = [words.uint(i) if words.ok[i] and words.count[i] else 0 for i in range(2, 6)]
    bounds = perp_bounded.bounds_from(slot.executor, words, BOUNDS, timestamp_s) if slot.executor else None
    return Acting(
        subaccount=slot.subaccount,
        allowed=bool(n[0]) and (bounds is not None or not slot.executor),
        until_s=n[1],
        actions_left=max(0, n[2] - n[3]),
        bounds=bounds,
    )
