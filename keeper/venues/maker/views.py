"""What the vault system says of a vault, past our reader."""

from __future__ import annotations

from keeper.model import Position
from keeper.units import RAY, UINT256_MAX, WAD
from keeper.venues.aave_v3.book import selector, word
from keeper.venues.asking import Asking, Fact, Ours, need, reason, words_of
from keeper.venues.maker import Maker, book

DRIP = selector("drip(bytes32)")
BARK = selector("bark(bytes32,address,address)")
NOT_UNSAFE = "Dog/not-unsafe"
"""Why Dog.bark refuses."""


async def facts(venue: Maker, account: str, found: Position | None, asking: Asking) -> tuple[Fact, ...]:
    """The Vat's integers with the fees that ``Jug.drip`` adds; whether ``Dog.bark`` takes the vault then, or after a
    poke besides.
    """
    ours = Ours.of(found)
    m = venue.market
    key = bytes.fromhex(m.ilk[2:])
    jug, dog = m.jug, m.dog
    answers = await asking.together(
        [
            book.ask(jug, DRIP, key),
            book.ask(m.vat, book.ILKS, key),
            book.ask(m.vat, book.URNS, key, word(account)),
            book.ask(dog, BARK, key, word(account), word(account)),
            book.ask(m.spotter, book.POKE, key),
            book.ask(m.vat, book.ILKS, key),
            book.ask(dog, BARK, key, word(account), word(account)),
        ]
    )
    need("Jug.drip", answers[0])
    _, rate, spot = words_of("Vat.ilks", need("Vat.ilks", answers[1]), 3)
    ink, art = words_of("Vat.urns", need("Vat.urns", answers[2]), 2)
    # nobody is liquidated by a void price
    spot = min(spot, words_of("Vat.ilks", need("Vat.ilks", answers[5]), 3)[2] or spot)
    verdicts = answers[3], answers[6]
    unsafe = spot > 0 and ink * spot < art * rate
    if any(barks for barks, _ in verdicts) or all(NOT_UNSAFE in reason(why) for _, why in verdicts):
        unsafe = any(barks for barks, _ in verdicts)
    return (
        Fact(what="ink", ours=sum(h.stored for h in ours.given), venue=ink),
        Fact(what="art", ours=sum(h.stored for h in ours.owed), venue=art),
        Fact(what=f"debt, {m.dai.symbol}", ours=ours.debt_units, venue=-(-art * rate // RAY)),
        Fact(
            what="health, wad",
            ours=ours.health_wad,
            venue=ink * spot * WAD // (art * rate) if art else UINT256_MAX,
        ),
        Fact(what="liquidatable", ours=ours.low, venue=unsafe),
    )
