"""The stage of a demo: a fresh chain with the market, the story's borrowers and twins, and a keeper's home."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anvil import shock
from anvil.actors import Actors
from anvil.client import Chain
from anvil.deploy import deploy
from anvil.deploy_aave_v3 import EMODES
from anvil.deployment import Deployment
from anvil.liquidator import Liquidation, Liquidator
from anvil.node import Anvil, AnvilSettings
from anvil.report import Story
from anvil.scenario import Pair, Scenario, fund, open_pairs, submit_step

GENESIS_S = 1_750_000_000
KEY_FILES = ("keystore.json", "password")
PASSWORD = "a demo's password protects nothing"
CAPS = ("per_action_usd = 50000", "per_day_usd = 200000", "gas_usd_max = 100", "gas_usd_emergency = 500")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where the keeper of a demo lives."""

    folder: Path
    mode: str
    address: str
    block_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that a story is played on."""

    folder: Path
    node: Anvil
    chain: Chain
    market: Deployment
    actors: Actors
    liquidator: Liquidator
    scenario: Scenario
    pairs: tuple[Pair, ...]
    config: Path

    @property
    def accounts(self) -> tuple[str, ...]:
        """Guarded accounts and twins."""
        return tuple(a for p in self.pairs for a in (p.guarded, p.twin))

    @property
    def story(self) -> Story:
        """What is told."""
        return Story(
            name=self.scenario.name,
            title=self.scenario.title,
            seconds_per_block=self.scenario.seconds_per_block,
            evidence="real_bytecode",
            twins="a twin lost the liquidation bonus and the protocol's fee, at the oracle's price",
        )

    @property
    def steps(self) -> tuple[str, ...]:
        """Why each update comes; empty where nothing is said."""
        return tuple(step.why for step in self.scenario.step)

    @property
    def tokens(self) -> dict[str, str]:
        """What the keeper grants, whole tokens by symbol."""
        return {s: str(amount) for s, amount in self.scenario.keeper.tokens.items()}

    def eth_usd(self, block_number: int) -> float:
        """What the chain's own coin cost at a block."""
        return self.actors.price_usd8("WETH", block=block_number) / 1e8

    def submit(self, index: int) -> None:
        """Hand in the update of step ``index`` for the next block."""
        submit_step(self.chain, self.market, self.scenario, index)

    def race(self, index: int, *, dry_run: bool) -> tuple[Liquidation, ...]:
        """The block after an update: the liquidator takes what it may, beside whatever the keeper sent."""
        shock.set_base_fee(self.chain, self.scenario.base_fee_wei(index))
        before = self.chain.block().number
        done = self.liquidator.act(self.accounts, mine=True)
        if self.chain.block().number == before:
            self.chain.mine()
        return done


@contextmanager
def stage(scenario: Scenario, folder: Path, *, mode: str) -> Iterator[Stage]:
    """Build it in ``folder``, and take it down again."""
    with Anvil(AnvilSettings(timestamp_s=GENESIS_S)) as node:
        chain = Chain(node.url)
        try:
            market = deploy(chain)
            actors = Actors(chain, market)
            pairs = open_pairs(actors, scenario)
            address = keystore(folder)
            fund(actors, scenario, address)
            home = Home(folder=folder, mode=mode, address=address, block_s=scenario.seconds_per_block)
            config = write_config(node, market, pairs, home)
            yield Stage(
                folder=folder,
                node=node,
                chain=chain,
                market=market,
                actors=actors,
                liquidator=Liquidator(actors),
                scenario=scenario,
                pairs=pairs,
                config=config,
            )
        finally:
            chain.close()


def keystore(folder: Path) -> str:
    """A keystore and its password file for a key that exists on local chains only; its address."""
    from keeper.signer.keystore import seal

    secret = hashlib.sha256(b"keeper demo wallet: worthless by intent").digest()
    sealed, address = seal(secret, PASSWORD)
    for name, text in zip(KEY_FILES, (sealed, PASSWORD), strict=True):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    return address


def forget_key(folder: Path) -> None:
    """Take keystore and password away, so that whoever tries to load the key fails."""
    for name in KEY_FILES:
        (folder / name).unlink()


POLICIES = {
    "": {"warn": "1.35", "trigger": "1.20", "target": "1.25", "emergency": "1.08", "hysteresis": "0.02"},
    "ETH correlated": {
        "warn": "1.045",
        "trigger": "1.03",
        "target": "1.04",
        "emergency": "1.012",
        "hysteresis": "0.005",
    },
}
"""By e-mode label: 1.20 is right for ETH against dollars and absurd for a loop that starts at 1.05."""


def write_config(node: Anvil, market: Deployment, pairs: tuple[Pair, ...], home: Home) -> Path:
    """The story's keeper.toml: one chain, one market, every guarded position under the policy of its regime."""
    from keeper.cli.template import _text as text

    emodes = {m.id: m.label for m in EMODES} | {0: ""}
    names = {label: "loop" if label else "plain" for label in POLICIES}
    lines = [
        "schema = 1",
        f"mode = {text(home.mode)}",
        f"state_dir = {text(str(home.folder / 'state'))}",
        "[wallet]",
        f"address = {text(home.address)}",
        f"keystore = {text(str(home.folder / 'keystore.json'))}",
        f"password_file = {text(str(home.folder / 'password'))}",
        "[[chains]]",
        f"name = 'local'\nchain_id = {market.chain_id}\nblock_time_s = {home.block_s}",
        f"multicall = {text(market.multicall)}\nnative_token = {text(market.token('WETH').address)}",
        "[[chains.endpoints]]",
        f"name = 'anvil'\nurl = {text(node.url)}\nws_url = {text(node.ws_url)}\nrate_per_s = 1000",
        "[[venues]]",
        f"name = 'aave'\nkind = 'aave_v3'\nchain = 'local'\nprovider = {text(market.provider)}",
    ]
    for pair in pairs:
        policy = names[emodes[pair.borrower.emode]]
        lines += [
            "[[positions]]",
            f"label = {text(pair.label)}\nvenue = 'aave'\naccount = {text(pair.guarded)}\npolicy = '{policy}'",
        ]
    for label, policy_terms in POLICIES.items():
        lines.append(f"[policies.{names[label]}]")
        lines += [f"{name} = {text(value)}" for name, value in policy_terms.items()]
        lines += [f"cooldown_blocks = 2\n[policies.{names[label]}.caps]", *CAPS]
    path = home.folder / "keeper.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
