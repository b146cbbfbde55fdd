"""A Safe's module on the real market: enabled by the file as signers would, renewed by a stranger, taken back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from anvil.client import Reverted
from anvil.compile import own_artifact
from keeper.cli import module_verify, owner_module
from keeper.cli.owner_grant import Wanted
from keeper.cli.owner_module import Asked
from keeper.config import load
from keeper.errors import ConfigError
from keeper.executor.renewal import HEAD, NAME, Renewal
from keeper.executor.verify import artifact
from tests.anvil.test_executor_safe import held_by_a_safe
from tests.anvil_daemon import keeper, night
from tests.executor_daemon import Owned, owned, terms
from tests.keystores import address_of, keystore
from tests.safe_owner import HASH, ZERO, deploy_safe

pytestmark = pytest.mark.anvil
WETH = 10**18
HOUR_S, DAY_S = 3_600, 86_400
AMOUNT = 8 * WETH


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """A Safe's position, and the module that its owners signed for."""

    there: Owned
    module: str
    until_s: int

    @property
    def a_weth(self) -> str:
        return self.there.on.market.token("WETH").a_token

    def standing(self, token: str) -> int:
        """What the Executor may take now."""
        executor = self.there.executor
        told = executor.chain.call(
            token, "allowance(address,address)(uint256)", executor.owner, executor.executor
        )
        return int(told)

    def renew(self, token: str) -> None:
        """By a stranger. Raises Reverted."""
        executor = self.there.executor
        executor.chain.send(executor.stranger, self.module, "renew(address)", token)

    def later(self, seconds: int) -> None:
        """The chain's time, and one block."""
        self.there.on.chain.rpc("evm_setNextBlockTimestamp", self.there.executor.now_s() + seconds)
        self.there.on.chain.rpc("evm_mine")

    def typed(self, *line: str) -> dict[str, object]:
        """What a command prints as JSON; it must not fail."""
        done = keeper(self.there.on, *line)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


@contextmanager
def renewed(folder: Path) -> Iterator[Renewed]:
    """The first pair's position held by a Safe, granted, and its module enabled by the printed file."""
    with held_by_a_safe(folder, pair=0, amount="WETH=8") as there:
        executor = there.executor
        executor.chain.learn(own_artifact("SafeRenewal"))
        until_s = executor.now_s() + 30 * DAY_S
        line = ("grant", "--executor", there.label, "--module", "--amount", "WETH=8", "--reserve", "USDC=100")
        made = keeper(there.on, *line, "--period", "1", "--until", str(until_s))
        assert made.returncode == 0, made.stderr
        assert "does not renew by itself" in made.stderr
        file = json.loads(made.stdout)
        # WETH is allowed by the grant before: deployment, the Safe's yes, and the reserve are left
        signs = file["meta"]["description"]
        assert [s.split("(")[0] for s in _numbered(signs)] == ["deploy", "enableModule", "approve"]
        assert "8 WETH out of the position and 100 USDC from the Safe again, once in 1 hours" in signs
        _hashes(there, file)
        signed(there, file)
        again = keeper(there.on, *line, "--period", "1", "--until", str(until_s))
        assert json.loads(again.stdout)["transactions"] == []
        module = module_of(there)
        yield Renewed(there=there, module=module, until_s=until_s)


def _numbered(text: str) -> list[str]:
    """The calls of a description, without their numbers."""
    return [part.split(". ", 1)[1] for part in ("; " + text).split("; ") if part[:1].isdigit()]


def module_of(there: Owned) -> str:
    """The Safe's only module, as the Safe says."""
    found, _ = there.executor.chain.call(
        there.executor.owner, "getModulesPaginated(address,uint256)(address[],address)", HEAD, 10
    )
    assert len(found) == 1
    return str(to_checksum_address(found[0]))


def signed(there: Owned, file: dict[str, object]) -> None:
    """Each call of the file as a transaction of the Safe."""
    for call in list(file["transactions"]):  # type: ignore[call-overload]
        there.executor.chain.send(there.executor.owner, call["to"], bytes.fromhex(call["data"][2:]))


def _hashes(there: Owned, file: dict[str, object]) -> None:
    """What the signers will see is what the Safe hashes."""
    seen = dict(file["signersSee"])  # type: ignore[call-overload]
    safe = there.executor.owner
    data = bytes.fromhex(seen["multiSendPayload"][2:])
    words = (seen["to"], 0, data, seen["operation"], 0, 0, 0, ZERO, ZERO, seen["nonce"])
    assert "0x" + bytes(there.executor.chain.call(safe, HASH, *words)).hex() == seen["safeTxHash"]


