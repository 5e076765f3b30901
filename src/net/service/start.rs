//! Making the swarm, listening, and reading what is durable.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicBool},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm, identity,
    multiaddr::Protocol,
    swarm::{self, SwarmEvent},
};
use rustdht_core::{
    Clock, Entropy, Stamp,
    ports::{Ingest, ReplicaId, StoreError},
};
use rustdht_dht::{EngineConfig, Index, Key};
use rustdht_wire::{ReplicaRecord, SigningKey};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Service,
    blocks::{Doorkeeper, Members, Shelf},
};
use crate::{
    Handle, NetConfig, NetError,
    addresses::{Addresses, with_peer},
    behaviour::Behaviour,
    config::DhtMode,
    hello::Secret,
    limits::{GUEST_IDLE, INDEX_PAGE, LISTEN_TIMEOUT, MAX_COMMANDS, MAX_PROVIDER_LOOKUPS, RELOAD},
    routing::Which,
    transport,
};

impl Service {
    /// Makes the swarm and listens. When it returns, every port is bound and known.
    ///
    /// # Errors
    /// [`NetError::Listen`] when a port is taken, [`NetError::Address`] for an address that cannot be used.
    pub async fn new(
        config: &NetConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<(Self, Handle), NetError> {
        let bad_identity = |error: String| NetError::Identity(error);
        let keypair =
            identity::Keypair::ed25519_from_bytes(config.identity).map_err(|error| bad_identity(error.to_string()))?;
        let local = keypair.public().to_peer_id();
        let id = ReplicaId(local.to_base58());
        let signing = SigningKey::from_seed(&config.identity);
        let record = ReplicaRecord {
            net: config.net,
            replica: id.0.clone(),
            key: signing.public(),
            role: config.role,
            stamp: Stamp::from_ms(clock.now_ms()),
        };
        let record = record.sign(&signing).map_err(|refusal| bad_identity(refusal.to_string()))?;
        let mut addresses = Addresses::default();
        for text in &config.dial {
            let (peer, address) = with_peer(text)?;
            if peer != local {
                addresses.ask_for(peer, &address);
            }
        }
        let external = config.external.iter().map(|text| external_address(text)).collect::<Result<Vec<_>, _>>()?;
        for text in &config.ipfs.peers {
            let (peer, address) = with_peer(text)?;
            if peer != local {
                addresses.ask_for(peer, &address);
            }
        }
        let (shelf, members) = (Arc::new(Shelf::default()), Arc::new(Members::default()));
        let doorkeeper = Arc::new(Doorkeeper::new(&config.ipfs, Arc::clone(&members)));
        let behaviour = Behaviour::new(config, &keypair, Arc::clone(&shelf) as _, doorkeeper)?;
        let bitswap = behaviour.bitswap();
        // Those of members are kept by `Keeper`; strangers are closed by `hello`.
        let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(GUEST_IDLE);
        let mut swarm = Box::new(Swarm::new(transport::build(&keypair)?, behaviour, local, settings));
        for text in &config.ipfs.bootstrap {
            let (peer, address) = with_peer(text)?;
            if let Some(kad) = swarm.behaviour_mut().kad(Which::Public).filter(|_| peer != local) {
                kad.add_address(&peer, address);
            }
        }
        external.iter().for_each(|address| swarm.add_external_address(address.clone()));
        let mut listen = Vec::new();
        for host in &config.hosts {
            let port = listen_on(&mut swarm, tcp(*host, config.port), &mut listen).await?;
            match listen_on(&mut swarm, quic(*host, port), &mut listen).await {
                // The system chose a port for TCP that UDP has in use.
                Err(_) if config.port == 0 => listen_on(&mut swarm, quic(*host, 0), &mut listen).await?,
                result => result?,
            };
            if let Some(port) = config.ws_port {
                let address = tcp(*host, port).with(Protocol::Ws("/".into()));
                listen_on(&mut swarm, address, &mut listen).await?;
            }
        }
        let (sender, commands) = mpsc::channel(MAX_COMMANDS);
        let (nobody, _) = broadcast::channel(MAX_PROVIDER_LOOKUPS);
        let all = external.iter().chain(&listen);
        let texts: Vec<String> = all.map(|address| address.clone().with(Protocol::P2p(local)).to_string()).collect();
        let alone = Arc::new(AtomicBool::new(false));
        let started = tokio::time::Instant::now();
        let handle = Handle {
            commands: sender,
            started,
            id: id.clone(),
            listen: texts.into(),
            alone: Arc::clone(&alone),
            bitswap: bitswap.clone(),
            nobody: nobody.clone(),
            gate: config.ipfs.gate.clone(),
            public: config.ipfs.dht != DhtMode::Off,
        };
        let mut incarnation = [0; 8];
        entropy.fill(&mut incarnation);
        let service = Self {
            swarm,
            clock,
            started,
            entropy,
            engine: EngineConfig { net: config.net, placement: config.placement, record },
            secret: Secret { net: config.net, network_key: config.network_key, local },
            incarnation,
            listen,
            external,
            addresses,
            commands,
            id,
            alone,
            shelf,
            members,
            bitswap,
            nobody,
        };
        Ok((service, handle))
    }
}

/// The durable rows of the engine.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// The rows and the index, read again and again while the store fails: to start without them would be to forget the
/// members, and to fetch everything anew. `None`: cancelled.
pub(super) async fn load(ingest: &dyn Ingest, cancel: &CancellationToken) -> Option<(Rows, Index)> {
    let read = async {
        let rows = persist(|| ingest.saved()).await;
        let (mut index, mut after) = (Index::new(), 0);
        loop {
            let (items, next) = persist(|| ingest.index(after, INDEX_PAGE)).await;
            if items.is_empty() {
                return (rows, index);
            }
            items.iter().for_each(|item| {
                index.insert(Key::from(item), item.partition);
            });
            after = next;
        }
    };
    cancel.run_until_cancelled(read).await
}

async fn persist<T, F>(mut read: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match read().await {
            Ok(read) => return read,
            Err(error) => tracing::error!(%error, "the store cannot be read; the swarm waits for it"),
        }
        tokio::time::sleep(RELOAD).await;
    }
}

