//! Log lines and metrics of a gateway's process.

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{EnvFilter, filter::Directive, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use super::banner::READY_TARGET;
use crate::{
    config::{Config, LogFormat},
    output,
};

/// Histograms keep samples until they are tended; the exporter's own default is the same.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Dependencies that say at info what is worth a debug line.
const QUIETER: &str = "sea_orm_migration=warn,sqlx=warn,libp2p=warn,libp2p_kad=error";

/// Whether `text` is a filter for log lines.
pub(super) fn check_filter(text: &str) -> anyhow::Result<()> {
    EnvFilter::builder()
        .parse(text)
        .map(drop)
        .with_context(|| format!("{text:?} is no filter such as \"info\" or \"info,rustdht_net=debug\""))
}

/// Installs the subscriber for log lines on stderr: `RUST_LOG` wins over the configuration.
pub(crate) fn install_logs(config: &Config) -> anyhow::Result<()> {
    let text =
        std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty()).unwrap_or_else(|| config.log.level.clone());
    // A bare level is meant for this program, not for what it is built from.
    let text = if text.contains(['=', ',']) { text } else { format!("{text},{QUIETER}") };
    let ready: Directive = format!("{READY_TARGET}=info").parse()?;
    let filter = EnvFilter::builder()
        .parse(&text)
        .with_context(|| format!("RUST_LOG {text:?} is no filter"))?
        .add_directive(ready);
    let json = match config.log.format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        let lines = fmt::layer().json().flatten_event(true).log_internal_errors(false).with_writer(std::io::stderr);
        registry.with(lines).try_init().context("log lines are installed twice")
    } else {
        let lines = fmt::layer()
            .log_internal_errors(false)
            .with_ansi(output::stderr_has_colours())
            .with_target(false)
            .with_writer(std::io::stderr);
        registry.with(lines).try_init().context("log lines are installed twice")
    }
}

/// Installs the recorder of metrics for the process.
pub(crate) fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new().install_recorder().context("metrics are installed twice")
}

/// Tends the recorder until it is told to stop.
pub(super) async fn upkeep(handle: PrometheusHandle, cancel: CancellationToken) -> anyhow::Result<()> {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => handle.run_upkeep(),
            () = cancel.cancelled() => return Ok(()),
        }
    }
}
