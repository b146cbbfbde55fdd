"""A machine that has nothing of ours, led by the guide alone: ``make clean-machine``.

The install page's own command lines are run, in their order, in a folder that stands for the server's root: a fresh
clone, a fresh environment from the lock, units installed and verified, the daemon started by the unit's own command
line until it tells systemd READY, its status page asked, and the first alarm received by a webhook of this machine.
Then the upgrade page's, to a version that is new in the repository, and the daemon anew. What a line is given that
the page leaves open (the repository, an address, an endpoint) is in ``led``; what cannot be run here is listed in
``SKIPPED`` with its reason, and is run elsewhere: tests/unit/test_pages_run.py counts.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anvil import shock
from anvil.scenario import load_scenario
from anvil.stage import Stage, stage
from tests import clean_pipx
from tests.pages import Command, commands

HERE = Path(__file__).parents[1]
INSTALL, SERVICE, UPGRADE = (
    HERE / "docs" / "guide" / f"{name}.md" for name in ("install", "service", "upgrade")
)
WALLET = "0xcA11bde05977b3631167028862bE2a173976CA11"
NO_SYSTEMD = "no systemd is the first process here: tests/chaos/boot_units.sh runs it where one is"
SKIPPED = {
    "sudo systemctl": NO_SYSTEMD,
    "systemctl": NO_SYSTEMD,
    "journalctl": NO_SYSTEMD,
    "sudo systemd-creds": NO_SYSTEMD,
}
FOUND = {"check": (0, 1)}
"""Exit codes of commands that may have findings here; else 0."""
READY_S = 180.0
ALARM_S = 60.0


class Machine:
    """A root folder, and what was run in it."""

    def __init__(self, root: Path, given: dict[str, str]) -> None:
        self.root = root
        self.given = given
        self.folder = root
        self.environment = {
            "HOME": str(root / "root"),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            **{k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_", "http", "HTTP"))},
        }
        (root / "root").mkdir()

    def does(self, line: Command) -> None:
        """One line of a page. Ends the script when it fails."""
        why = skipped(line)
        if why is None and "apt-get" in line.words and shutil.which("apt-get") is None:
            why = "this is no Debian"
        if why is not None:
            print(f"  -- {line.shell}\n     ({why})")
            return
        said = line.keeper
        self.run(line.shell, FOUND.get(said[0] if said else "", (0,)))

    def run(self, line: str, codes: tuple[int, ...] = (0,)) -> None:
        """One line, its paths below the root. Ends the script when it ends with another code than these."""
        done = self.changed(line)
        print(f"  $ {line}", flush=True)
        if done.startswith("cd "):
            self.folder = Path(done[3:])
            return
        started_s = time.monotonic()
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", done],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        took_s = time.monotonic() - started_s
        if result.returncode not in codes:
            raise SystemExit(f"{done}\n{result.stdout}{result.stderr}\nended with {result.returncode}")
        last = (result.stdout.strip().splitlines() or [""])[-1]
        print(f"     {took_s:.1f} s  {last[:100]}")

    def changed(self, line: str) -> str:
        """``line`` for this root, without its sudo and with what the page leaves open."""
        line = re.sub(r"^sudo (-u keeper )?", "", line).replace(
            "apt-get install", "apt-get install --simulate"
        )
        for open_, filled in self.given.items():
            line = line.replace(open_, filled)
        line = re.sub(r"(?<![\w.])/(opt|etc|var)/", rf"{self.root}/\1/", line)
        return line.replace("-g keeper ", "").replace("--apply", f"--apply --root {self.root}")


def skipped(line: Command) -> str | None:
    """Why a line of the pages is not run here; None where it is."""
    return next((why for beginning, why in SKIPPED.items() if line.shell.startswith(beginning)), None)


def asks_policy() -> tuple[Command, ...]:
    """The one line about the service that needs a chain, and that chain's daemon."""
    return tuple(c for c in commands(SERVICE) if c.keeper and c.keeper[0] == "policy")