def test_module__through_a_night_and_after__renews_once_a_period_and_only_while_it_may(
    tmp_path: Path,
) -> None:
    with renewed(tmp_path) as on:
        there, executor = on.there, on.there.executor
        with pytest.raises(Reverted, match="TooEarly"):
            on.renew(on.a_weth)
        rescued(on)
        assert 0 < on.standing(on.a_weth) < AMOUNT
        on.later(HOUR_S)
        executor.by_owner("pause()")
        with pytest.raises(Reverted, match="ExecutorPaused"):
            on.renew(on.a_weth)
        executor.by_owner("unpause()")
        # no more than half may stand
        executor.chain.send(executor.owner, on.a_weth, "approve(address,uint256)", executor.executor, WETH)
        on.renew(on.a_weth)
        assert on.standing(on.a_weth) == AMOUNT
        with pytest.raises(Reverted, match="TooEarly"):
            on.renew(on.a_weth)
        with pytest.raises(Reverted, match="TokenUnknown"):
            on.renew(executor.token("WETH"))
        on.later(HOUR_S)
        with pytest.raises(Reverted, match="NotUsed"):
            on.renew(on.a_weth)
        verified(on)
        by_command(on)
        at = there.on.chain.rpc("evm_snapshot")
        executor.chain.send(executor.owner, on.a_weth, "approve(address,uint256)", executor.executor, 1)
        on.later(on.until_s + 1 - executor.now_s())
        with pytest.raises(Reverted, match="Ended"):
            on.renew(on.a_weth)
        there.on.chain.rpc("evm_revert", at)
        replaced(on)
        taken_back(on)


def rescued(on: Renewed) -> None:
    """A daemon's night that sells through the Executor, out of the allowance."""
    there = on.there
    there.executor.trade_to("WETH", "USDC", 500, there.on.scenario.prices_usd8(-1)["WETH"] / 10**8 * 0.7)
    with night(there.on) as told:
        told.falls(WETH=0.7, wstETH=0.7)
        told.block()
        told.block()
        assert told.rescues(there.label) == 1, told.guard.tail()
    there.on.chain.rpc("evm_setAutomine", True)


def verified(on: Renewed) -> None:
    """As committed; a module of the same words at another address is not, and another's is no finding."""
    there, executor = on.there, on.there.executor
    (row,) = on.typed("executor", "verify", "--json")["modules"]  # type: ignore[misc]
    assert (row["module"], row["verdict"], row["hours"]) == (on.module, "as committed", "1")
    assert f"{AMOUNT} of {on.a_weth}" in row["renews"]
    at = there.on.chain.rpc("evm_snapshot")
    wish = Renewal(
        safe=executor.owner,
        executor=executor.executor,
        until_s=on.until_s,
        period_s=HOUR_S,
        lines=((on.a_weth, 1),),
    )
    receipt = there.on.chain.send(executor.stranger, None, wish.creation)
    other = there.on.chain.deploy(own_artifact("ExecutorFactory"))
    for module in (str(receipt["contractAddress"]), other):
        executor.chain.send(executor.owner, executor.owner, "enableModule(address)", module)
    done = keeper(there.on, "executor", "verify", "--json")
    rows = json.loads(done.stdout)["modules"]
    assert done.returncode == 1
    assert [r["verdict"].split(":")[0] for r in rows] == ["another's", "UNPROVEN", "ADDS UP"]
    code = there.on.chain.rpc("eth_getCode", on.module, "latest")
    there.on.chain.rpc("anvil_setCode", rows[1]["module"], code[:-4] + "0000")
    rows = asyncio.run(module_verify.modules(load(there.on.config)))
    assert rows[1][-1].startswith("other code than the module's")
    done = keeper(there.on, "renew", "--executor", there.label, "--json")
    assert done.returncode == 1
    body = json.loads(done.stdout)
    assert ["disable it" in why for why in body["problems"]] == [True]
    assert body["problems"][0] in done.stderr
    assert {r["module"] for r in body["renewals"]} == {on.module}, "a look-alike stops nothing"
    # the committed code without what its constructor wrote has no terms to tell
    there.on.chain.rpc("anvil_setCode", other, "0x" + artifact(NAME).runtime.hex())
    done = keeper(there.on, "renew", "--executor", there.label, "--json")
    body = json.loads(done.stdout)
    (mute,) = [why for why in body["problems"] if other in why]
    assert (done.returncode, "does not tell its terms" in mute, "disable" in mute) == (1, True, False)
    assert {r["module"] for r in body["renewals"]} == {on.module}
    there.on.chain.rpc("evm_revert", at)


