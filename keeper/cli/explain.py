"""``keeper explain``: the chain of whys of one position or one plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli import arguments

if TYPE_CHECKING:
    from keeper.config import PositionSettings, Settings, VenueSettings
    from keeper.journal.read import Reader
    from keeper.model import Entry, Intent, PositionId

ENTRIES_MAX = 2000
"""How far back a position's story is read."""
CHAIN_WIDE = frozenset({"blind", "broken", "quorum_lost"})
"""Alarms that concern every position of their chain, whatever their subject."""
NEVER_SEEN = "never seen yet; start `keeper run`"


def command(
    subject: Annotated[str, typer.Argument(help="A position (label or id) or a plan (position#seq).")],
    config: arguments.Config = arguments.CONFIG,
    dry_run: arguments.DryJournal = False,
    json: arguments.Json = False,
) -> None:
    """Tell why, for one position or plan.

    Prints what the keeper saw, decided, refused and did, or why it did nothing; then alarms that stand, and
    the age of the last block seen on the position's chain. Exits with 1 when that chain was never seen, or no
    journal exists yet.

    Example: keeper explain position-1
    """
    from keeper.cli import table
    from keeper.cli.endings import say, usage
    from keeper.cli.journal import entry_json
    from keeper.config import load
    from keeper.errors import EXIT_FINDINGS

    settings = load(config)
    with open_journal(config, dry_run=dry_run) as reader:
        id, seq = _named(subject, settings)
        intents = tuple(i for i in reader.intents(id) if seq is None or i.key.seq == seq)
        entries = _story(reader, id, seq, intents)
        last = reader.newest_entry("tick", id.chain_id)
        standing = _standing(reader, id, settings)
    if not (entries or intents):
        if seq is not None or not _guarded(id, settings):
            raise usage("SUBJECT", f'"{subject}" is not in the journal; see keeper journal for what is')
        if last is not None:
            say(f"{subject}: no level changed and nothing had to be decided")
    if json:
        body: dict[str, object] = {"subject": subject, "entries": [entry_json(e) for e in entries]}
        body |= {"intents": [intent_json(i) for i in intents]}
        body |= {"standing": [entry_json(e) for e in standing], "last_tick": last and entry_json(last)}
        print(table.document(body))
    else:
        print("\n".join([*story_lines(entries, intents), *now_lines(standing, last)]))
    if last is None:
        raise typer.Exit(EXIT_FINDINGS)


def open_journal(config: Path, *, dry_run: bool) -> Reader:
    """The journal of ``config`` for reading; the dry-run's own one when asked. Raises ConfigError.

    Ends with 1 where no daemon has written one yet: nothing is wrong with the configuration, nothing was seen.
    """
    from dataclasses import replace

    from keeper.cli.endings import say
    from keeper.config import load
    from keeper.errors import EXIT_FINDINGS
    from keeper.journal.read import Reader

    settings = load(config)
    asked = replace(settings, mode="dry-run") if dry_run else settings
    if not asked.journal_path.exists():
        say(f"{asked.journal_path}: {no_journal(asked, config)}")
        raise typer.Exit(EXIT_FINDINGS)
    return Reader.open(asked.journal_path)


def no_journal(settings: Settings, config: Path) -> str:
    """What to do where the journal of the mode asked for does not exist."""
    from dataclasses import replace

    told = f"no journal yet, so nothing was ever seen in {settings.mode}"
    dry = replace(settings, mode="dry-run")
    if settings.mode == "live" and dry.journal_path.exists():
        return f"{told}; a dry-run has left one: add --dry-run to read that"
    option = " --dry-run" if settings.mode == "dry-run" else ""
    return f"{told}; start `keeper run --config {config}{option}` and ask again after its first block"


