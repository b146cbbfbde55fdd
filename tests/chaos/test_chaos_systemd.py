"""The units under a real systemd: sandbox, credentials, READY, page, watchdog, restart, a signer without network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.signer.__main__ import main as signer
from keeper.signer.policy_file import to_text
from tests.keystores import address_of, keystore
from tests.unit.signer.test_signer_socket import CAPS, CHAIN_ID, POLICY

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
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
[page]
listen = "127.0.0.1:8467"
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


def _lay_out(folder: Path) -> None:
    folder.mkdir()
    key, password = keystore(folder)
    key.rename(folder / "keystore")
    password.rename(folder / "keystore_password")
    (folder / "policy.json").write_text(to_text(POLICY, CAPS))
    (folder / "endpoint").write_text("http://127.0.0.1:9/secret-token\n")
    (folder / "keeper.toml").write_text(CONFIG)
    (folder / "probe.py").write_text(PROBE)
    (folder / "viewer.py").write_text(VIEWER)
    (folder / "address").write_text(address_of())
    store = ["--store", str(folder / "signer.sqlite"), "--chain-id", str(CHAIN_ID)]
    assert signer(["adopt", *store, "--nonce", "7", "--why", "test"]) == 0


def _ended(line: list[str]) -> subprocess.CompletedProcess[str]:
    """What the script said. One that takes too long is asked to end first: killed, it would leave its container."""
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.terminate()
            out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(line, process.returncode, out, err)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount an overlay and to boot a container on it")
@pytest.mark.skipif(bool(LACKS), reason=f"needs {', '.join(LACKS)} (Debian: systemd-container, procps)")
def test_units__when_systemd_runs_them__then_they_start_hang_restart_stop_and_keep_their_secrets(
    tmp_path: Path,
) -> None:
    _lay_out(tmp_path / "files")
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
    assert told == {
        "signer": "active",
        "probe": f"success signer answers {address_of()}",
        "daemon": "active",
        "status": "BLIND: m: no endpoint answers: m-1: cannot be reached (ECONNREFUSED)",
        "page": "200 a page default-src 'none'",
        "page_stranger": "403 no page default-src 'none'",
        "page_sandbox": "CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 ",
        "page_user": "keeper",
        "reload": "0 active taken over",
        "reload_wrong": "1 active",
        "reload_process": "0",
        "hang": "active restarts 1",
        "stray_sigterm": "active restarts 2",
        "stop": "success inactive",
        "bad_config": "failed 78",
        "signer_stop": "success",
    }
