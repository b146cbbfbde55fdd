#!/usr/bin/env bash
# Once more, alone, what failed with all cores busy beside it: at most three tests, and only of those that play real
# nodes and daemons on the wall clock. A test of pure code is never asked twice. Whoever passes only the second time is
# named, so that its cause is looked for: a race in a test, or one in the keeper.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(cat build/test-status 2>/dev/null)" != 1 ]; then
    echo "not asked again: the run did not come to its end"
    exit 1
fi
failed="$(.venv/bin/python - <<'EOF'
import json
from pathlib import Path

kept = Path(".pytest_cache/v/cache/lastfailed")
print("\n".join(json.loads(kept.read_text()) if kept.is_file() else ()))
EOF
)"
count="$(grep -c . <<<"$failed" || true)"
if [ "$count" -lt 1 ] || [ "$count" -gt 3 ]; then
    echo "not asked again: $count tests failed (1 to 3 may be)"
    exit 1
fi
mapfile -t names <<<"$failed"
# a test without the marker is deselected, and then fewer pass than failed
out="$(.venv/bin/python -m pytest -q -m anvil "${names[@]}" 2>&1)" || { echo "$out"; exit 1; }
echo "$out"
if ! grep -qE "^(=+ )?$count passed" <<<"$out" || grep -q deselected <<<"$out"; then
    echo "not forgiven: not each of those $count tests is one of real nodes"
    exit 1
fi
echo "PASSED ONLY ALONE, look for the race in each:"
printf '  %s\n' "${names[@]}"
