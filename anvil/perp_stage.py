"""The stage of a story of perpetual positions: GMX v2's doubles, longs and shorts with twins, a keeper's home."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anvil import shock
from anvil.client import Chain
from anvil.deploy_gmx_v2 import CODE_SIZE_MAX, Gmx, allow, deploy_gmx_v2, size_of
from anvil.gmx_keepers import Pair, executed, moved, pair, taken
from anvil.node import Anvil, AnvilSettings
from anvil.perp_scenario import PerpScenario
from anvil.report import Story
from anvil.stage import CAPS, GENESIS_S, keystore

START_USD = 2_000
WALLET_WEI = 10**20
ACTIONS = 100
FOR_LONG = 10**10
"""Unix seconds that no story outlives."""
FIRST_ACCOUNT = 10
TERMS = {"warn": "1.08", "trigger": "1.05", "target": "1.07", "emergency": "1.02", "hysteresis": "0.005"}
"""In health: a perpetual's is near to price over liquidation price, so 1.05 is a move of about 5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """One liquidation by the double's own engine."""

    user: str
    loss_usd8: int
    """What its margin and profit were worth, less what came back: fees of the forced closing, at the feed's price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpStage:
    """Everything that a story of perpetual positions is played on."""

    folder: Path
    chain: Chain
    at: Gmx
    scenario: PerpScenario
    pairs: tuple[Pair, ...]
    config: Path
    gone: set[str] = field(default_factory=set)
    """Accounts whose position the engine took."""

    @property
    def story(self) -> Story:
        """What is told."""
        return Story(
            name=self.scenario.name,
            title=self.scenario.title,
            seconds_per_block=self.scenario.seconds_per_block,
            evidence="own_double",
            twins="a twin lost the fees of its forced closing beside what the price took, at the feed's price\n"
            "cost counts the fees sent for executions; what is left of them the venue returns to the owner",
        )

    @property
    def steps(self) -> tuple[str, ...]:
        """Why each update comes; empty where nothing is said."""
        return tuple(step.why for step in self.scenario.step)

    @property
    def tokens(self) -> dict[str, str]:
        """What the keeper grants, whole tokens by symbol."""
        return {"USDC": str(self.scenario.keeper_usdc)}

    def eth_usd(self, block_number: int) -> float:
        """What the chain's own coin cost at a block."""
        return int(self.chain.call(self.at.wnt_feed, "latestAnswer()(int256)", block=block_number)) / 1e8

    def submit(self, index: int) -> None:
        """Hand in the update, and the execution of orders that wait."""
        shock.set_base_fee(self.chain, self.scenario.base_fee_wei(index))
        moved(self.chain, self.at, START_USD * float(self.scenario.step[index].eth))
        executed(self.chain, self.at, [p.guarded for p in self.pairs])

    def race(self, index: int, *, dry_run: bool) -> tuple[Forced, ...]:
        """The block after it: orders are executed first, then the engine takes what it may."""
        shock.set_base_fee(self.chain, self.scenario.base_fee_wei(index))
        executed(self.chain, self.at, [p.guarded for p in self.pairs])
        both = [(account, p) for p in self.pairs for account in (p.guarded, p.twin)]
        open_ = [(a, p) for a, p in both if a not in self.gone]
        worth = {a: self._worth_usd8(p, a) for a, p in open_}
        held = {a: self._usdc(a) for a, _ in open_}
        taken(self.chain, self.at, [(a, p.long) for a, p in open_])
        self.chain.mine()
        done = []
        for account, p in open_:
            if any(size_of(self.chain, self.at, p.keys[account == p.twin])):
                continue
            self.gone.add(account)
            back_usd8 = (self._usdc(account) - held[account]) * 100
            done.append(Forced(user=account, loss_usd8=max(0, worth[account] - back_usd8)))
        return tuple(done)

    def _worth_usd8(self, p: Pair, account: str) -> int:
        """Margin and profit at the feed's price."""
        size, tokens, units = size_of(self.chain, self.at, p.keys[account == p.twin])
        price_usd8 = int(self.chain.call(self.at.wnt_feed, "latestAnswer()(int256)"))
        won = tokens * price_usd8 // 10**18 - size // 10**22
        return units * 100 + (won if p.long else -won)

    def _usdc(self, account: str) -> int:
        return int(self.chain.call(self.at.usdc, "balanceOf(address)(uint256)", account))


