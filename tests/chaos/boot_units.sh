#!/usr/bin/env bash
# The units as installed, under a real systemd as PID 1, on an overlay of this machine's root (nothing is written back).
# boot_units.sh WORK TREE VENV BASE: an empty folder, the checkout, its environment, the interpreter's own prefix.
# Prints KEY=VALUE lines. Ends everything it started.
set -uo pipefail
WORK=$1 TREE=$2 VENV=$3 BASE=$4
PYTHON=$(basename "$(readlink -f "$VENV/bin/python")")
SITE=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
LAYERS=$WORK/layers ROOT=$WORK/layers/root
NSPAWN=""
cleanup() {
    if [ -n "$NSPAWN" ]; then kill "$NSPAWN" 2>/dev/null; wait "$NSPAWN" 2>/dev/null; fi
    umount "$ROOT" "$LAYERS" 2>/dev/null || umount -l "$ROOT" "$LAYERS"
}
trap cleanup EXIT
trap "exit 143" TERM
mkdir -p "$LAYERS" && mount -t tmpfs -o size=1g tmpfs "$LAYERS" || exit 3
mkdir -p "$LAYERS"/{up,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$LAYERS/up,workdir=$LAYERS/work" "$ROOT" || exit 3

(cd "$TREE" && "$VENV/bin/python" -m keeper install-service --apply --force --root "$ROOT" >/dev/null 2>&1) || exit 4
UNITS=$ROOT/etc/systemd/system
sed -i "s#^Exec\(Start\|Reload\)=[^ ]* #Exec\1=/opt/py/bin/$PYTHON #" "$UNITS"/keeper*.service
systemd-sysusers --root="$ROOT" "$ROOT/etc/sysusers.d/keeper.conf" >/dev/null 2>&1
for unit in keeper keeper-signer; do
    printf '[Service]\nEnvironment=PYTHONPATH=/opt/tree:/opt/site PYTHONHOME=/opt/py LD_LIBRARY_PATH=/opt/py/lib\n' \
        >"$UNITS/$unit.service.d/90-test.conf"
done
printf 'WatchdogSec=6\nRestartSec=1\n' >>"$UNITS/keeper.service.d/90-test.conf"
cp "$TREE/systemd/options/signer.conf" "$UNITS/keeper.service.d/20-signer.conf"
# the daemon's own sandbox around a question to the signer
sed -e "s#^ExecStart=.*#ExecStart=/opt/py/bin/$PYTHON /etc/keeper/probe.py#; s/^Type=.*/Type=oneshot/; /^Restart/d; /^Watchdog/d" \
    "$UNITS/keeper.service" >"$UNITS/probe.service"
cp -r "$UNITS/keeper.service.d" "$UNITS/probe.service.d"
sed -i '/^Restart/d; /^Watchdog/d' "$UNITS/probe.service.d/90-test.conf"
mkdir -p "$ROOT"/etc/{keeper,keeper-signer,credstore.encrypted} "$ROOT"/opt/{py,tree,site} "$ROOT/files"
cp "$WORK"/files/* "$ROOT/files/"
cp "$WORK"/files/{keeper.toml,probe.py,address,viewer.py} "$ROOT/etc/keeper/"
printf '[Unit]\nRequires=sysinit.target basic.target\nAfter=sysinit.target basic.target\n' >"$UNITS/t.target"

systemd-nspawn -q -D "$ROOT" --register=no --keep-unit --private-network --console=pipe \
    --bind-ro="$BASE:/opt/py" --bind-ro="$TREE:/opt/tree" --bind-ro="$SITE:/opt/site" \
    --boot systemd.unit=t.target </dev/null >"$WORK/boot.log" 2>&1 &
NSPAWN=$!
LEADER=""
for _ in $(seq 100); do
    LEADER=$(pgrep -P "$NSPAWN" | head -1)
    [ -n "$LEADER" ] && [ "$(cat "/proc/$LEADER/comm" 2>/dev/null)" = systemd ] && break
    sleep 0.1
done
[ -n "$LEADER" ] || exit 5
inside() { nsenter -t "$LEADER" -m -u -i -n -p env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_COLORS=0 "$@"; }
shown() { inside systemctl show "$1" -p "$2" --value; }
for _ in $(seq 200); do inside systemctl is-active t.target >/dev/null 2>&1 && break; sleep 0.1; done
again() { # until the daemon is active under another process id than $1
    for _ in $(seq 400); do
        now=$(shown keeper MainPID)
        [ "$now" != "$1" ] && [ "$now" != 0 ] && [ "$(inside systemctl is-active keeper)" = active ] && return 0
        sleep 0.1
    done
    return 1
}
process() { # the daemon's id; never 0, which would be everybody
    id=$(shown keeper MainPID)
    [ "$id" -gt 1 ] || exit 6
    echo "$id"
}

STORE=/etc/credstore.encrypted
inside systemd-creds setup >/dev/null 2>&1
for name in keystore keystore_password; do
    inside systemd-creds encrypt --with-key=host --name=$name "/files/$name" "$STORE/keeper-signer.$name" 2>/dev/null
done
inside systemd-creds encrypt --with-key=host --name=endpoint /files/endpoint $STORE/keeper.endpoint 2>/dev/null
inside install -m 0600 -o keeper-signer /files/policy.json /etc/keeper-signer/policy.json
inside install -d -m 0700 -o keeper-signer -g keeper-signer /var/lib/keeper-signer
inside install -m 0600 -o keeper-signer /files/signer.sqlite /var/lib/keeper-signer/signer.sqlite
inside systemctl start keeper-signer
echo "signer=$(inside systemctl is-active keeper-signer)"
inside systemctl start probe
echo "probe=$(shown probe Result) $(inside journalctl -u probe -o cat --no-pager | grep -o 'signer answers.*')"
inside systemctl start keeper 2>/dev/null
again 0
echo "daemon=$(inside systemctl is-active keeper)"
echo "status=$(shown keeper StatusText)"
# the page as a viewer on this machine meets it, and what its own process may do
viewer() { inside env PYTHONHOME=/opt/py LD_LIBRARY_PATH=/opt/py/lib "/opt/py/bin/$PYTHON" -P /etc/keeper/viewer.py "$@"; }
echo "page=$(viewer 127.0.0.1:8467 30)"
echo "page_stranger=$(viewer stranger.example 0)"
page=$(inside pgrep -P "$(process)" -f keeper.daemon.paging.process)
echo "page_sandbox=$(inside sh -c "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/$page/status" | tr -s '\t\n' '  ')"
echo "page_user=$(inside ps -o user= -p "$page")"
# a changed policy is taken over by the same process, a wrong file changes nothing and ends nothing
id=$(process)
inside sed -i 's/^trigger = .*/trigger = "1.26"/' /etc/keeper/keeper.toml
inside systemctl reload keeper; said=$?
sleep 1
echo "reload=$said $(inside systemctl is-active keeper) $(inside journalctl -u keeper -o cat --no-pager | grep -o -m1 'taken over')"
inside sed -i 's/^trigger = .*/trigger = "soon"/' /etc/keeper/keeper.toml
inside systemctl reload keeper 2>/dev/null; said=$?
inside sed -i 's/^trigger = .*/trigger = "1.26"/' /etc/keeper/keeper.toml
echo "reload_wrong=$said $(inside systemctl is-active keeper)"
[ "$id" = "$(process)" ]; echo "reload_process=$?"
id=$(process); inside kill -STOP "$id"; again "$id"
echo "hang=$(inside systemctl is-active keeper) restarts $(shown keeper NRestarts)"
id=$(process); inside kill -TERM "$id"; again "$id"
echo "stray_sigterm=$(inside systemctl is-active keeper) restarts $(shown keeper NRestarts)"
inside systemctl stop keeper
echo "stop=$(shown keeper Result) $(inside systemctl is-active keeper)"
inside sh -c 'echo "nonsense = 1" >>/etc/keeper/keeper.toml'
inside systemctl start keeper 2>/dev/null
sleep 3
echo "bad_config=$(inside systemctl is-active keeper) $(shown keeper ExecMainStatus)"
inside systemctl stop keeper-signer
echo "signer_stop=$(shown keeper-signer Result)"
