# Recipes for daily work; `.ci/run` is what must pass.

default:
    @just --list

# Format, lint and test everything
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace

# Licences and layering (needs cargo-deny)
deny:
    cargo deny check

# Rewrite the generated files: example config, command line reference, OpenAPI, test vectors, snapshots
generate:
    RUSTDHT_UPDATE=1 INSTA_UPDATE=always cargo test --workspace

# A gateway with its data in ./rustdht-data
serve *arguments:
    cargo run --release -- serve {{arguments}}

# Three gateways that split and merge
demo:
    cargo run --release -- demo

# The API documentation of the crates
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Three gateways in containers, from the binary built here
compose:
    cargo build --release
    RUSTDHT_TARGET=from-binary docker compose up --build