fn external_address(text: &str) -> Result<Multiaddr, NetError> {
    let mut address: Multiaddr =
        text.parse().map_err(|error| NetError::Address { address: text.to_owned(), reason: format!("{error}") })?;
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    Ok(address)
}

fn tcp(host: IpAddr, port: u16) -> Multiaddr {
    Multiaddr::from(host).with(Protocol::Tcp(port))
}

fn quic(host: IpAddr, port: u16) -> Multiaddr {
    Multiaddr::from(host).with(Protocol::Udp(port)).with(Protocol::QuicV1)
}

fn port_of(address: &Multiaddr) -> u16 {
    address.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None }).unwrap_or(0)
}

/// What an error and its causes say; the outer ones of a transport are often silent.
fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).filter(|text| !text.is_empty()).collect();
    texts.dedup();
    texts.join(": ")
}

/// Listens, and waits until the first address is known; the others of a wildcard follow at once. Returns the TCP port.
async fn listen_on(
    swarm: &mut Swarm<Behaviour>,
    address: Multiaddr,
    known: &mut Vec<Multiaddr>,
) -> Result<u16, NetError> {
    let failed = |reason: String| NetError::Listen { address: address.to_string(), reason };
    let listener = swarm.listen_on(address.clone()).map_err(|error| failed(reason(&error)))?;
    let mut port = None;
    let wait = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address } if listener_id == listener => {
                    port = Some(port_of(&address));
                    known.push(address);
                    return Ok(());
                }
                SwarmEvent::NewListenAddr { address, .. } => known.push(address),
                SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. } if listener_id == listener => {
                    return Err(failed(reason(&error)));
                }
                SwarmEvent::ListenerError { listener_id, error } if listener_id == listener => {
                    return Err(failed(reason(&error)));
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(LISTEN_TIMEOUT, wait).await.map_err(|_| failed("no address in time".to_owned()))??;
    Ok(port.unwrap_or(0))
}