def upgrades() -> tuple[Command, ...]:
    """What the upgrade page says of a service."""
    lines = commands(UPGRADE)
    (first,) = (n for n, c in enumerate(lines) if c.words[0] == "cd")
    (last,) = (n for n, c in enumerate(lines) if "restart" in c.words)
    return lines[first : last + 1]


def run_here() -> tuple[Command, ...]:
    """Every line of a page that is run here."""
    return tuple(c for c in (*commands(INSTALL), *asks_policy(), *upgrades()) if skipped(c) is None)


@contextlib.contextmanager
def sink() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A webhook of this machine: (port, what arrived)."""
    got: list[dict[str, Any]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], got
    finally:
        server.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configured(root: Path, machine: Machine, alarm_port: int, page_port: int) -> Path:
    """What the page says to change in keeper.toml, done."""
    config = root / "root" / "keeper.toml"
    text = re.sub(
        r"^state_dir = .*$", f'state_dir = "{root}/var/lib/keeper"', config.read_text(), flags=re.MULTILINE
    )
    text = re.sub(r"^# address = .*$", f'address = "{WALLET}"', text, flags=re.MULTILINE)
    targets = root / "etc" / "keeper" / "alarms"
    text += f'\n[alarms]\ntargets_file = "{targets}"\n[page]\nlisten = "127.0.0.1:{page_port}"\n'
    config.write_text(text)
    targets.parent.mkdir(parents=True, exist_ok=True)
    targets.write_text(f"json://127.0.0.1:{alarm_port}/hook\n")
    targets.chmod(0o600)
    (root / "root" / "alarms.txt").write_text(targets.read_text())
    return config


@contextlib.contextmanager
def started(root: Path, machine: Machine) -> Iterator[socket.socket]:
    """The daemon by its unit's own command line, with a notify socket as systemd gives it."""
    unit = (root / "etc/systemd/system/keeper.service").read_text()
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    command = shlex.split(line.replace("/etc/keeper", f"{root}/etc/keeper"))
    state = root / "var" / "lib" / "keeper"
    state.mkdir(parents=True, exist_ok=True)
    (root / "notify").unlink(missing_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(root / "notify"))
    notify.settimeout(READY_S)
    environment = {
        **machine.environment,
        "HOME": str(state),
        "NOTIFY_SOCKET": str(root / "notify"),
        "CACHE_DIRECTORY": str(root / "var/cache/keeper"),
    }
    with (root / "keeper.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=state, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield notify
    finally:
        process.terminate()
        print(f"  stopped, exit {process.wait(60)}")
        notify.close()


def ready(notify: socket.socket, root: Path) -> str:
    """The status that came with READY=1, and after how long."""
    started_s = time.monotonic()
    while (waited_s := time.monotonic() - started_s) < READY_S:
        with contextlib.suppress(TimeoutError):
            told = notify.recv(4096).decode()
            if "READY=1" in told:
                return f"{' '.join(told.split())} ({waited_s:.1f} s)"
    raise SystemExit(f"the daemon did not become READY\n{(root / 'keeper.log').read_text()[-4000:]}")


def served(port: int) -> str:
    """The status page's title line."""
    for _ in range(100):
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer,
        ):
            text = answer.read().decode()
            return f"{answer.status}, {len(text):,} characters, {re.findall('<title>(.*?)</title>', text)}"
        time.sleep(0.2)
    raise SystemExit(f"nothing is served on port {port}")


