//! The composition root: the one file that names every crate. It opens what lasts, starts what runs, binds the two
//! directions between node and network, and stops all of it in the reverse order.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use rustdht_core::{
    Clock, Code, Entropy,
    ports::{DagStore, GraphStore, Replicator},
};
use rustdht_node::{Founding, Node, SealKey};
use rustdht_wire::Invite;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    banner::Facts,
    bucket, collector,
    data_dir::DataDir,
    denylist, ports, routing,
    switch::{Swarm, Switch},
    system::{OsEntropy, SystemClock},
    task::Task,
    telemetry, uploads,
};
use crate::{
    config::{Anonymous, Config, Mode, Registration, read_owner_token},
    exit::{Exit, coded},
};

/// Requests under way get the gateway's own grace period; this is what their connections need beyond it.
const HTTP_GRACE: Duration = rustdht_gateway::limits::DRAIN.saturating_add(Duration::from_millis(200));
/// The swarm closes its connections.
const NET_GRACE: Duration = Duration::from_millis(400);
/// The merger answers what it took.
const NODE_GRACE: Duration = Duration::from_millis(800);

/// What a gateway is started with.
pub(crate) struct Options {
    /// The configuration, validated.
    pub config: Config,
    /// The network to enter.
    pub join: Option<Invite>,
    /// The name of the network to found, if one is founded.
    pub name: String,
    /// The recorder behind `/metrics`, one per process.
    pub metrics: Option<PrometheusHandle>,
}

/// A running gateway.
pub(crate) struct App {
    facts: Facts,
    node: Node,
    switch: Arc<Switch>,
    net_config: rustdht_net::NetConfig,
    readiness: rustdht_gateway::Readiness,
    http: Task,
    net: Task,
    carrier: Task,
    upkeep: Option<Task>,
    denylists: Task,
    collector: Task,
    uploads: Task,
    store: Arc<dyn GraphStore>,
    blobs: Arc<dyn DagStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    // Last, so that the folder is let go after everything in it is closed.
    _data_dir: DataDir,
}

impl App {
    /// Starts a gateway. Ports and folder are taken first, so that a start that cannot succeed changes nothing.
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        let started = Instant::now();
        let Options { config, join, name, metrics } = options;
        let token = config.gateway.owner_token_file.as_deref().map(read_owner_token).transpose()?;
        let listener = ports::http(config.gateway.listen).await?;
        let http_address = ports::bound(&listener)?;
        ports::probe_peers(&config)?;
        let (denylist_files, deny_rules) = denylist::Files::open(config.ipfs.denylist.clone()).await?;
        let data_dir = DataDir::open(&config.data_dir)?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let store = open_store(&config, &data_dir).await?;
        let blob_store = open_blobs(&config, &data_dir, &*entropy).await?;
        let blobs: Arc<dyn DagStore> = Arc::new(blob_store.clone());

        let addresses = join.as_ref().map(|invite| invite.addresses.clone()).unwrap_or_default();
        let mode = match config.network.mode {
            Mode::Members => rustdht_core::Mode::Members,
            Mode::Open => rustdht_core::Mode::Open,
        };
        let founding = join.map_or(Founding::Found { name, mode }, |invite| Founding::Join(Box::new(invite)));
        let node_ports = rustdht_node::Ports {
            store: Arc::clone(&store),
            blobs: Arc::clone(&blobs),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        };
        let key = data_dir.seal_key(&*entropy)?;
        let node_config = rustdht_node::Config {
            pins: pins_config(&config),
            ..rustdht_node::Config::new(founding, data_dir.host_tag(), SealKey::new(key.bytes))
        };
        let (node, tasks) = match Node::start(node_ports, node_config).await {
            Ok(started) => started,
            Err(error) => {
                if matches!(error, rustdht_node::Error::SealKey(_)) {
                    key.forget_if_new();
                }
                return Err(explain_start(error));
            }
        };
        node.denylist().replace(deny_rules);
        let denylists = Task::start("the denylists", |cancel| {
            let denylist = Arc::clone(node.denylist());
            denylist_files.watch(denylist, cancel)
        });
        let schedule = collector::Schedule {
            every: Duration::from_secs(u64::from(config.blobs.gc_minutes) * 60),
            disk_percent: config.blobs.gc_disk_percent,
            disk: config.blobs.s3_bucket.is_none().then(|| data_dir.path.clone()),
        };
        let collector =
            Task::start("the collector", |cancel| collector::run(schedule, Arc::clone(&blobs), node.roots(), cancel));
        let carrier = Task::start("the node", |cancel| {
            let node = node.clone();
            async move {
                let mut run = std::pin::pin!(tasks.run());
                tokio::select! {
                    ended = &mut run => Ok(ended?),
                    () = cancel.cancelled() => {
                        node.stop();
                        Ok(run.await?)
                    }
                }
            }
        });

