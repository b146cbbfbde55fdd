# Long steps that say they are alive, and a table of where the time went. Sourced by the Makefile's recipes.

# step "words" command...: run it, a line every 15 s while it lasts, its seconds at the end and in the table.
step() {
    local words="$1" started=$SECONDS ticker status=0
    shift
    echo "==> $words"
    (
        # short sleeps with no hold on stdout: neither a pipe nor a killed make waits for them
        n=0
        while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
            n=$((n + 1))
            if [ $((n % 15)) -eq 0 ]; then echo "    $words: $n s"; fi
        done
    ) &
    ticker=$!
    "$@" || status=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    if [ "$status" -ne 0 ]; then
        echo "error: '$words' failed after $((SECONDS - started)) s (exit $status); the lines above say why" >&2
        return "$status"
    fi
    echo "    $words: done in $((SECONDS - started)) s"
    mkdir -p build
    printf '%s\t%s\n' "$((SECONDS - started))" "$words" >>build/setup-times
}

# table: where the time of this run's steps went; nothing when no step ran.
table() {
    [ -s build/setup-times ] || return 0
    echo "Where the time went:"
    awk -F'\t' '{ printf "  %5d s  %s\n", $1, $2; sum += $1 } END { printf "  %5d s  together\n", sum }' build/setup-times
    rm -f build/setup-times
}
