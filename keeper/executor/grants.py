"""What an owner signs so that a keeper may sell through the Executor: calls with their meaning in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.executor.abi import TERMS, UINT112_MAX, selector
from keeper.executor.seat import Permit
from keeper.model import Call, Policy, Side, Terms, Token
from keeper.phrases import minute_text
from keeper.units import BPS, WAD, decimal_text

SET_POSITION = selector(f"setPosition(bytes32,{TERMS})")
SET_ASSET = selector("setAsset(bytes32,address,uint8,uint112,uint112)")
SET_BOT = selector("setBot(address,uint16,uint40)")
SET_ROUTER = selector("setRouter(address,bool)")
SET_GUARDIAN = selector("setGuardian(address)")
ANNOUNCE = selector("announce(bytes32)")
APPROVE = selector("approve(address,uint256)")
DAY_S = 86_400
TERM_S = 90 * DAY_S
"""A grant lasts at least so long, then it is renewed or it ends by itself."""
GRID_S = 30 * DAY_S
"""Its end lies on a grid of so long: what was announced a day ago is still the same call today."""
TERM_S_MAX = 400 * DAY_S
"""Policies.TERM_MAX."""
SLIPPAGE_BPS, FLASH_FEE_BPS = 100, 10
SALE = "deleverage"
"""The strategy that restores a target by a sale."""
MARGIN_MIN_WAD, SLACK_MIN_WAD, HYSTERESIS_MIN_WAD = 2 * WAD // 1000, 2 * WAD // 100, WAD // 1000
"""Policies.MARGIN_MIN, SLACK_MIN, HYSTERESIS_MIN: what the contract asks between trigger and target, target and
max, and of the hysteresis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """One transaction of the owner's, and what it means."""

    call: Call
    signs: str
    meaning: str
    loosens: bool = False
    """Whether the Executor takes it only when it was announced a day before, as it stands now."""

    @property
    def announcement(self) -> str:
        """What ``announce`` takes a day before, once the hour after deployment is over."""
        return "0x" + keccak(self.call.data).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stands:
    """What the Executor says already. The plain one says nothing: it is new, or still to be deployed."""

    late: bool = False
    """The hour after its deployment is over: what loosens is announced a day before."""
    terms: Terms | None = None
    caps: Mapping[tuple[str, Side], tuple[int, int]] = field(default_factory=dict)
    """(token, side) -> caps of selling and of paying in, of what is listed."""
    bots: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Bot -> share of every cap in bps, and when its term ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be allowed: which position, to whom, for how much, until when."""

    executor: str
    key: str
    policy: Policy
    until_s: int
    bots: Mapping[str, int]
    """Bot -> its share of every cap, bps; the first is the keeper's own wallet."""
    collateral: Mapping[Token, int]
    """Token -> units that may be sold, in an epoch and in all."""
    receipts: Mapping[Token, str]
    """Token -> the protocol's own token for it, of which the owner allows as much."""
    debt: Sequence[Token]
    reserve: Mapping[Token, int] = field(default_factory=dict)
    """Token -> units that may be paid in: a day, and out of the owner's wallet in all."""
    permit: Permit | None = None
    """The grant of a protocol that has none but a whole one."""
    guardian: str = ""
    routers: Mapping[str, str] = field(default_factory=dict)
    """Router -> what it is for, of those that the configuration names and the owner has not allowed yet."""
    stands: Stands = field(default_factory=Stands)
    line: tuple[int, int] = (1, 1)
    """(The loan-to-value that the Executor measures health by, the stricter one that the policy's healths are by)."""
    lag: tuple[int, int] = (1, 1)
    """``Seat.lag``: the Executor measures by a price that falls later than the policy's."""
    slippage_bps: int = SLIPPAGE_BPS
    """How much less than the oracle's price a sale may bring: what a stolen key can take, and what a falling market
    takes between decision and block."""


