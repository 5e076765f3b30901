# What the benchmark scripts share: a folder of their own, a release gateway on free ports, and measuring.
# Sourced, not run. Only processes started here are ended, each by its id.
# shellcheck shell=bash
set -euo pipefail
export LC_ALL=C

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TMP=$(mktemp -d "${TMPDIR:-/tmp}/rustdht-bench.XXXXXX")
PIDS=()
RUSTDHT=${RUSTDHT:-$ROOT/target/release/rustdht}
# Read by whoever sources this file, after start_gateway.
API='' GATEWAY_PID=''

die() {
    echo "error: $*" >&2
    exit 1
}

note() { echo "$*" >&2; }

cleanup() {
    local pid
    for pid in ${PIDS[@]+"${PIDS[@]}"}; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in ${PIDS[@]+"${PIDS[@]}"}; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$TMP"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# need COMMAND PACKAGE: says what is missing; installs nothing.
need() { command -v "$1" >/dev/null || die "'$1' is missing: install the package '$2'"; }

# Builds the release binary unless RUSTDHT names one.
build_gateway() {
    if [ "$RUSTDHT" = "$ROOT/target/release/rustdht" ]; then
        (cd "$ROOT" && cargo build --release --quiet --bin rustdht)
    fi
    [ -x "$RUSTDHT" ] || die "no binary at $RUSTDHT"
}

# start_gateway DATA_DIR: sets API and GATEWAY_PID once the gateway answers.
start_gateway() {
    local log
    log=$(mktemp "$TMP/gateway.XXXXXX.log")
    RUSTDHT__NET__MDNS=false RUSTDHT__NET__HOST=127.0.0.1 "$RUSTDHT" serve --data-dir "$1" \
        --listen 127.0.0.1:0 --port 0 --ws-port 0 >"$log" 2>&1 &
    GATEWAY_PID=$!
    PIDS+=("$GATEWAY_PID")
    for _ in $(seq 300); do
        kill -0 "$GATEWAY_PID" 2>/dev/null || die "the gateway ended: $(tail -n 5 "$log")"
        API=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$log" | head -n 1 || true)
        if [ -n "$API" ] && curl -fsS -o /dev/null "$API/readyz" 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    die "the gateway was not ready within 30 s: $(tail -n 5 "$log")"
}

# end PID [SIGNAL]: ends a process of ours and waits for it.
end() {
    local pid left=()
    kill "-${2:-TERM}" "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
    for pid in "${PIDS[@]}"; do
        [ "$pid" = "$1" ] || left+=("$pid")
    done
    PIDS=(${left[@]+"${left[@]}"})
}

# memory PID FIELD: VmRSS (now) or VmHWM (peak) in MiB.
memory() { awk -v field="$2:" '$1 == field { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }

# Lets VmHWM count from now on.
reset_peak() { echo 5 >"/proc/$1/clear_refs"; }

# CPU time of a process so far, in microseconds.
cpu_us() {
    awk -v ticks="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) * 1000000 / ticks }' "/proc/$1/stat"
}

now_us() { echo "${EPOCHREALTIME/[.,]/}"; }

# calc EXPRESSION [DECIMALS]
calc() { awk "BEGIN { printf \"%.${2:-2}f\", $1 }"; }

# median NUMBER...
median() {
    printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

machine() {
    echo "machine: $(nproc) cores, $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), kernel $(uname -r)"
    echo "load: $(cut -d' ' -f1-3 /proc/loadavg)"
}
