"""``keeper replay``: a price history through the same rooms: who is liquidated, and what each keeper costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from keeper.cli import arguments, subject

Prices = Annotated[
    list[Path], typer.Option("--prices", help="Bars (parquet or CSV); again for another file of symbols.")
]
Accounts = Annotated[
    Path | None,
    typer.Option("--accounts", help="A CSV of accounts by asset, or a folder of them (see docs)."),
]
Symbols = Annotated[str, typer.Option("--symbol", help="Which of the files' symbols: ETH/USDT,BTC/USDT.")]
First = Annotated[str, typer.Option("--from", help="UTC, e.g. 2021-05-18.")]
Last = Annotated[str, typer.Option("--to", help="UTC; bars that open before.")]
Fields = Annotated[str, typer.Option("--field", help="What feeds see of a bar, in order: low,high,close.")]
FeedOption = Annotated[
    str, typer.Option("--feed", help="chainlink (deviation and heartbeat), every, or osm.")
]
Hold = Annotated[str, typer.Option("--hold", help="Assets without prices whose first value is held.")]
Keepers = Annotated[str, typer.Option("--keepers", help="Which of them, by name; all five unless given.")]
PolicyName = Annotated[
    str, typer.Option("--policy", help="A policy of the configuration, for all positions.")
]
BesideName = Annotated[
    str, typer.Option("--beside", help="Another policy of the configuration, in the same run for comparison.")
]
Wallet = Annotated[
    str, typer.Option("--wallet", help="Tokens that ours has beside each account: USDC=10000,WETH=5.")
]
KEEPERS = "nobody,threshold,cdp_keeper,ladder,ours"
OF_POLICY = "with --config alone each position's policy says"
Trigger = Annotated[
    float | None,
    typer.Option("--trigger", help="Health below which keepers act.", show_default=f"1.25; {OF_POLICY}"),
]
Target = Annotated[
    float | None,
    typer.Option("--target", help="Health that they restore.", show_default=f"1.4; {OF_POLICY}"),
]
OwnLevels = Annotated[
    bool, typer.Option("--own-levels", help="Each account's own, by what its assets can do.")
]
Gas = Annotated[str, typer.Option("--gas", help="Gwei in calm and in a storm: 20:1000.")]
GasFile = Annotated[
    Path | None,
    typer.Option("--gas-file", help="Gas as it was, in place of --gas: ts, gwei; parquet or CSV."),
]
Depth = Annotated[
    str, typer.Option("--depth", help="USD that move a price by 2 %: ETH=4e7,BTC=4e7,*=4e6; the rest stays.")
]
Delay = Annotated[str, typer.Option("--delay", help="Seconds until inclusion in calm and in a storm: 24:72.")]
Bonus = Annotated[
    str, typer.Option("--bonus", help="Liquidators' per cent by collateral: ETH=5,BTC=6.25,*=7.5.")
]
Interest = Annotated[str, typer.Option("--interest", help="A year, on debt and collateral: 0.04:0.02.")]
Peg = Annotated[
    str,
    typer.Option(
        "--peg", help="Feeds that stand at one dollar, and what markets say: USDC=USDC/USD+USDC/USDT."
    ),
]
Funding = Annotated[
    Path | None,
    typer.Option("--funding", help="Rates of perps (ts, symbol, rate): for perps and the early warning."),
]
Sample = Annotated[int, typer.Option("--sample", help="So many accounts by chance; 0 all.", min=0)]
Seed = Annotated[int, typer.Option("--seed", help="Of the chance.")]
Keep = Annotated[
    Path | None, typer.Option("--keep", help="Results as they come; a killed run goes on there.")
]
Report = Annotated[Path | None, typer.Option("--report", help="Write an HTML page with plots.")]
Figure = Annotated[
    Path | None,
    typer.Option("--figure", help="Write one SVG: price and health of the account that loses most."),
]
Sweep = Annotated[bool, typer.Option("--sweep", help="A grid of triggers and targets, and its frontier.")]
Triggers = Annotated[str, typer.Option("--triggers", help="Of the sweep.")]
Widths = Annotated[str, typer.Option("--widths", help="Of the sweep: target above trigger.")]
Folds = Annotated[int, typer.Option("--folds", help="Of the sweep: parts judged one by one.", min=1, max=24)]
OnChain = Annotated[bool, typer.Option("--chain", help="Drive it through anvil as well, and compare.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options as given."""

    prices: list[Path]
    accounts: Path | None
    config: Path
    book: Path | None
    symbol: str
    first: str
    last: str
    field: str
    feed: str
    hold: str
    keepers: str
    policy: str
    beside: str
    wallet: str
    trigger: float | None
    target: float | None
    own_levels: bool
    gas: str
    gas_file: Path | None
    depth: str
    delay: str
    bonus: str
    interest: str
    peg: str
    funding: Path | None
    sample: int
    seed: int
    keep: Path | None
    report: Path | None
    figure: Path | None
    sweep: bool
    triggers: str
    widths: str
    folds: int
    chain: bool
    json: bool


def command(
    prices: Prices,
    accounts: Accounts = None,
    config: arguments.Config = arguments.CONFIG,
    book: subject.BookOption = None,
    symbol: Symbols = "",
    first: First = "",
    last: Last = "",
    field: Fields = "low,close",
    feed: FeedOption = "chainlink",
    hold: Hold = "",
    keepers: Keepers = KEEPERS,
    policy: PolicyName = "",
    beside: BesideName = "",
    wallet: Wallet = "",
    trigger: Trigger = None,
    target: Target = None,
    own_levels: OwnLevels = False,
    gas: Gas = "20:1000",
    gas_file: GasFile = None,
    depth: Depth = "",
    delay: Delay = "24:72",
    bonus: Bonus = "",
    interest: Interest = "0:0",
    peg: Peg = "",
    funding: Funding = None,
    sample: Sample = 0,
    seed: Seed = 0,
    keep: Keep = None,
    report: Report = None,
    figure: Figure = None,
    sweep: Sweep = False,
    triggers: Triggers = "1.05,1.10,1.15,1.20,1.25,1.30",
    widths: Widths = "0.03,0.06,0.10,0.15,0.25",
    folds: Folds = 4,
    chain: OnChain = False,
    json: arguments.Json = False,
) -> None:
    """Replay a price history on positions: yours, a book's, or a folder of accounts.

    Each keeper sees only what a feed has said by then; acts land after a delay, pay gas that rises in a fall, and
    sell into a market of stated depth. Liquidators act at once. Every keeper has the same trigger and target, no
    wallet money (ours: --wallet; cdp_keeper: a tenth of the debt), and limits that do not bind; each position of
    --config has those of the policy that guards it, its caps with them. Exits with 1 when ours left an account to
    liquidators, or when the chain disagrees with the paper.

    Example: keeper replay --prices eth_1m.parquet --symbol ETH/USDT --accounts accounts.csv.gz --from 2021-05-18
    """
    asked = Asked(**locals())
    from keeper.cli import replayed

    raise typer.Exit(replayed.run(asked))
