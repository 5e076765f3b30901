//! Three gateways in one process.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    client::Client,
    config::Config,
    serve::{App, Options},
};

/// What has not happened by then will not.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often something that should happen is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// A gateway and a client of it.
pub(super) struct Gateway {
    pub name: char,
    pub app: App,
    pub client: Client,
}

/// Starts A, which founds a network, and B and C, which join it.
pub(super) async fn start(folder: &Path) -> anyhow::Result<[Gateway; 3]> {
    let a = one(folder, 'A', None).await?;
    let invite = a.client.get_json("/api/v1/invite").await?;
    let invite = invite["invite"].as_str().context("A gives no invite")?.to_owned();
    let b = one(folder, 'B', Some(&invite)).await?;
    let c = one(folder, 'C', Some(&invite)).await?;
    Ok([a, b, c])
}

async fn one(folder: &Path, name: char, invite: Option<&str>) -> anyhow::Result<Gateway> {
    let mut config = Config { data_dir: folder.join(name.to_string()), ..Config::default() };
    config.gateway.listen.set_port(0);
    config.net.host = config.gateway.listen.ip();
    (config.net.port, config.net.ws_port, config.net.mdns) = (0, 0, false);
    let join = invite.map(str::parse).transpose()?;
    let app = App::start(Options { config, join, name: "demo".to_owned(), metrics: None })
        .await
        .with_context(|| format!("gateway {name} does not start"))?;
    let client = Client::new(&app.facts().api(), None)?;
    Ok(Gateway { name, app, client })
}

/// Stops all three at once.
pub(super) async fn stop(gateways: [Gateway; 3]) {
    futures::future::join_all(gateways.map(|gateway| gateway.app.stop())).await;
}

/// Waits until each gateway reaches `members`, itself included.
pub(super) async fn connected(gateways: &[Gateway], members: u64) -> anyhow::Result<Duration> {
    wait("the gateways to connect", async || {
        for gateway in gateways {
            let status = gateway.client.get_json("/api/v1/status").await?;
            if status.pointer("/swarm/reachable").and_then(Value::as_u64) != Some(members) {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

/// Waits until each gateway is a member, so that what is written there passes on.
pub(super) async fn certified(gateways: &[Gateway]) -> anyhow::Result<Duration> {
    wait("the gateways to be certified", async || {
        for gateway in gateways {
            let status = gateway.client.get_json("/api/v1/status").await?;
            if status.pointer("/graph/may_endorse").and_then(Value::as_bool) != Some(true) {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

/// Waits until `done`; how long it took.
pub(super) async fn wait(what: &str, mut done: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<Duration> {
    let started = tokio::time::Instant::now();
    let reached = tokio::time::timeout(PATIENCE, async {
        while !done().await? {
            tokio::time::sleep(GLANCE).await;
        }
        anyhow::Ok(())
    });
    reached.await.with_context(|| format!("waited {} s in vain for {what}", PATIENCE.as_secs()))??;
    Ok(started.elapsed())
}
