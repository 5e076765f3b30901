//! `rustdht version`

use serde_json::json;

use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(output: Output) -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if output.json {
        output.line(json!({ "name": "rustdht", "version": version, "licence": env!("CARGO_PKG_LICENSE") }).to_string())
    } else {
        output.line(format!("rustdht {version}"))
    }
}