def by_command(on: Renewed) -> None:
    """`keeper renew` with a key of one's own; the keeper's own wallet is refused by name."""
    there, executor = on.there, on.there.executor
    usdc = executor.token("USDC")
    executor.chain.send(executor.owner, usdc, "approve(address,uint256)", executor.executor, 40 * 10**6)
    plain = on.typed("renew", "--executor", there.label, "--json")["renewals"]
    told = {row["token"]: row["transaction"] for row in plain}  # type: ignore[union-attr, attr-defined]
    assert told == {
        "WETH out of the position": "not needed: more than half of it stands",
        "USDC from the Safe": "not sent: add --keystore",
    }
    hot = ("--keystore", str(there.on.folder / "keystore.json"))
    password = ("--password-file", str(there.on.folder / "password"))
    copy = there.on.folder / "copy.json"
    copy.write_text((there.on.folder / "keystore.json").read_text())
    copy.chmod(0o600)
    for named in (hot, ("--keystore", str(copy))):
        done = keeper(there.on, "renew", "--executor", there.label, *named, *password)
        assert done.returncode == 78
        assert "the keeper's own wallet, whose nonces belong to the daemon" in done.stderr
    folder = there.on.folder / "renewer"
    folder.mkdir()
    key, secret = keystore(folder)
    there.on.chain.rpc("anvil_setBalance", address_of(), hex(10**18))
    line = (
        "renew",
        "--executor",
        there.label,
        "--keystore",
        str(key),
        "--password-file",
        str(secret),
        "--json",
    )
    executor.chain.send(executor.owner, on.a_weth, "approve(address,uint256)", executor.executor, WETH)
    cheap = keeper(there.on, *line, "--fee-max", "0.000000001")
    assert cheap.returncode == 1
    rows = json.loads(cheap.stdout)["renewals"]
    assert all("which is the most it may (--fee-max)" in row["transaction"] for row in rows)
    assert (on.standing(on.a_weth), on.standing(usdc)) == (WETH, 40 * 10**6)
    strange(on, line)
    # both in one run, and each mined before the next is sent
    sent = {row["token"]: row["transaction"] for row in on.typed(*line)["renewals"]}  # type: ignore[union-attr, attr-defined]
    assert all(hash.startswith("0x") for hash in sent.values())
    assert len(set(sent.values())) == 2
    assert (on.standing(on.a_weth), on.standing(usdc)) == (AMOUNT, 100 * 10**6)


def strange(on: Renewed, line: tuple[str, ...]) -> None:
    """The renewer's key is refused while it has a right there: on the Safe itself."""
    there, executor = on.there, on.there.executor
    at = there.on.chain.rpc("evm_snapshot")
    executor.chain.send(
        executor.owner, executor.owner, "addOwnerWithThreshold(address,uint256)", address_of(), 1
    )
    done = keeper(there.on, *line)
    assert done.returncode == 78
    assert "an owner of the Safe" in done.stderr
    there.on.chain.rpc("evm_revert", at)


def replaced(on: Renewed) -> None:
    """Another module for the same Executor takes the place of the first: two would add up."""
    there = on.there
    line = ("grant", "--executor", there.label, "--module", "--amount", "WETH=5", "--until", str(on.until_s))
    done = keeper(there.on, *line)
    assert done.returncode == 78
    assert "(--reserve USDC=100)" in done.stderr
    file = on.typed(*line, "--reserve", "USDC=50")
    signs = [s.split("(")[0] for s in _numbered(dict(file["meta"])["description"])]  # type: ignore[call-overload]
    # each allowance by way of nothing: USDT changes it from nothing only
    assert signs == ["disableModule", "deploy", "enableModule", "approve", "approve", "approve", "approve"]
    meta = dict(file["meta"])["description"]  # type: ignore[call-overload]
    assert "now allowed 8, will be 5" in meta
    # a day's period: floor(7 days / 1 day) + 2 in a week, and the first one and a renewal a day until the end
    days = (on.until_s - there.executor.now_s()) // DAY_S
    assert f"at most 45 in any week, {5 * (1 + days)} until the end" in meta
    said = keeper(there.on, *line, "--reserve", "USDC=50").stderr
    assert (
        f"ends module {on.module}, in whose place this one comes; it renewed 8 WETH out of the position"
        in said
    )
    topped(on)
    at = there.on.chain.rpc("evm_snapshot")
    signed(there, file)
    assert module_of(there) != on.module
    assert on.standing(on.a_weth) == 5 * WETH
    there.on.chain.rpc("evm_revert", at)


