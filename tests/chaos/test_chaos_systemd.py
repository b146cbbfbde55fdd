"""The units under a real systemd: sandbox, credentials, READY, page, watchdog, restart, a signer without network."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.signer.policy_file import to_text
from tests.keystores import address_of, keystore
from tests.pages import Command, commands
from tests.unit.signer.test_signer_socket import CAPS, POLICY

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
INSTALL, SERVICE, UPGRADE = (
    ROOT / "docs" / "guide" / f"{name}.md" for name in ("install", "service", "upgrade")
)
LACKS = [t for t in ("systemd-nspawn", "systemd-creds", "nsenter", "pgrep") if shutil.which(t) is None]
CONFIG = """\
schema = 1
state_dir = "/var/lib/keeper"
[[chains]]
name = "m"
chain_id = 1
[[chains.endpoints]]
url_file = "credential:endpoint"
[[venues]]
name = "aave"
kind = "aave_v3"
chain = "m"
provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
[[positions]]
venue = "aave"
account = "0xcA11bde05977b3631167028862bE2a173976CA11"
[policies.default]
warn = "1.50"
trigger = "1.25"
target = "1.40"
emergency = "1.10"
[policies.default.caps]
per_action_usd = 10000
per_day_usd = 25000
gas_usd_max = 50
gas_usd_emergency = 500
[alarms]
targets_file = "credential:alarms"
[page]
listen = "127.0.0.1:8467"
token_file = "credential:page_token"
"""
PROBE = """\
import asyncio
from pathlib import Path
from keeper.signer.remote import RemoteSigner

address = Path("/etc/keeper/address").read_text()
signer = asyncio.run(RemoteSigner.open(Path("/run/keeper-signer/signer.sock"), address))
print("signer answers", signer.address)
"""
VIEWER = """\
import http.client
import sys
import time

host, patience_s = sys.argv[1], float(sys.argv[2])
until_s = time.monotonic() + patience_s
while True:
    try:
        asked = http.client.HTTPConnection("127.0.0.1", 8467, timeout=5)
        asked.request("GET", "/", headers={"Host": host})
        answer = asked.getresponse()
        break
    except OSError as e:
        if time.monotonic() > until_s:
            sys.exit(f"nobody answers: {e}")
        time.sleep(0.2)
policy = answer.getheader("Content-Security-Policy") or ""
rules = [rule.strip() for rule in policy.split(";")]
title = "a page" if b"<title>" in answer.read() else "no page"
print(answer.status, title, next((r for r in rules if r.startswith("default-src")), "no policy"))
"""
"""Asks for the page under a host's name; the status, and what it may load by its policy."""


FOLLOWED: dict[str, Callable[[], tuple[Command, ...]]] = {
    "install-configuration": lambda: tuple(
        c for c in commands(INSTALL, "2. The configuration") if c.keeper is None or c.keeper[0] != "init"
    ),
    "install-alarms": lambda: commands(INSTALL, "3. Alarms before anything else"),
    "install-start": lambda: commands(INSTALL, "4. Start"),
    "service-secrets": lambda: commands(SERVICE, "Secrets"),
    "service-signer": lambda: tuple(
        c
        for c in commands(SERVICE, "The key in a process of its own")
        if c.keeper is None or c.keeper[0] != "policy"
    ),
    "service-instance": lambda: commands(SERVICE, "One unit a chain"),
    "service-renew": lambda: commands(SERVICE, "Renewals by a timer"),
    "upgrade-restart": lambda: tuple(
        c for c in commands(UPGRADE) if c.shell == "sudo systemctl restart keeper"
    ),
}
"""The guide's lines that are run in the container, by the name under which boot_units.sh follows them.

`init` and `policy` ask a chain, and none is in there: tests/clean_machine.py runs these two.
"""


CHECK = ("check", "--config", "/etc/keeper/keeper.toml")
FOUND: dict[tuple[str, ...], set[str]] = {CHECK: {"1"}}
"""It had its credentials (without them 78), and no chain is in there to be asked."""


def booted() -> tuple[Command, ...]:
    """Every line of a page that is run in the container."""
    return tuple(c for lines in FOLLOWED.values() for c in lines())


def _lay_out(work: Path) -> None:
    files, home, told = work / "files", work / "home", work / "pages"
    for folder in (files, home, told):
        folder.mkdir()
    key, password = keystore(home)
    key.rename(home / "keystore.json")
    password.rename(files / "keystore_password")
    shutil.copy(home / "keystore.json", home / "renewer.json")
    (home / "policy.json").write_text(to_text(replace(POLICY, chain_id=1), CAPS))
    (home / "endpoint.url").write_text("http://127.0.0.1:9/secret-token\n")
    (home / "alarms.txt").write_text("critical json://127.0.0.1:9/hook\n")
    (home / "keeper.toml").write_text(CONFIG)
    (files / "page_token").write_text("sixteen characters and more\n")
    (files / "probe.py").write_text(PROBE)
    (files / "viewer.py").write_text(VIEWER)
    (files / "address").write_text(address_of())
    for name, lines in FOLLOWED.items():
        steps = [f"does {shlex.quote(c.place)} {shlex.quote(c.shell)}\n" for c in lines()]
        (told / name).write_text("".join(steps))


def _ended(line: list[str]) -> subprocess.CompletedProcess[str]:
    """What the script said. One that takes too long is asked to end first: killed, it would leave its container."""
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=540)
        except subprocess.TimeoutExpired:
            process.terminate()
            out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(line, process.returncode, out, err)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount an overlay and to boot a container on it")
@pytest.mark.skipif(bool(LACKS), reason=f"needs {', '.join(LACKS)} (Debian: systemd-container, procps)")
def test_units__when_installed_by_the_guide__then_they_start_hang_restart_stop_and_keep_their_secrets(
    tmp_path: Path,
) -> None:
    _lay_out(tmp_path)
    script = Path(__file__).with_name("boot_units.sh")
    line = ["bash", str(script), str(tmp_path), str(ROOT), sys.prefix, sys.base_prefix]
    done = _ended(line)
    if done.returncode == 3:
        pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()[-200:]}")
    log = tmp_path / "boot.log"
    if done.returncode == 5:
        pytest.skip(f"no container boots here: {log.read_text()[-200:].strip()}")
    told = dict(line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)
    print(done.stdout, done.stderr[-2000:], log.read_text()[-2000:] if log.exists() else "")
    ended = {c: told.pop(c.place, "not run") for c in booted()}
    wrong = [
        f"{c.where}: {code}" for c, code in ended.items() if code not in FOUND.get(c.keeper or (), {"0"})
    ]
    assert wrong == [], done.stderr
    assert told == {
        "plain_secrets": "",
        "signer": "active",
        "probe": f"success signer answers {address_of()}",
        "daemon": "active",
        "instance": "active control.sock",
        # the key was opened by its credentials, and no position of that label is there
        "renew": "active 78 --executor vault: no position",
        "upgraded": "active",
        "status": "BLIND: m: no endpoint answers: m-1: cannot be reached (ECONNREFUSED)",
        "page": "200 a page default-src 'none'",
        "page_stranger": "403 no page default-src 'none'",
        "page_sandbox": "CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 ",
        "page_user": "keeper",
        # it is there, and nothing was said against it
        "page_token": "1 0",
        "reload": "0 active taken over",
        "reload_wrong": "1 active",
        "reload_process": "0",
        "hang": "active restarts 1",
        "stray_sigterm": "active restarts 2",
        "stop": "success inactive",
        "bad_config": "failed 78",
        "signer_stop": "success",
    }