def _named(subject: str, settings: Settings) -> tuple[PositionId, int | None]:
    """The position, and the seq of a plan, that ``subject`` names. Exit 2 when it names neither."""
    from keeper.cli.endings import usage
    from keeper.model import PositionId

    text, _, seq = subject.partition("#")
    labelled = next((p for p in settings.positions if p.label == text), None)
    try:
        id = PositionId.parse(text) if labelled is None else _id(labelled, settings)
        return id, int(seq) if seq else None
    except ValueError:
        labels = ", ".join(p.label for p in settings.positions)
        raise usage("SUBJECT", f'"{subject}" is neither a label ({labels}), a position nor a plan') from None


def _id(position: PositionSettings, settings: Settings) -> PositionId:
    """The identity that the daemon gives a configured position."""
    from keeper.model import PositionId

    venue = settings.venue(position.venue)
    chain_id = settings.chain(venue.chain).chain_id
    return PositionId(venue=venue.kind, chain_id=chain_id, account=position.account, key=_key(venue))


def _key(venue: VenueSettings) -> str:
    """The market as its venue names it: itself, or the one of many that the configuration says."""
    from keeper import kinds

    if venue.market is None:
        return venue.provider
    if (kind := kinds.kind(venue.kind)) is not None and kind.vaults:
        return bytes.fromhex(venue.market[2:]).rstrip(b"\0").decode("ascii", "replace")
    return venue.market.replace(":", "/")


def _guarded(id: PositionId, settings: Settings) -> bool:
    return any(_id(p, settings) == id for p in settings.positions)


def _story(reader: Reader, id: PositionId, seq: int | None, intents: tuple[Intent, ...]) -> tuple[Entry, ...]:
    """Entries about the position and its plans; of one plan only those from its block on."""
    found = list(reader.entries(subject=str(id), limit=ENTRIES_MAX, newest=True))
    if seq is not None:
        blocks = {i.plan.block.number for i in intents}
        found = [e for e in found if e.block_number in blocks]
    for intent in intents:
        found += reader.entries(subject=str(intent.key), limit=ENTRIES_MAX, newest=True)
    return tuple(sorted(found, key=lambda e: e.id))


def _standing(reader: Reader, id: PositionId, settings: Settings) -> tuple[Entry, ...]:
    """Alarms about the position, or its whole chain, raised since the daemon's last start and not cleared."""
    names = {c.name for c in settings.chains if c.chain_id == id.chain_id}
    start = reader.entries("start", "", limit=1, newest=True)
    since_id = start[-1].id if start else 0
    standing: dict[tuple[str, str], Entry] = {}
    for e in reader.entries("alarm", since_id=since_id, limit=ENTRIES_MAX, newest=True):
        code = str(e.data.get("code"))
        whole_chain = e.subject in names or code in CHAIN_WIDE
        if e.chain_id != id.chain_id or not (whole_chain or e.subject == str(id)):
            continue
        if e.data.get("severity") == "CLEARED":
            standing.pop((code, e.subject), None)
        else:
            standing[code, e.subject] = e
    return tuple(standing.values())


def now_lines(standing: tuple[Entry, ...], last: Entry | None) -> list[str]:
    """What is wrong at this moment, and how old the newest block is that anything here is known from."""
    from keeper.clock import SystemClock

    lines = [f"standing {e.data.get('severity')} {e.data.get('code')}: {e.why}" for e in standing]
    if last is None:
        return [*lines, NEVER_SEEN]
    age_s = max(0.0, SystemClock().now_s() - last.at_s)
    return [*lines, f"last block seen: {last.block_number}, {age_text(age_s)} ago: {last.why}"]


def age_text(age_s: float) -> str:
    """``42 s``, ``12 min``, ``3.5 h``, ``2.0 days``."""
    if age_s < 120:
        return f"{age_s:.0f} s"
    if age_s < 7200:
        return f"{age_s / 60:.0f} min"
    return f"{age_s / 3600:.1f} h" if age_s < 172_800 else f"{age_s / 86_400:.1f} days"