def topped(on: Renewed) -> None:
    """A plain grant beside a module does not say that it is all, or that nothing revokes it."""
    done = keeper(on.there.on, "grant", "--executor", on.there.label, "--amount", "WETH=3", "--json")
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    approves = [s["meaning"] for s in body["signs"] if s["signs"].startswith("approve(")]
    assert approves
    assert not any("all in all" in meaning or "0 revokes" in meaning for meaning in approves)
    assert any("renewed on top" in note and "8 WETH" in note for note in body["notes"])


def taken_back(on: Renewed) -> None:
    """The module alone, and with everything: disabled first, and nobody brings back what was taken away."""
    there, executor = on.there, on.there.executor
    executor.chain.send(executor.owner, executor.owner, "enableModule(address)", executor.token("USDC"))
    executor.chain.send(executor.owner, on.a_weth, "approve(address,uint256)", executor.executor, 0)
    on.later(HOUR_S)
    whole = on.typed("revoke", "--executor", there.label, "--safe")
    first = next(iter(whole["transactions"]))  # type: ignore[call-overload]
    file = on.typed("revoke", "--executor", there.label, "--module")
    calls = list(file["transactions"])  # type: ignore[call-overload]
    # nothing stood when it was printed, and a stranger renewed before it was signed
    on.renew(on.a_weth)
    assert on.standing(on.a_weth) == AMOUNT
    # the Safe lists the newest first: what lies before ours is the other one
    assert calls[0] == first
    assert calls[0]["data"].lower()[34:74] == executor.token("USDC").lower()[2:]
    assert len(calls) == 3
    assert "another module of the Safe" in " ".join(file["remains"])  # type: ignore[arg-type]
    signed(there, file)
    assert (on.standing(on.a_weth), on.standing(executor.token("USDC"))) == (0, 0)
    on.later(2 * HOUR_S)
    with pytest.raises(Reverted, match="NotEnabled"):
        on.renew(on.a_weth)
    assert on.typed("revoke", "--executor", there.label, "--module")["transactions"] == []


def test_module__asked_for_wrongly__is_refused_by_name(tmp_path: Path) -> None:
    with owned(tmp_path) as there:
        on, executor = there.on, there.executor
        executor.configure(terms(executor))
        now_s = executor.now_s()
        plain = Asked(label=there.label, amounts={"WETH": "8"}, until_s=now_s + 30 * DAY_S, period_s=DAY_S)
        with pytest.raises(ConfigError, match=r"^--module: .* is no Safe"):
            wanted(there, plain)
        # from here on its account answers as a Safe does
        safe = deploy_safe(on.chain, on.market.roles.actors[-3])
        code = on.chain.rpc("eth_getCode", safe, "latest")
        on.chain.rpc("anvil_setCode", executor.owner, code)
        singleton = on.chain.rpc("eth_getStorageAt", safe, "0x0", "latest")
        on.chain.rpc("anvil_setStorageAt", executor.owner, "0x0", singleton)
        with pytest.raises(ConfigError, match=r"--module: the modules of .* could not be read"):
            wanted(there, plain)
        # as setupModules leaves it: a list that begins and ends with its head (ModuleManager.sol, slot 1)
        slot = "0x" + keccak(bytes.fromhex(HEAD[2:]).rjust(32, b"\0") + (1).to_bytes(32)).hex()
        on.chain.rpc("anvil_setStorageAt", executor.owner, slot, "0x" + "00" * 31 + "01")
        assert len(wanted(there, plain).signings) == 3
        for asked, why in (
            (replace(plain, until_s=now_s - 1), "--until .*: a module ends between now and a year"),
            (replace(plain, until_s=now_s + 366 * DAY_S), "--until .*: a module ends between now and a year"),
            (replace(plain, period_s=1_800), "--period 0.5: hours between two renewals are at least 1"),
            (replace(plain, period_s=31 * DAY_S), "--period 744: .* not more than are left until --until"),
            (replace(plain, amounts={"WETH": "0"}), "--amount WETH: nothing would be renewed"),
            (
                replace(plain, amounts={"WETH": "1e20"}),
                "--amount WETH: an allowance without limit bounds nothing",
            ),
            (replace(plain, amounts={"WET": "1"}), "--amount WET: the venue lists no token"),
            (replace(plain, label="other"), "--executor other"),
        ):
            with pytest.raises(ConfigError, match=why):
                wanted(there, asked)


def wanted(there: Owned, asked: Asked) -> Wanted:
    """As ``keeper grant --executor LABEL --module``."""
    return asyncio.run(owner_module.wanted(load(there.on.config), asked))
