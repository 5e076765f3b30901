//! `rustdht openapi`

use crate::args::Global;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(global: &Global) -> anyhow::Result<()> {
    global.output().line(rustdht_gateway::openapi_json().trim_end())
}