def story_lines(entries: tuple[Entry, ...], intents: tuple[Intent, ...]) -> list[str]:
    """The story for people: entries in order, then each plan with what became of it."""
    from keeper.cli.journal import utc_text

    lines = []
    for first, last, times in runs(entries):
        blocks = f"block {first.block_number}" + (f" to {last.block_number}" if times > 1 else "")
        often = f" ({times} times)" if times > 1 else ""
        lines.append(f"{utc_text(first.at_s)}  {blocks}  {first.kind}: {first.why}{often}")
        if first.kind == "decision":
            lines += [f"    {line}" for line in weighing(last.data)]
    for intent in intents:
        lines += ["", f"plan {intent.key}: {intent.state.value}", f"  {intent.plan.why}"]
        lines += [
            f"  sent in block {a.sent_block} with nonce {a.nonce}, attempt {a.n}: {a.hash}"
            for a in intent.attempts
        ]
        if intent.why and intent.why != intent.plan.why:
            lines.append(f"  {intent.why}")
    return lines


def weighing(data: Mapping[str, object]) -> list[str]:
    """What was weighed, from a decision's data: the way taken by cost, doing nothing, and each alternative."""
    chosen, rejected = _records(data.get("chosen")), _records(data.get("rejected"))
    lines = [f"takes {p.get('strategy')}: {_parts(p)}" for p in chosen]
    stake = data.get("stake")
    if isinstance(stake, Mapping) and (chosen or rejected):
        lines.append(_nothing(stake))
    for r in rejected:
        cost = r.get("cost_usd")
        told = f" for {_usd(cost)}" if isinstance(cost, int | float) else ""
        lines.append(f"not {r.get('strategy') or 'anything'}{told}: {r.get('code')}: {r.get('why')}")
    return lines


def _parts(proposal: Mapping[str, object]) -> str:
    """``$12.30 = gas $6.00 + swap $5.80 + flash fee $0.50``."""
    flash = _number(proposal, "flash_usd")
    parts = {"gas": _number(proposal, "gas_usd"), "swap": _number(proposal, "swap_usd") - flash}
    parts |= {"flash fee": flash, "idle capital": _number(proposal, "idle_usd")}
    told = " + ".join(f"{name} {_usd(usd)}" for name, usd in parts.items() if usd or name == "gas")
    return f"{_usd(_number(proposal, 'cost_usd'))} = {told}"


def _nothing(stake: Mapping[str, object]) -> str:
    chance, loss = _number(stake, "chance"), stake.get("loss_usd")
    if not isinstance(loss, int | float):
        return f"doing nothing: chance {chance:.0%} of a liquidation, whose loss nobody knows"
    told = f"chance {chance:.0%} x loss {_usd(loss)} (bonus forgone) = {_usd(chance * loss)} expected"
    return f"doing nothing: {told}: the way, not whether"


def _records(value: object) -> list[Mapping[str, object]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []


def _number(of: Mapping[str, object], name: str) -> float:
    value = of.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _usd(value: float) -> str:
    from keeper.phrases import usd_text

    return usd_text(value)


def runs(entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, Entry, int]]:
    """(first, last, how many) of each run of entries that say the same about the same, one after another.

    A night in which nothing can be done repeats its decision every block; one line tells it better than 300.
    """
    for _, group in groupby(entries, key=lambda e: (e.kind, e.subject, e.why)):
        same = tuple(group)
        yield same[0], same[-1], len(same)


def intent_json(intent: Intent) -> dict[str, object]:
    """One intent as JSON; the signed bytes stay in the journal."""
    return {
        "key": str(intent.key),
        "state": intent.state.value,
        "strategy": intent.plan.strategy,
        "why": intent.plan.why,
        "what_became_of_it": intent.why,
        "block_number": intent.plan.block.number,
        "attempts": [
            {
                "n": a.n,
                "nonce": a.nonce,
                "hash": a.hash,
                "sent_block": a.sent_block,
                "gas_limit": a.fee.gas_limit,
                "max_fee_wei": str(a.fee.max_fee_wei),
                "tip_wei": str(a.fee.tip_wei),
            }
            for a in intent.attempts
        ],
    }