        let net_config = net_config(&config, &node);
        let (net, swarm) = start_net(&net_config, &node, &clock, &entropy).await?;
        let switch = Arc::new(Switch::new(swarm));
        node.bind(Arc::clone(&switch) as Arc<dyn Replicator>);
        blob_store.bind_source(Arc::clone(&switch) as _);
        let links = routing::bind(&node, &switch, &config)
            .map_err(|error| coded(Exit::BadConfig, format!("bad configuration: {error:#}")))?;
        for address in &addresses {
            // One address of an invite may be of a kind that is not spoken here; the others may do.
            if let Err(error) = node.dial(address).await {
                tracing::warn!(address, %error, "an address of the invite cannot be used");
            }
        }

        let readiness = rustdht_gateway::Readiness::default();
        let stopping = CancellationToken::new();
        let gateway_config = rustdht_gateway::Config {
            listen: http_address,
            owner_token: token.as_deref().map(rustdht_gateway::Secret::new),
            anonymous: match config.gateway.anonymous {
                Anonymous::Read => rustdht_gateway::Anonymous::Read,
                Anonymous::None => rustdht_gateway::Anonymous::None,
            },
            registration: match config.gateway.registration {
                Registration::Closed => rustdht_gateway::Registration::Closed,
                Registration::Invite => rustdht_gateway::Registration::Invite,
                Registration::Open => rustdht_gateway::Registration::Open,
            },
            public_url: config.gateway.public_url.clone(),
            ipfs: gateway_ipfs(&config),
        };
        let system = rustdht_gateway::System { clock: Arc::clone(&clock), entropy: Arc::clone(&entropy) };
        let state = rustdht_gateway::State::new(
            node.clone(),
            gateway_config,
            system,
            readiness.clone(),
            metrics.clone(),
            stopping.clone(),
        )
        .map_err(|error| coded(Exit::BadConfig, format!("bad configuration: {error}")))?;
        state.bind_names(node.names());
        if let Some(links) = links {
            state.bind_dnslinks(links);
        }
        state.bind_denied(Arc::clone(node.denylist()) as _);
        let uploads = uploads::start(&state, &blob_store);
        let router = rustdht_gateway::router(state);
        let http = Task::with_token("HTTP", stopping, |cancel| async move {
            rustdht_gateway::serve(listener, router, cancel).await;
            Ok(())
        });
        let upkeep = metrics.map(|handle| {
            rustdht_gateway::describe_metrics();
            rustdht_node::describe_metrics();
            rustdht_net::describe_metrics();
            Task::start("the metrics' upkeep", |cancel| telemetry::upkeep(handle, cancel))
        });

        let status = switch.status().await.context("the network did not start")?;
        let identity = node.identity();
        let facts = Facts {
            network: identity.name.clone(),
            network_id: identity.net.to_string(),
            peer_id: status.id.to_string(),
            http: http_address,
            listen: status.listen,
            data_dir: data_dir.path.clone(),
            created: data_dir.created,
            has_token: token.is_some(),
            public_url: config.gateway.public_url,
            elapsed: started.elapsed(),
        };
        readiness.set_ready();
        Ok(Self {
            facts,
            node,
            switch,
            net_config,
            readiness,
            http,
            net,
            carrier,
            upkeep,
            denylists,
            collector,
            uploads,
            store,
            blobs,
            clock,
            entropy,
            _data_dir: data_dir,
        })
    }

    /// What there is to say about it.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Waits until a part ends that should not have.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        let upkeep = async {
            match &mut self.upkeep {
                Some(task) => task.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = self.http.failed() => error,
            error = self.net.failed() => error,
            error = self.carrier.failed() => error,
            error = upkeep => error,
            error = self.denylists.failed() => error,
            error = self.collector.failed() => error,
            error = self.uploads.failed() => error,
        }
    }

    /// Takes the gateway off the network; it goes on alone.
    pub(crate) async fn cut(&mut self) -> anyhow::Result<()> {
        self.switch.cut().await?;
        self.net.stop(NET_GRACE).await;
        Ok(())
    }

    /// Brings it back.
    pub(crate) async fn heal(&mut self) -> anyhow::Result<()> {
        let (net, swarm) = start_net(&self.net_config, &self.node, &self.clock, &self.entropy).await?;
        self.net = net;
        self.switch.join(swarm);
        Ok(())
    }

    /// Stops it: no new requests, those under way answered, the network left, the merger drained, the stores closed.
    pub(crate) async fn stop(mut self) {
        self.readiness.set_stopping();
        self.http.stop(HTTP_GRACE).await;
        self.net.stop(NET_GRACE).await;
        self.carrier.stop(NODE_GRACE).await;
        if let Some(upkeep) = &mut self.upkeep {
            upkeep.stop(NET_GRACE).await;
        }
        self.denylists.stop(NET_GRACE).await;
        self.collector.stop(NET_GRACE).await;
        self.uploads.stop(NET_GRACE).await;
        self.blobs.close().await;
        self.store.close().await;
    }
}

