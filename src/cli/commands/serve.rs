//! `rustdht serve`

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context as _;
use rustdht_wire::Invite;
use serde_json::{Value, json};

use super::config::Files;
use crate::{
    exit::{Exit, coded},
    serve::{App, Options, signals::Signals, telemetry, validate},
};

/// All of a stop; what is not done by then is given up. Acknowledged writes are on disk already.
const STOP_TIMEOUT: Duration = Duration::from_millis(4_700);

/// An invite file is one line of at most 8 KiB.
const MAX_INVITE_BYTES: u64 = 16 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Needs no configuration: data in ./rustdht-data, HTTP on 127.0.0.1:8480, peers on 4480 (TCP and QUIC) and
4481 (WebSocket). The first start founds a network, unless it joins one.

Examples:
  rustdht serve
  rustdht serve --data-dir second --listen 127.0.0.1:0 --port 0 --ws-port 0 --join \"$(rustdht invite)\""
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Address and port of the HTTP API; port 0 takes a free one [default: 127.0.0.1:8480]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Port for peers, TCP and QUIC; 0 takes a free one [default: 4480]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Port for peers over WebSocket; 0 takes a free one [default: 4481]
    #[arg(long, value_name = "N")]
    ws_port: Option<u16>,
    /// Enter the network of an invite (`rustdht invite` prints it), or of the invite in a file, as @FILE. In a folder
    /// that is in that network already, only the invite's addresses are taken up
    #[arg(long, value_name = "INVITE")]
    join: Option<String>,
    /// Name of the network that a first start founds
    #[arg(long, value_name = "NAME", default_value = "rustdht", conflicts_with = "join")]
    name: String,
}

impl Arguments {
    fn flags(&self) -> Vec<(&'static str, Value)> {
        let mut flags = Vec::new();
        if let Some(listen) = self.listen {
            flags.push(("gateway.listen", json!(listen)));
        }
        if let Some(port) = self.port {
            flags.push(("net.port", json!(port)));
        }
        if let Some(port) = self.ws_port {
            flags.push(("net.ws_port", json!(port)));
        }
        flags
    }
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.files.load(arguments.flags())?.config;
    validate(&config)?;
    let join = arguments.join.as_deref().map(invite).transpose()?;
    telemetry::install_logs(&config)?;
    let metrics = telemetry::install_metrics()?;
    let mut signals = Signals::new()?;
    // A signal during the start ends it; nothing has been promised to anybody yet.
    let mut app = tokio::select! {
        app = App::start(Options { config, join, name: arguments.name, metrics: Some(metrics) }) => app?,
        _ = signals.next() => return Ok(()),
    };
    app.facts().announce();
    let failure = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping; a second signal aborts");
            None
        }
        failure = app.failed() => {
            tracing::error!("stopping: {failure:#}");
            Some(failure)
        }
    };
    tokio::select! {
        stopped = tokio::time::timeout(STOP_TIMEOUT, app.stop()) => {
            stopped.context("the stop took too long and was given up; acknowledged writes are on disk")?;
        }
        name = signals.next() => anyhow::bail!("aborted by a second {name}; acknowledged writes are on disk"),
    }
    match failure {
        Some(failure) => Err(failure),
        None => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

/// Reads the invite of `--join`.
fn invite(text: &str) -> anyhow::Result<Invite> {
    let read;
    let text = match text.strip_prefix('@') {
        Some(file) => {
            read = read_invite(Path::new(file)).map_err(|error| coded(Exit::Usage, format!("--join: {error:#}")))?;
            read.as_str()
        }
        None => text,
    };
    // The text is a secret: an error must not repeat it.
    text.trim().parse().map_err(|error| {
        coded(
            Exit::Usage,
            format!("--join is no invite ({error}); `rustdht invite` prints one on a gateway of the network"),
        )
    })
}

fn read_invite(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let meta = std::fs::metadata(file).with_context(|| format!("cannot read {shown}"))?;
    anyhow::ensure!(meta.len() <= MAX_INVITE_BYTES, "{shown} is too large for an invite");
    std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_that_is_none_is_a_usage_error_and_is_not_repeated() {
        for text in ["", "rustdht1secretsecret", "@/nonexistent"] {
            let error = invite(text).unwrap_err();
            assert_eq!(crate::exit::of(&error), Exit::Usage);
            assert!(!error.to_string().contains("secretsecret"), "{error}");
        }
    }

    #[test]
    fn only_given_flags_become_a_layer() {
        let parse = |args: &[&str]| {
            use clap::Parser as _;
            let cli = crate::args::Cli::try_parse_from([&["rustdht", "serve"], args].concat()).unwrap();
            let crate::args::Command::Serve(arguments) = cli.command else { panic!("serve") };
            arguments.flags()
        };
        assert_eq!(parse(&[]), []);
        assert_eq!(
            parse(&["--listen", "127.0.0.1:0", "--port", "0", "--ws-port", "1"]),
            [("gateway.listen", json!("127.0.0.1:0")), ("net.port", json!(0)), ("net.ws_port", json!(1))]
        );
    }
}
