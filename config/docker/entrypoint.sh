#!/bin/sh
# Starts `rustdht` in a container.
#
#   RUSTDHT_INVITE_OUT=/shared/invite    once ready, write this network's invite there
#   RUSTDHT_INVITE_IN=/shared/invite     wait for that file and join its network; a gateway that is in a network
#                                        already starts without the file, too
#
# The invite is a secret: share its volume with members only.
set -eu

if [ "${1:-serve}" != serve ]; then
    exec rustdht "$@"
fi
[ $# -eq 0 ] || shift

if [ -n "${RUSTDHT_INVITE_IN:-}" ]; then
    waited=0
    until [ -s "$RUSTDHT_INVITE_IN" ] || [ -e "${RUSTDHT__DATA_DIR:-rustdht-data}/graph.sqlite" ]; do
        if [ "$waited" -ge 120 ]; then
            echo "no invite appeared at $RUSTDHT_INVITE_IN within 120 s" >&2
            exit 1
        fi
        waited=$((waited + 1))
        sleep 1
    done
    if [ -s "$RUSTDHT_INVITE_IN" ]; then
        set -- --join "@$RUSTDHT_INVITE_IN" "$@"
    fi
fi

if [ -n "${RUSTDHT_INVITE_OUT:-}" ]; then
    (
        # Addresses may have changed since the last start: an old invite is worse than a wait.
        rm -f "$RUSTDHT_INVITE_OUT"
        until rustdht health >/dev/null 2>&1; do sleep 1; done
        umask 077
        rustdht invite >"$RUSTDHT_INVITE_OUT.new"
        # Renamed, so that a reader never sees half of it.
        mv "$RUSTDHT_INVITE_OUT.new" "$RUSTDHT_INVITE_OUT"
    ) &
fi

# exec: the gateway becomes process 1 and gets SIGTERM itself.
exec rustdht serve "$@"