async fn open_store(config: &Config, data_dir: &DataDir) -> anyhow::Result<Arc<dyn GraphStore>> {
    let store_config = rustdht_store::Config {
        writer_cache_bytes: u64::from(config.store.cache_mib) << 20,
        history_days: config.store.history_days,
        history_per_field: config.store.history_per_field,
        feed_days: config.store.feed_days,
        ..rustdht_store::Config::new(data_dir.path.join("graph.sqlite"))
    };
    Ok(Arc::new(rustdht_store::Store::open(store_config).await.context("the graph cannot be opened")?))
}

async fn open_blobs(
    config: &Config,
    data_dir: &DataDir,
    entropy: &dyn Entropy,
) -> anyhow::Result<rustdht_blobs::Store> {
    let mut blobs_config = rustdht_blobs::Config::new(data_dir.path.join("blobs"));
    blobs_config.uploads = uploads::bounds(config);
    // Whoever has a place for an upload there must not wait for one here; the rest is for who adds without HTTP.
    blobs_config.max_adds = rustdht_gateway::limits::MAX_UPLOADS + 8;
    if config.blobs.s3_bucket.is_some() {
        let objects = bucket::objects(&config.blobs)?;
        let mut fresh = [0; 16];
        entropy.fill(&mut fresh);
        blobs_config.fresh_id = Some(fresh);
        return rustdht_blobs::Store::open_bucket(blobs_config, objects).await.context("the blobs cannot be opened");
    }
    // Reading back what a killed process left takes as long as the disk needs.
    tokio::task::spawn_blocking(|| rustdht_blobs::Store::open(blobs_config))
        .await?
        .context("the blobs cannot be opened")
}

fn explain_start(error: rustdht_node::Error) -> anyhow::Error {
    match error {
        rustdht_node::Error::Refused(refusal) if refusal.code == Code::WrongNetwork => coded(
            Exit::BadConfig,
            format!("{}; leave --join out, or name another folder with --data-dir", refusal.detail),
        ),
        error @ rustdht_node::Error::SealKey(_) => coded(Exit::BadConfig, error.to_string()),
        error => anyhow::Error::new(error).context("the node cannot be started"),
    }
}

/// The part of the gateway's configuration that is about content.
pub(super) fn gateway_ipfs(config: &Config) -> rustdht_gateway::Ipfs {
    rustdht_gateway::Ipfs {
        gateway_hosts: config.ipfs.gateway_hosts.clone(),
        dnslink: config.ipfs.dnslink.clone(),
        dnslink_hosts: config.ipfs.dnslink_hosts.clone(),
        fetch_timeout: Duration::from_secs(config.ipfs.fetch_timeout_s.into()),
        deserialized: config.ipfs.deserialized,
    }
}

fn pins_config(config: &Config) -> rustdht_node::PinsConfig {
    rustdht_node::PinsConfig {
        parallel: config.pins.parallel.into(),
        patience_ms: u64::from(config.pins.block_timeout_s) * 1000,
        give_up_ms: u64::from(config.pins.give_up_hours) * 3_600_000,
        bytes_per_account: config.quota.bytes_per_account,
        pins_per_account: config.quota.pins_per_account,
        ..rustdht_node::PinsConfig::default()
    }
}

fn net_config(config: &Config, node: &Node) -> rustdht_net::NetConfig {
    let identity = node.identity();
    rustdht_net::NetConfig {
        identity: node.peer_seed(),
        net: identity.net,
        network_key: node.network_key(),
        placement: identity.placement,
        role: rustdht_net::Role::Full,
        hosts: vec![config.net.host],
        port: config.net.port,
        ws_port: Some(config.net.ws_port),
        external: config.net.external.clone(),
        dial: config.net.dial.clone(),
        mdns: config.net.mdns,
        limits: rustdht_net::ConnectionLimits::default(),
        ipfs: routing::net_config(config, node),
    }
}

/// Starts the swarm; its ports are bound when this returns.
async fn start_net(
    net_config: &rustdht_net::NetConfig,
    node: &Node,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<(Task, Swarm)> {
    let (service, handle) = rustdht_net::Service::new(net_config, Arc::clone(clock), Arc::clone(entropy))
        .await
        .context("the network cannot be started")?;
    let ingest = node.ingest();
    let task = Task::start("the network", |cancel| async move {
        Box::pin(service.run(ingest, cancel)).await;
        Ok(())
    });
    Ok((task, handle.into()))
}
