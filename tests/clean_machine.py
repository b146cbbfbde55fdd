"""A machine that has nothing of ours, led by the install page alone: ``make clean-machine``.

The page's own command lines are run, in their order, in a folder that stands for the server's root: a fresh clone,
a fresh environment from the lock, units installed and verified, the daemon started by the unit's own command line
until it tells systemd READY, its status page asked, and the first alarm received by a webhook of this machine. What a
line is given that the page leaves open (the repository, an address, an endpoint) is listed in ``GIVEN``; what cannot
be run here is listed in ``SKIPPED`` with its reason. A line of the page that is in neither way accounted for fails.
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

HERE = Path(__file__).parents[1]
PAGE = HERE / "docs" / "guide" / "install.md"
SKIPPED = {
    "sudo apt-get install": "the packages are there",
    "sudo systemctl enable --now keeper": "no systemd runs here as the first process: its unit's own line is run",
    "systemctl status keeper": "no systemd",
    "journalctl -u keeper -e": "no journald",
    "sudo systemd-creds encrypt": "no systemd; the file itself is given as the unit would be given it",
}
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

    def run(self, line: str) -> None:
        """One line of the page, its paths below the root. Ends the script when it fails."""
        for skipped, why in SKIPPED.items():
            if line.startswith(skipped):
                print(f"  -- {line}\n     ({why})")
                return
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
        if result.returncode:
            raise SystemExit(f"{done}\n{result.stdout}{result.stderr}\nended with {result.returncode}")
        last = (result.stdout.strip().splitlines() or [""])[-1]
        print(f"     {took_s:.1f} s  {last[:100]}")

    def changed(self, line: str) -> str:
        """``line`` for this root, without its sudo and with what the page leaves open."""
        line = re.sub(r"^sudo (-u keeper )?", "", line)
        for open_, filled in self.given.items():
            line = line.replace(open_, filled)
        line = re.sub(r"(?<![\w.])/(opt|etc|var)/", rf"{self.root}/\1/", line)
        return line.replace("-g keeper ", "").replace("--apply", f"--apply --root {self.root}")


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """(heading, command lines) of each ``sh`` block of a page."""
    found, heading = [], ""
    for part in re.split(r"^(## .*)$", text, flags=re.MULTILINE):
        if part.startswith("## "):
            heading = part[3:]
            continue
        for block in re.findall(r"^```sh\n(.*?)^```", part, re.MULTILINE | re.DOTALL):
            found.append((heading, block.strip().splitlines()))
    return found


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
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(root / "notify"))
    notify.settimeout(READY_S)
    environment = {
        **machine.environment,
        "HOME": str(state),
        "NOTIFY_SOCKET": str(root / "notify"),
        "CACHE_DIRECTORY": str(root / "cache"),
    }
    with (root / "keeper.log").open("wb") as log:
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
    """The status that came with READY=1."""
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(TimeoutError):
            told = notify.recv(4096).decode()
            if "READY=1" in told:
                return " ".join(told.split())
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
    """The whole page, and what it promises."""
    source = root / "repository"
    subprocess.run(["git", "clone", "-q", str(HERE), str(source)], check=True)
    for folder in ("opt", "etc/keeper", "etc/systemd/system", "etc/credstore.encrypted", "var/lib"):
        (root / folder).mkdir(parents=True)
    given = {
        "REPOSITORY": str(source),
        "0xYourAddress": on.pairs[0].guarded,
        "https://your-endpoint": on.node.url,
        "--out ~/keeper.toml": f"--out ~/keeper.toml --provider {on.market.provider}",
    }
    machine, start = Machine(root, given), list[str]()
    page_port = free_port()
    with sink() as (alarm_port, got):
        for heading, lines in blocks(PAGE.read_text()):
            print(heading, flush=True)
            if heading.startswith("4."):
                start = lines
                break
            for line in lines:
                machine.run(line)
                if " init " in line:
                    configured(root, machine, alarm_port, page_port)
        manual = root / "opt/keeper/.venv/share/man/man1/keeper.1"
        if ".SH COMMANDS" not in manual.read_text():
            raise SystemExit(f"{manual} tells no commands")
        print(f"  manual: {len(manual.read_text().splitlines())} lines of keeper(1)")
        print("Elsewhere: pipx", flush=True)
        clean_pipx.installed(root, machine.run)
        units = sorted((root / "etc/systemd/system").glob("keeper*.service"))
        if shutil.which("systemd-analyze"):
            verified = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", *map(str, units)], capture_output=True, text=True
            )
            wrong = [w for w in verified.stderr.splitlines() if "keeper" in w and "not executable" not in w]
            if wrong:
                raise SystemExit("\n".join(wrong))
            print(f"  systemd-analyze verify: {len(units)} units, nothing to say")
        else:
            print("  systemd-analyze verify: SKIPPED, this machine has no systemd-analyze")
        with started(root, machine) as notify:
            print(f"  READY: {ready(notify, root)}")
            print(f"  page: {served(page_port)}")
            for line in start:
                machine.run(line)
            shock.set_prices(on.chain, on.market, {"WETH": int(on.scenario.prices_usd8(-1)["WETH"] * 0.8)})
            deadline_s = time.monotonic() + ALARM_S
            while not any("CRITICAL" in str(message) for message in got):
                if time.monotonic() > deadline_s:
                    raise SystemExit(f"no alarm arrived; {got}\n{(root / 'keeper.log').read_text()[-4000:]}")
                on.chain.mine()
                time.sleep(1.0)
            first = next(m for m in got if "CRITICAL" in str(m))
            print(f"  alarm: {' '.join(str(first.get('message')).split())[:200]}")


def main() -> None:
    """Everything in a folder that is removed again."""
    with tempfile.TemporaryDirectory(prefix="keeper-clean-") as home:
        folder = Path(home)
        (folder / "stage").mkdir()
        (folder / "root").mkdir()
        with stage(load_scenario("crash"), folder / "stage", mode="dry-run") as on:
            led(folder / "root", on)
    print("the install page leads a clean machine to a watched position")


if __name__ == "__main__":
    main()