def led(root: Path, on: Stage) -> None:
    """The whole install page, what it promises, and the way to the next version."""
    source = root / "repository"
    subprocess.run(["git", "clone", "-q", str(HERE), str(source)], check=True)
    for folder in (
        "opt",
        "etc/keeper",
        "etc/systemd/system",
        "etc/credstore.encrypted",
        "var/lib",
        "var/cache/keeper",
    ):
        (root / folder).mkdir(parents=True)
    given = {
        "REPOSITORY": str(source),
        "0xYourAddress": on.pairs[0].guarded,
        "https://your-endpoint": on.node.url,
        "--out ~/keeper.toml": f"--out ~/keeper.toml --provider {on.market.provider}",
    }
    machine, lines = Machine(root, given), commands(INSTALL)
    page_port = free_port()
    with sink() as (alarm_port, got):
        for line in lines:
            if line.section.startswith("4."):
                break
            machine.does(line)
            if line.keeper and line.keeper[0] == "init":
                configured(root, machine, alarm_port, page_port)
        manual = root / "opt/keeper/.venv/share/man/man1/keeper.1"
        if ".SH COMMANDS" not in manual.read_text():
            raise SystemExit(f"{manual} tells no commands")
        print(f"  manual: {len(manual.read_text().splitlines())} lines of keeper(1)")
        print("Elsewhere: pipx", flush=True)
        clean_pipx.installed(root, machine.run)
        verified(root)
        with started(root, machine) as notify:
            print(f"  READY: {ready(notify, root)}")
            print(f"  page: {served(page_port)}")
            for line in (*(c for c in lines if c.section.startswith("4.")), *asks_policy()):
                machine.does(line)
            alarmed(root, on, got)
            brought(root, machine, source)
        with started(root, machine) as notify:
            print(f"  READY anew: {ready(notify, root)}")


def verified(root: Path) -> None:
    """Nothing to say about the units, by systemd's own reading; or that nobody could read them."""
    units = sorted((root / "etc/systemd/system").glob("keeper*.service"))
    if not shutil.which("systemd-analyze"):
        print("  systemd-analyze verify: SKIPPED, this machine has no systemd-analyze")
        return
    line = ["systemd-analyze", "verify", "--man=no", *map(str, units)]
    told = subprocess.run(line, capture_output=True, text=True).stderr.splitlines()
    if wrong := [w for w in told if "keeper" in w and "not executable" not in w]:
        raise SystemExit("\n".join(wrong))
    print(f"  systemd-analyze verify: {len(units)} units, nothing to say")


def alarmed(root: Path, on: Stage, got: list[dict[str, Any]]) -> None:
    """A fall, and the first CRITICAL about the position that the webhook hears of it."""
    shock.set_prices(on.chain, on.market, {"WETH": int(on.scenario.prices_usd8(-1)["WETH"] * 0.8)})
    deadline_s = time.monotonic() + ALARM_S
    about = re.compile(rf"CRITICAL \w+ [^\n]*{on.pairs[0].guarded}[^\n]*")
    while not (told := about.search("\n".join(str(m.get("message")) for m in got))):
        if time.monotonic() > deadline_s:
            raise SystemExit(f"no alarm arrived; {got}\n{(root / 'keeper.log').read_text()[-4000:]}")
        on.chain.mine()
        time.sleep(1.0)
    print(f"  alarm: {told[0][:220]}")


def brought(root: Path, machine: Machine, source: Path) -> None:
    """The next version, as the upgrade page says, while the daemon runs."""
    place = source / "keeper" / "__init__.py"
    place.write_text(re.sub(r'(__version__ = "[^"]+)"', r'\1.post1"', place.read_text()))
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.invalid"]
    subprocess.run(["git", "-C", str(source), *who, "commit", "-qam", "the next one"], check=True)
    for line in upgrades():
        machine.does(line)
    asked = [str(root / "opt/keeper/.venv/bin/keeper"), "--version"]
    now = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    if not now.endswith(".post1"):
        raise SystemExit(f"after the upgrade this is {now}")
    print(f"  upgraded: {now}")


def main() -> None:
    """Everything in a folder that is removed again."""
    with tempfile.TemporaryDirectory(prefix="keeper-clean-") as home:
        folder = Path(home)
        (folder / "stage").mkdir()
        (folder / "root").mkdir()
        with stage(load_scenario("crash"), folder / "stage", mode="dry-run") as on:
            led(folder / "root", on)
    print("the guide leads a clean machine to a watched position, and to the next version")


if __name__ == "__main__":
    main()
