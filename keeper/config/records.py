"""What a validated keeper.toml holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from keeper.config.canary import CanarySettings
from keeper.config.pairing import HedgeKey, PairSettings
from keeper.config.telling import AlarmSettings, MetricsSettings, PageSettings, TelegramSettings
from keeper.model import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """One JSON-RPC endpoint. URLs may carry a token, so they never appear in a repr; ``name`` does."""

    name: str
    url: str
    ws_url: str | None
    rate_per_s: float
    concurrency: int
    private: bool = False
    """Transactions are sent to it, first and alone for a while; nothing is ever read from it."""
    send_method: str = "eth_sendRawTransaction"

    def __repr__(self) -> str:
        return f"EndpointSettings(name={self.name!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorSettings:
    """Whom to ask for a better price of a sale. Its URL may carry a token, so it never appears in a repr."""

    name: str
    url: str = field(repr=False)
    router: str
    """Its contract that is called and pulls the tokens; the owner must allow it too."""
    key_file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelockSettings:
    """A timelock to look at besides the known ones, or in their place."""

    kind: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerSettings:
    """An exchange that is asked for prices, by nobody's key."""

    name: str
    """One that we read ourselves, or ``ccxt:`` and its id there."""
    url: str | None = field(default=None, repr=False)
    """None: the exchange's public one."""
    market: str = ""
    """Through ccxt only: how it names a market; {BASE} and {QUOTE}, in small letters where it writes small ones."""
    quote: str = "USD"
    """What its prices are in: a dollar, or a token that stands for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSettings:
    """One chain and its endpoints in order of preference."""

    name: str
    chain_id: int
    block_time_s: float
    multicall: str
    native_token: str | None
    """Wrapped native token, listed on one of the venues: its feed prices gas."""
    endpoints: tuple[EndpointSettings, ...]
    """Those that are read from and broadcast to."""
    private: tuple[EndpointSettings, ...] = ()
    """Those that are only sent to, first."""
    private_blocks: int = 2
    """Blocks for which a transaction stays with them alone; one when urgent, none in an emergency."""
    mempool: bool = True
    """False: no fee outbids another, so the same bytes are sent again instead of dearer ones."""
    storm_gwei: float = 1_000.0
    """What a unit of gas may cost in a crash: the gas tank is measured by it."""
    uniswap_quoter: str | None = None
    """QuoterV2 of Uniswap v3: without it nothing is sold."""
    uniswap_router: str | None = None
    """SwapRouter of Uniswap v3: for sales through two pools, and stepwise ones, where the owner allows it."""
    swap_via: tuple[str, ...] = ()
    """Tokens that may stand between collateral and debt."""
    uptime_feed: str | None = None
    """Chainlink's feed that tells whether a rollup's sequencer runs; None: the one known of the chain, if any."""
    aggregator: AggregatorSettings | None = None
    """None: the pools themselves are sold to."""
    timelocks: tuple[TimelockSettings, ...] | None = None
    """None: those known of the chain; empty: none is looked at."""
    tickers: tuple[TickerSettings, ...] = ()
    """Empty: the market's price comes from pools on chain alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSettings:
    """One market, e.g. an Aave v3 market by its PoolAddressesProvider."""

    name: str
    kind: str
    chain: str
    provider: str
    market: str | None = None
    """The market's id where one contract holds many (Morpho Blue), 0x-hex in lower case."""
    usd_feed: str | None = None
    """What prices the loan token in dollars where the market itself does not: a feed, or an Aave oracle."""
    pre_liquidations: tuple[str, ...] = ()
    """PreLiquidation contracts of a Morpho market that owners may have authorised."""
    proxy: str | None = None
    """The keeper's own proxy (DSProxy), which pays into Maker vaults in one transaction."""
    vaults: tuple[int, ...] = ()
    """Numbers of the Maker vaults that are guarded; a position's account is its vault's address."""
    reader: str | None = None
    """GMX's Reader, where it is not the known one."""
    subaccount: str | None = None
    """The keeper's own wallet as the owners of GMX positions named it."""
    spread_bps: int = 0
    """By how much the on-chain feeds' answers are widened: GMX executes at signed prices that run ahead of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSettings:
    """One guarded position."""

    label: str
    venue: str
    account: str
    policy: str
    executor: str | None = None
    """The owner's Executor, through which collateral may be sold."""
    accept_thin_emergency: bool = False
    """One update of a feed may lead from emergency to liquidation, and the owner said that he knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletSettings:
    """The keeper's own wallet; the key is named by file only and needed only in live mode."""

    address: str | None
    keystore: Path | None
    password_file: Path | None
    signer: str = "in-process"
    """``in-process``, or ``unix:PATH`` of a signer in a process of its own, which then holds the key."""

    @property
    def signer_socket(self) -> Path | None:
        """The socket of a signer in a process of its own."""
        return Path(self.signer[5:]) if self.signer.startswith("unix:") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbySettings:
    """When this machine steps in for another one that guards the same positions with another key."""

    blocks: int
    """So many blocks low, with nobody acting, before it does."""
    margin_wad: int
    """Low is this far below the trigger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration, validated."""

    path: Path
    mode: str
    """``dry-run`` or ``live``."""
    state_dir: Path
    """Journal, control socket, numba cache live here."""
    chains: tuple[ChainSettings, ...]
    venues: tuple[VenueSettings, ...]
    positions: tuple[PositionSettings, ...]
    policies: tuple[Policy, ...]
    wallet: WalletSettings
    shocks_pct: tuple[float, ...]
    digest: str
    """Hash of what would loosen protection if changed; arming is bound to it."""
    alarms: AlarmSettings = field(default_factory=AlarmSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    page: PageSettings = field(default_factory=PageSettings)
    telegram: TelegramSettings = field(default_factory=TelegramSettings)
    canary: CanarySettings | None = None
    """None: nothing is rescued for practice."""
    standby: StandbySettings | None = None
    """None: this is the machine that acts first."""
    pairs: tuple[PairSettings, ...] = ()
    """Loans, and the shorts that hedge them."""
    hedge_keys: tuple[HedgeKey, ...] = ()
    """Of the pairs whose hedge may be signed for."""
    safe_mode: bool = False
    """No key of the file: the daemon sets it for itself after repeated crashes."""

    @property
    def journal_path(self) -> Path:
        """The SQLite journal; dry-run and live never share one."""
        return self.state_dir / ("journal.sqlite" if self.mode == "live" else "journal-dry-run.sqlite")

    @property
    def control_path(self) -> Path:
        """The daemon's control socket."""
        return self.state_dir / "control.sock"

    def chain(self, name: str) -> ChainSettings:
        """The chain of that name."""
        return next(c for c in self.chains if c.name == name)

    def venue(self, name: str) -> VenueSettings:
        """The venue of that name."""
        return next(v for v in self.venues if v.name == name)

    def policy(self, name: str) -> Policy:
        """The policy of that name."""
        return next(p for p in self.policies if p.name == name)
