#!/usr/bin/env bash
# promtool, where this machine has none: out of Debian's package, unpacked and not installed. The tests of the alert
# rules find it there. Ends with another code than 0 where it cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
PLACE=.cache/promtool
if command -v promtool >/dev/null || [ -x "$PLACE/promtool" ]; then exit 0; fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "promtool cannot be had: no Debian here"
    exit 1
fi
new="$(mktemp -d)"
trap 'rm -rf "$new"' EXIT
# _apt, as which the download runs, must be let in
chmod 755 "$new"
fetched() { (cd "$new" && timeout 120 apt-get -qq download prometheus >/dev/null 2>&1); }
# the lists of a machine that is new are empty
fetched || { timeout 120 apt-get -qq update >/dev/null 2>&1 && fetched; } || {
    echo "promtool cannot be had: no package of Debian's here"
    exit 1
}
dpkg-deb --fsys-tarfile "$new"/prometheus_*.deb | tar -x -C "$new" ./usr/bin/promtool
mkdir -p "$PLACE"
mv "$new/usr/bin/promtool" "$PLACE/promtool"
"$PLACE/promtool" --version 2>&1 | head -1
