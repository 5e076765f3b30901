# What the scripts of this folder share: a folder of their own, Kubo, and a gateway of ours set up for gateways' specifications.
# Sourced, not run. Only processes started here are ended, each by its id.
#   RUSTDHT    our binary, else the debug build
#   KUBO       the `ipfs` binary, else what `tests/interop/kubo/build` gives
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
# shellcheck source=../kubo/kubo.sh
. "$ROOT/tests/interop/kubo/kubo.sh"

# need_rustdht: RUSTDHT names a binary from here on.
need_rustdht() {
    if [ -z "${RUSTDHT:-}" ]; then
        (cd "$ROOT" && cargo build --quiet --locked --bin rustdht)
        RUSTDHT=${CARGO_TARGET_DIR:-$ROOT/target}/debug/rustdht
    fi
    RUSTDHT=$(realpath "$RUSTDHT")
    export RUSTDHT
}

# need_kubo: KUBO names a binary from here on. Ends the script with 77 and the reason where there is none.
need_kubo() {
    [ -n "${KUBO:-}" ] || KUBO=$("$ROOT/tests/interop/kubo/build") || exit "$?"
    export KUBO
}

# gateway_run DIR [DNSLINKS]: the gateway in the foreground, on free ports of loopback. The hosts are those under which the
# specifications' own suite asks; DNSLINKS is `name=target`, comma separated.
gateway_run() {
    export RUSTDHT__NET__MDNS=false RUSTDHT__NET__HOST=127.0.0.1 RUSTDHT__LOG__FORMAT=json
    export RUSTDHT__IPFS__GATEWAY_HOSTS=example.com,localhost RUSTDHT__IPFS__DNSLINK=${2:-}
    exec "$RUSTDHT" serve --data-dir "$1" --listen 127.0.0.1:0 --port 0 --ws-port 0
}

# gateway_start DIR [DNSLINKS]: sets API and GATEWAY_PID once the gateway answers.
gateway_start() {
    : >"$1.log"
    (gateway_run "$@") >>"$1.log" 2>&1 &
    GATEWAY_PID=$!
    for _ in $(seq 300); do
        kill -0 "$GATEWAY_PID" 2>/dev/null || break
        API=$(sed -n 's/.*"message":"ready".*"api":"\([^"]*\)".*/\1/p' "$1.log")
        [ -z "$API" ] || return 0
        sleep 0.1
    done
    echo "error: the gateway ended or was not ready within 30 s: $(tail -n 3 "$1.log")" >&2
    return 1
}

# What a record of the name system is stored under is the part before the `_` in a fixture's file name.
record_name() { basename "$1" .ipns-record | cut -d_ -f1; }
