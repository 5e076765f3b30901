#   docker build -t rustdht .                               from source
#   docker build -t rustdht --target from-binary .          from a binary that `cargo build --release` made here
#
# BASE is the base image of what runs. Its glibc must be as new as that of the machine that built the binary.
# The stages need nothing beyond the classic builder.
ARG BASE=debian:trixie-slim

# --- what both images share ---------------------------------------------------------------------------------------
FROM ${BASE} AS base
# Written by hand, so that a bare base without useradd serves too.
RUN echo 'rustdht:x:10001:10001::/data:/usr/sbin/nologin' >> /etc/passwd && \
    echo 'rustdht:x:10001:' >> /etc/group && \
    mkdir -p /data /shared && chown 10001:10001 /data /shared && chmod 700 /data /shared
COPY config/docker/entrypoint.sh /usr/local/bin/rustdht-entrypoint
# Inside a container loopback reaches nobody: listen on all addresses. Writing from outside needs the owner's token.
ENV RUSTDHT__DATA_DIR=/data/rustdht RUSTDHT__GATEWAY__LISTEN=0.0.0.0:8480
VOLUME /data
EXPOSE 8480/tcp 4480/tcp 4480/udp 4481/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["rustdht", "health"]
ENTRYPOINT ["rustdht-entrypoint"]
CMD ["serve"]

# --- from a binary built outside ----------------------------------------------------------------------------------
FROM base AS from-binary
ARG BINARY=target/release/rustdht
COPY ${BINARY} /usr/local/bin/rustdht
USER 10001:10001

# --- from source: the default -------------------------------------------------------------------------------------
FROM rust:1-trixie AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --bin rustdht

FROM base AS runtime
COPY --from=build /source/target/release/rustdht /usr/local/bin/rustdht
USER 10001:10001