@contextmanager
def perp_stage(scenario: PerpScenario, folder: Path, *, mode: str) -> Iterator[PerpStage]:
    """Build it in ``folder``, and take it down again."""
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S, code_size_max=CODE_SIZE_MAX)) as node:
        chain = Chain(node.url)
        try:
            at = deploy_gmx_v2(chain)
            wallet = keystore(folder)
            pairs = _opened(chain, at, scenario)
            for p in pairs:
                allow(chain, at, p.guarded, wallet, ACTIONS, FOR_LONG)
            chain.rpc("anvil_setBalance", wallet, hex(WALLET_WEI))
            chain.send(
                chain.accounts[0], at.usdc, "mint(address,uint256)", wallet, scenario.keeper_usdc * 10**6
            )
            config = folder / "keeper.toml"
            config.write_text(_config(node, at, scenario, pairs, (folder, mode, wallet)))
            yield PerpStage(folder=folder, chain=chain, at=at, scenario=scenario, pairs=pairs, config=config)
        finally:
            chain.close()


def _opened(chain: Chain, at: Gmx, scenario: PerpScenario) -> tuple[Pair, ...]:
    found = []
    for i, held in enumerate(scenario.position):
        first = FIRST_ACCOUNT + 2 * i
        two = chain.accounts[first : first + 2]
        dollars = (held.size_usd, held.margin_usd)
        found.append(pair(chain, at, two, held.side == "long", dollars, held.label))
    return tuple(found)


def _config(
    node: Anvil, at: Gmx, scenario: PerpScenario, pairs: tuple[Pair, ...], home: tuple[Path, str, str]
) -> str:
    """The story's keeper.toml: a venue a side, every guarded position under one policy."""
    from keeper.cli.template import _text as text

    folder, mode, wallet = home
    lines = [
        f"schema = 1\nmode = {text(mode)}\nstate_dir = {text(str(folder / 'state'))}",
        f"[wallet]\naddress = {text(wallet)}\nkeystore = {text(str(folder / 'keystore.json'))}",
        f"password_file = {text(str(folder / 'password'))}",
        f"[[chains]]\nname = 'local'\nchain_id = {at.chain_id}\nblock_time_s = {scenario.seconds_per_block}",
        f"multicall = {text(at.multicall)}\nnative_token = {text(at.wnt)}",
        # nothing is closed on the word of one endpoint
        *(
            f"[[chains.endpoints]]\nname = '{name}'\nurl = {text(node.url)}\nrate_per_s = 1000{stream}"
            for name, stream in (("anvil", f"\nws_url = {text(node.ws_url)}"), ("second", ""))
        ),
    ]
    for side in sorted({"long" if p.long else "short" for p in pairs}):
        lines += [
            f"[[venues]]\nname = 'gmx-{side}'\nkind = 'gmx_v2'\nchain = 'local'",
            f"provider = {text(at.subaccounts)}\nreader = {text(at.reader)}",
            f"market = '{at.market}:{at.usdc}:{side}'\nsubaccount = {text(wallet)}",
        ]
    for p in pairs:
        side = "long" if p.long else "short"
        lines.append(f"[[positions]]\nlabel = {text(p.label)}\nvenue = 'gmx-{side}'\naccount = '{p.guarded}'")
        lines.append("policy = 'perps'\naccept_thin_emergency = true")
    lines += ["[policies.perps]", *(f"{name} = {text(value)}" for name, value in TERMS.items())]
    names = ", ".join(text(s) for s in scenario.strategies)
    lines += [f"stress_pct = '0'\nstrategies = [{names}]\ncooldown_blocks = 2\n[policies.perps.caps]", *CAPS]
    return "\n".join(lines) + "\n"