def until(now_s: int) -> int:
    """When a grant of now ends, where nothing else is said: the same for a month of asking."""
    return -(-(now_s + TERM_S) // GRID_S) * GRID_S


def day(at_s: int) -> str:
    """A time as people write it."""
    return minute_text(at_s)


def signings(wish: Wish) -> tuple[Signing, ...]:
    """Everything to sign, in its order: terms, tokens, guardian, bots, routers, and last the grant itself."""
    return (
        _position(wish),
        *(_asset(wish, token, side) for token, side in sides(wish)),
        *([_guardian(wish)] if wish.guardian else []),
        *(_bot(wish, bot, share) for bot, share in wish.bots.items()),
        *(_router(wish, router, use) for router, use in wish.routers.items()),
        *(_approval(wish, token, units) for token, units in wish.collateral.items() if wish.permit is None),
        *([_permit(wish, wish.permit)] if wish.permit is not None and wish.collateral else []),
        *(_purse(wish, token, units) for token, units in wish.reserve.items()),
    )


def announcements(wanted: Sequence[Signing]) -> tuple[Signing, ...]:
    """What is signed a day before those of them that loosen."""
    return tuple(
        Signing(
            call=Call(target=s.call.target, data=ANNOUNCE + keccak(s.call.data)),
            signs=f"announce({s.announcement})",
            meaning=f"a day later this may be signed: {s.signs}: {s.meaning}",
        )
        for s in wanted
        if s.loosens
    )


def sides(wish: Wish) -> list[tuple[Token, Side]]:
    """What is listed: what may be sold, the debts, and what is paid in without being either."""
    found = [(t, Side.COLLATERAL) for t in wish.collateral] + [(t, Side.DEBT) for t in wish.debt]
    named = {t for t, _ in found}
    return found + [(t, Side.COLLATERAL) for t in wish.reserve if t not in named]


def terms(policy: Policy, until_s: int, slippage_bps: int = SLIPPAGE_BPS) -> tuple[int, ...]:
    """The struct ``Position`` of a policy: its thresholds, one epoch a day, the usual bounds on price.

    Of a ladder that sells the lowest rung is the target: above emergency the contract takes no sale that ends below.
    """
    least = policy.trigger_wad + max(policy.hysteresis_wad, MARGIN_MIN_WAD)
    target = max(policy.target_wad, least)
    return (
        policy.trigger_wad,
        least if sells_by_rungs(policy) else target,
        max(policy.max_health_wad, target + SLACK_MIN_WAD),
        policy.emergency_wad,
        max(policy.hysteresis_wad, HYSTERESIS_MIN_WAD),
        max(1, policy.cooldown_blocks),
        DAY_S,
        until_s,
        slippage_bps,
        FLASH_FEE_BPS,
        0,
        0,
    )


def sells_by_rungs(policy: Policy) -> bool:
    """Whether sales above emergency go part of the way to target."""
    return policy.ladder and SALE in policy.strategies


def transaction_builder(
    chain_id: int, safe: str, wanted: Sequence[Signing], name: str = "keeper: allow sales"
) -> dict[str, object]:
    """The file that Safe's Transaction Builder imports: every call, and in its description what each means."""
    meaning = "; ".join(f"{i}. {s.signs}: {s.meaning}" for i, s in enumerate(wanted, 1))
    return {
        "version": "1.0",
        "chainId": str(chain_id),
        "meta": {"name": name, "description": meaning, "createdFromSafeAddress": safe},
        "transactions": [
            {
                "to": s.call.target,
                "value": "0",
                "data": "0x" + s.call.data.hex(),
                "contractMethod": None,
                "contractInputsValues": None,
            }
            for s in wanted
        ],
    }


def _position(wish: Wish) -> Signing:
    lags = wish.lag[0] < wish.lag[1]
    # the room between trigger and target is what lets the Executor act ahead of the next price: no rung in it
    policy = replace(wish.policy, ladder=False) if lags else wish.policy
    body, old = _by_line(terms(policy, wish.until_s, wish.slippage_bps), wish.line), wish.stands.terms
    body = _ahead(body, wish.lag)
    trigger, target, most, emergency = (decimal_text(n, 18) for n in body[:4])
    lost = f"{wish.slippage_bps / 100:g} %"
    new = Terms(**dict(zip(Terms.__slots__, body, strict=True)))
    return Signing(
        call=Call(
            target=wish.executor,
            data=SET_POSITION + encode(["bytes32", TERMS], [bytes.fromhex(wish.key[2:]), body]),
        ),
        signs=f"setPosition({wish.key}, {body})",
        meaning=f"sales below health {trigger}, back to {target}{_rungs(wish, policy)} and never past {most}; "
        f"partial ones and a cooldown of one block below {emergency}; at most {lost} worse than "
        f"the oracle's price; until {day(wish.until_s)}{_foreseen(wish, new)}",
        loosens=wish.stands.late and (old is None or old.trigger_wad == 0 or _looser(new, old)),
    )


def _rungs(wish: Wish, policy: Policy) -> str:
    """Of a ladder: how far the keeper goes, since the contract knows one target."""
    if not sells_by_rungs(wish.policy):
        return ""
    if not sells_by_rungs(policy):
        return " (the ladder's rungs are not sold to: the room above the trigger is kept for the next price)"
    own, strict = wish.line
    whole = decimal_text(-(-wish.policy.target_wad * own // strict), 18)
    return f" at the least (the ladder's lowest rung; the keeper goes up to {whole} the nearer emergency is)"


def _by_line(body: tuple[int, ...], line: tuple[int, int]) -> tuple[int, ...]:
    """The five healths of a struct ``Position`` by the Executor's own line, rounded up; the target at least as far
    above the trigger as the contract asks, by whose roundings it may be a wei short.
    """
    own, strict = line
    trigger, target, most, emergency, hysteresis = (-(-wad * own // strict) for wad in body[:5])
    target = max(target, trigger + max(hysteresis, MARGIN_MIN_WAD))
    return (trigger, target, max(most, target + SLACK_MIN_WAD), emergency, hysteresis, *body[5:])


def _ahead(body: tuple[int, ...], lag: tuple[int, int]) -> tuple[int, ...]:
    """Trigger and emergency as much higher as the Executor's price lags, the trigger up to just below the target, and
    what no action may pass as much higher: the target itself stays, so nothing more is sold while the prices agree.
    """
    trigger, target, most, emergency, hysteresis, *rest = body
    least, whole = lag
    if least >= whole:
        return body
    trigger = max(trigger, min(-(-trigger * whole // least), target - max(hysteresis, MARGIN_MIN_WAD)))
    emergency = min(-(-emergency * whole // least), (emergency + trigger) // 2)
    return (trigger, target, -(-most * whole // least), emergency, hysteresis, *rest)


def _foreseen(wish: Wish, on_chain: Terms) -> str:
    """Of a price that is known before it counts: the fall down to which the Executor admits what the policy wants."""
    if wish.lag[0] >= wish.lag[1]:
        return ""
    own, strict = wish.line
    wanted = -(-wish.policy.trigger_wad * own // strict)
    bps = BPS - -(-wanted * BPS // on_chain.trigger_wad)
    return (
        f"; a next price up to {bps / 100:g} % lower than the one that counts can be acted on ahead of it (paying "
        "in; a sale only while the market is within the slippage of the one that counts), a deeper one when it counts"
    )


def _looser(new: Terms, old: Terms) -> bool:
    """``Policies.looser``."""
    return (
        new.slippage_bps > old.slippage_bps
        or new.flash_fee_bps > old.flash_fee_bps
        or new.epoch_s < old.epoch_s
        or new.cooldown_blocks < old.cooldown_blocks
    )


def _asset(wish: Wish, token: Token, side: Side) -> Signing:
    """Its caps; one that is not named now stays what it is."""
    old = wish.stands.caps.get((token.address, side))
    was = old or (0, 0)
    sell = min(wish.collateral.get(token, was[0]), UINT112_MAX) if side is Side.COLLATERAL else 0
    fund = was[1]
    if side is Side.DEBT or token not in wish.debt:  # of a token that is both, what is kept repays
        fund = min(wish.reserve.get(token, was[1]), UINT112_MAX)
    body = [bytes.fromhex(wish.key[2:]), token.address, int(side), sell, fund]
    said = [f"{token.symbol} debt may be repaid with what is sold"] if side is Side.DEBT else []
    if sell:
        said.append(f"at most {decimal_text(sell, token.decimals)} {token.symbol} may be sold a day")
    if fund:
        text = f"at most {decimal_text(fund, token.decimals)} {token.symbol} of yours may be paid in a day"
        said.append(f"{text}, from what the Executor keeps and then from your wallet")
    return Signing(
        call=Call(
            target=wish.executor,
            data=SET_ASSET + encode(["bytes32", "address", "uint8", "uint112", "uint112"], body),
        ),
        signs=f"setAsset({wish.key}, {token.address}, {int(side)}, {sell}, {fund})",
        meaning="; ".join(said) or f"{token.symbol} is listed, and may not be moved",
        loosens=wish.stands.late and (old is None or sell > was[0] or fund > was[1]),
    )


def _guardian(wish: Wish) -> Signing:
    return Signing(
        call=Call(target=wish.executor, data=SET_GUARDIAN + encode(["address"], [wish.guardian])),
        signs=f"setGuardian({wish.guardian})",
        meaning=f"{wish.guardian} may pause the Executor, and nothing else",
    )


def _bot(wish: Wish, bot: str, share_bps: int) -> Signing:
    was = wish.stands.bots.get(bot, (0, 0))
    whole = "the whole" if share_bps == BPS else f"{share_bps / 100:g} %"
    who = "the keeper's wallet" if bot == next(iter(wish.bots)) else f"another keeper's wallet {bot}"
    return Signing(
        call=Call(
            target=wish.executor,
            data=SET_BOT + encode(["address", "uint16", "uint40"], [bot, share_bps, wish.until_s]),
        ),
        signs=f"setBot({bot}, {share_bps}, {wish.until_s})",
        meaning=f"{who} may act until {day(wish.until_s)}, up to {whole} of each cap",
        loosens=wish.stands.late and (share_bps > was[0] or wish.until_s > was[1]),
    )


def _router(wish: Wish, router: str, use: str) -> Signing:
    return Signing(
        call=Call(target=wish.executor, data=SET_ROUTER + encode(["address", "bool"], [router, True])),
        signs=f"setRouter({router}, true)",
        meaning=f"sales may go through {use}; whatever it does, at most {wish.slippage_bps / 100:g} % is lost "
        "against the oracle's price",
        loosens=wish.stands.late,
    )


def _approval(wish: Wish, token: Token, units: int) -> Signing:
    receipt = wish.receipts[token]
    return Signing(
        call=Call(target=receipt, data=APPROVE + encode(["address", "uint256"], [wish.executor, units])),
        signs=f"approve({wish.executor}, {units}) on {receipt}",
        meaning=f"the Executor may take {decimal_text(units, token.decimals)} {token.symbol} out of the position, "
        "all in all: the most that can ever be sold; 0 revokes",
    )


def _permit(wish: Wish, permit: Permit) -> Signing:
    given = any(wish.collateral.values())
    return Signing(
        call=permit.given(wish.executor, given),
        signs=f"{permit.name}({wish.executor}, {str(given).lower()}) on {permit.contract}",
        meaning=f"the protocol has no smaller grant: it lets the Executor do {permit.reach}; what a bot can make "
        "of it the Executor's own rules and caps bound"
        if given
        else "the Executor may do nothing for you there any more",
    )


def _purse(wish: Wish, token: Token, units: int) -> Signing:
    return Signing(
        call=Call(
            target=token.address, data=APPROVE + encode(["address", "uint256"], [wish.executor, units])
        ),
        signs=f"approve({wish.executor}, {units}) on {token.address}",
        meaning=f"the Executor may take {decimal_text(units, token.decimals)} {token.symbol} out of your wallet, all "
        "in all, and pay it into your position; 0 revokes (what you send to the Executor is used first)",
    )
