#!/usr/bin/env bash
# The guide's own lines, and the units that they install, under a real systemd as PID 1, on an overlay of this machine's
# root (nothing is written back). boot_units.sh WORK TREE VENV BASE: a folder with what the test laid out, the checkout,
# its environment, the interpreter's own prefix. WORK/pages holds the lines of each section, as `does PLACE LINE`.
# Prints KEY=VALUE lines, of a page's line its place and how it ended. Ends everything it started.
set -uo pipefail
WORK=$1 TREE=$2 VENV=$3 BASE=$4
PYTHON=$(basename "$(readlink -f "$VENV/bin/python")")
SITE=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
LAYERS=$WORK/layers ROOT=$WORK/layers/root
NSPAWN=""
cleanup() {
    # a halt stops every process first, and who waits for one of them from outside stops with it and waits for ever
    [ -z "${TYPING:-}" ] || pkill -KILL -P "$TYPING" || true
    if [ -n "$NSPAWN" ]; then kill "$NSPAWN" 2>/dev/null; wait "$NSPAWN" 2>/dev/null; fi
    umount "$ROOT" "$LAYERS" 2>/dev/null || umount -l "$ROOT" "$LAYERS"
}
trap cleanup EXIT
trap "exit 143" TERM
mkdir -p "$LAYERS" && mount -t tmpfs -o size=1g tmpfs "$LAYERS" || exit 3
mkdir -p "$LAYERS"/{up,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$LAYERS/up,workdir=$LAYERS/work" "$ROOT" || exit 3

# what the install page's first chapter leaves behind: /opt/keeper and its environment, here without the packages' copies
OPT=$ROOT/opt/keeper
mkdir -p "$ROOT"/opt/{py,tree,site} "$OPT/.venv/bin" "$OPT/.venv/lib/$PYTHON/site-packages"
for part in "$TREE"/*; do ln -s "/opt/tree/$(basename "$part")" "$OPT/"; done
ln -s "/opt/py/bin/$PYTHON" "$OPT/.venv/bin/python"
echo 'home = /opt/py/bin' >"$OPT/.venv/pyvenv.cfg"
printf '/opt/site\n/opt/keeper\n' >"$OPT/.venv/lib/$PYTHON/site-packages/packages.pth"
printf '#!/opt/keeper/.venv/bin/python\nimport sys\nfrom keeper.cli import main\nsys.exit(main())\n' >"$OPT/.venv/bin/keeper"
mkdir -p "$ROOT/etc/systemd/system.conf.d" "$ROOT/usr/local/bin" "$ROOT/files"
# an interpreter whose library lies beside it finds it there
printf '[Manager]\nDefaultEnvironment=LD_LIBRARY_PATH=/opt/py/lib\n' >"$ROOT/etc/systemd/system.conf.d/test.conf"
printf '#!/bin/sh\nif [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi\nexec "$@"\n' \
    >"$ROOT/usr/local/bin/sudo"
chmod +x "$OPT/.venv/bin/keeper" "$ROOT/usr/local/bin/sudo"
UNITS=$ROOT/etc/systemd/system
mkdir -p "$UNITS/keeper.service.d"
printf '[Service]\nWatchdogSec=6\nRestartSec=1\nLoadCredential=page_token:/files/page_token\n' >"$UNITS/keeper.service.d/90-test.conf"
printf '[Unit]\nRequires=sysinit.target basic.target\nAfter=sysinit.target basic.target\n' >"$UNITS/t.target"
cp "$WORK"/files/* "$ROOT/files/"
cp "$WORK"/home/* "$ROOT/root/"

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
inside() {
    nsenter -t "$LEADER" -m -u -i -n -p env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LD_LIBRARY_PATH=/opt/py/lib SYSTEMD_COLORS=0 "$@"
}
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
does() { # one line of a page, as root at a terminal of that machine
    inside bash -euo pipefail -c "cd /opt/keeper; $2" >"$WORK/said" 2>&1 </dev/null
    said=$?
    echo "$1=$said"
    [ "$said" = 0 ] || { echo "$1: $2"; tail -20 "$WORK/said"; } >&2
}
follow() { . "$WORK/pages/$1"; }

# whoever sits there and types the keystore's password when he is asked
inside sh -c 'while sleep 0.1; do for asked in /run/systemd/ask-password/ask.*; do
    [ -e "$asked" ] && /lib/systemd/systemd-reply-password 1 "$(sed -n s/^Socket=//p "$asked")" </files/keystore_password
done; done' 2>/dev/null &
TYPING=$!

follow install-configuration
follow install-alarms
follow service-secrets
follow install-start
echo "daemon=$(inside systemctl is-active keeper)"
# the keystore, which the page's first way has shredded, is the signer's on its second
cp "$WORK/home/keystore.json" "$ROOT/root/"
follow service-signer
echo "signer=$(inside systemctl is-active keeper-signer)"
echo "plain_secrets=$(inside sh -c 'cd /root; ls keystore.json endpoint.url alarms.txt 2>/dev/null' | tr '\n' ' ')"
# the daemon's own sandbox around a question to the signer
sed -e "s#^ExecStart=.*#ExecStart=/opt/keeper/.venv/bin/python /etc/keeper/probe.py#; s/^Type=.*/Type=oneshot/; /^Restart/d; /^Watchdog/d; /^ExecReload/d" \
    "$UNITS/keeper.service" >"$UNITS/probe.service"
cp -r "$UNITS/keeper.service.d" "$UNITS/probe.service.d"
rm "$UNITS/probe.service.d/90-test.conf"
cp "$WORK"/files/{probe.py,address,viewer.py} "$ROOT/etc/keeper/"
inside systemctl daemon-reload
inside systemctl start probe
echo "probe=$(shown probe Result) $(inside journalctl -u probe -o cat --no-pager | grep -o 'signer answers.*')"
# a second daemon, of another chain
inside sh -c 'sed "s#^state_dir = .*#state_dir = \"/var/lib/keeper/base\"#; s/:8467/:8468/" /etc/keeper/keeper.toml >/etc/keeper/base.toml'
inside sh -c 'cd /etc/credstore.encrypted && for name in endpoint alarms; do cp keeper.$name keeper-base.$name; done'
follow service-instance
echo "instance=$(inside systemctl is-active keeper@base) $(inside ls /var/lib/keeper/base | grep -o '^control.sock')"
inside systemctl stop keeper@base
follow service-renew
inside systemctl start keeper-renew@vault 2>/dev/null
echo "renew=$(inside systemctl is-active keeper-renew@vault.timer) $(shown keeper-renew@vault ExecMainStatus) $(inside journalctl -u keeper-renew@vault -o cat --no-pager | grep -o -m1 -e '--executor vault: no position')"
inside journalctl -u keeper-renew@vault -o cat --no-pager >&2
follow upgrade-restart
echo "upgraded=$(inside systemctl is-active keeper)"
echo "status=$(shown keeper StatusText)"
# the page as a viewer on this machine meets it, and what its own process may do
viewer() { inside /opt/keeper/.venv/bin/python -P /etc/keeper/viewer.py "$@"; }
echo "page=$(viewer 127.0.0.1:8467 30)"
echo "page_stranger=$(viewer stranger.example 0)"
page=$(inside pgrep -P "$(process)" -f keeper.daemon.paging.process)
echo "page_sandbox=$(inside sh -c "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/$page/status" | tr -s '\t\n' '  ')"
echo "page_user=$(inside ps -o user= -p "$page")"
echo "page_token=$(inside ls /run/credentials/keeper.service | grep -c page_token) $(inside journalctl -u keeper -o cat --no-pager | grep -c page_token)"
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
