# A Kubo that keeps to itself: loopback only, no bootstrap, no multicast DNS, no routing. Sourced, not run.
#   KUBO           the `ipfs` binary; `tests/interop/kubo/build` prints one
#   kubo_init DIR [PROFILE,...]     makes a repository
#   kubo_start DIR [FLAG...]        starts its daemon; sets KUBO_PID, KUBO_API, KUBO_GATEWAY and KUBO_SWARM
#   kubo_stop PID                   ends a daemon that kubo_start started, and waits for it
#   kubo_ipfs DIR ARGUMENT...       the command line, on that repository (through its daemon while one runs)
# shellcheck shell=bash

# What the daemon and the command line need to know; one place, so that nothing of Kubo's talks to the world.
kubo_ipfs() {
    local dir=$1
    shift
    # GOLOG_LOG_LEVEL: its warnings about UDP buffers would drown an error.
    IPFS_PATH=$dir IPFS_TELEMETRY=off GOLOG_LOG_LEVEL=${GOLOG_LOG_LEVEL:-error} "$KUBO" "$@"
}

kubo_init() {
    # `test`: port 0 on loopback for API, gateway and swarm; neither bootstrap nor multicast DNS nor remote configuration.
    kubo_ipfs "$1" init --empty-repo --profile "test,announce-off${2:+,$2}" >/dev/null
    kubo_ipfs "$1" config Routing.Type none
    # `test` listens on TCP alone. rust-ipfs and ours speak QUIC as well.
    kubo_ipfs "$1" config --json Addresses.Swarm '["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]'
    # Blocks come by Bitswap or not at all, and nobody is asked for a newer version.
    kubo_ipfs "$1" config --json HTTPRetrieval.Enabled false
    kubo_ipfs "$1" config --json Version.SwarmCheckEnabled false
}

# In the foreground: for those who start processes themselves. `exec` makes the daemon the process that was started.
kubo_daemon() {
    # shellcheck disable=SC2030,SC2031
    export IPFS_PATH=$1 IPFS_TELEMETRY=off GOLOG_LOG_LEVEL=${GOLOG_LOG_LEVEL:-error}
    shift
    # Left by a daemon that was killed, they would tell the addresses of the dead one.
    rm -f "$IPFS_PATH/api" "$IPFS_PATH/gateway"
    exec "$KUBO" daemon "$@"
}

# kubo_http FILE: the multiaddr in a file of the repository, as a URL.
kubo_http() { sed -E 's#^/ip4/([0-9.]+)/tcp/([0-9]+).*#http://\1:\2#; s#/+$##' "$1"; }

kubo_start() {
    local dir=$1
    shift
    # Emptied here, not by the new process: until it runs, the log of an earlier daemon would say "ready".
    : >"$dir.log"
    (kubo_daemon "$dir" "$@") >>"$dir.log" 2>&1 &
    KUBO_PID=$!
    for _ in $(seq 300); do
        kill -0 "$KUBO_PID" 2>/dev/null || break
        if grep -q '^Daemon is ready' "$dir.log"; then
            # shellcheck disable=SC2034
            KUBO_API=$(kubo_http "$dir/api") KUBO_GATEWAY=$(kubo_http "$dir/gateway")
            # Empty with `--offline`.
            # shellcheck disable=SC2034
            KUBO_SWARM=$(kubo_ipfs "$dir" id -f '<addrs>' | grep /tcp/ | head -n 1 || true)
            return 0
        fi
        sleep 0.1
    done
    echo "error: the Kubo daemon ended or was not ready within 30 s: $(tail -n 3 "$dir.log")" >&2
    return 1
}

kubo_stop() {
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}
