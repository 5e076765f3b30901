//! The keys and the network of this database.

use rustdht_core::{Code, Mode, Placement, Refusal, ports::SideRow};
use rustdht_wire::{Charter, Invite, SigningKey};

use crate::{Config, Error, Founding, Identity, Ports};

/// Namespace of secret and identity rows.
const NS: &str = "identity";
const CHARTER: &[u8] = b"charter";
const NETWORK_KEY: &[u8] = b"network_key";
const PEER: &[u8] = b"peer";
const GATEWAY: &[u8] = b"gateway";
const COMMUNITY: &[u8] = b"community";

/// The identity with its secrets.
pub(crate) struct Secrets {
    pub(crate) identity: Identity,
    pub(crate) gateway: SigningKey,
    pub(crate) peer_seed: [u8; 32],
    pub(crate) network_key: [u8; 32],
    /// The signed charter, as invites carry it.
    pub(crate) charter: rustdht_wire::SignedCharter,
}

/// Reads the identity, or makes one: a PeerId key, a gateway key and, when founding, the community key.
pub(crate) async fn load_or_found(ports: &Ports, config: &Config) -> Result<Secrets, Error> {
    if let Some(stored) = ports.store.side_get(NS, CHARTER).await? {
        let secrets = load(ports, &stored).await?;
        if let Founding::Join(invite) = &config.founding
            && invite.charter.net() != secrets.identity.net
        {
            let detail = format!(
                "this data folder belongs to network {}, the invite to {}",
                secrets.identity.net,
                invite.charter.net()
            );
            return Err(Refusal::new(Code::WrongNetwork, detail).into());
        }
        return Ok(secrets);
    }
    found(ports, &config.founding).await?;
    let stored = ports.store.side_get(NS, CHARTER).await?.ok_or_else(incomplete)?;
    load(ports, &stored).await
}

fn incomplete() -> Error {
    Error::Store(rustdht_core::ports::StoreError::Failed("the database's identity is incomplete".into()))
}

async fn seed(ports: &Ports, name: &'static [u8]) -> Result<[u8; 32], Error> {
    let stored = ports.store.side_get(NS, name).await?;
    stored.and_then(|bytes| bytes.try_into().ok()).ok_or_else(incomplete)
}

async fn load(ports: &Ports, charter: &[u8]) -> Result<Secrets, Error> {
    let signed = rustdht_wire::SignedCharter::decode(charter)?;
    let gateway = SigningKey::from_seed(&seed(ports, GATEWAY).await?);
    let charter = signed.charter();
    if charter.mode == Mode::Members {
        let detail = "this version does not know endorsements, which networks of mode members need";
        return Err(Refusal::new(Code::WrongNetwork, detail).into());
    }
    let identity = Identity {
        net: signed.net(),
        name: charter.name.clone(),
        mode: charter.mode,
        placement: charter.placement,
        gateway: gateway.public(),
        community: charter.community,
    };
    Ok(Secrets {
        identity,
        gateway,
        peer_seed: seed(ports, PEER).await?,
        network_key: seed(ports, NETWORK_KEY).await?,
        charter: signed,
    })
}

async fn found(ports: &Ports, founding: &Founding) -> Result<(), Error> {
    let random = || {
        let mut bytes = [0; 32];
        ports.entropy.fill(&mut bytes);
        bytes
    };
    let row = |key: &'static [u8], value: Vec<u8>| SideRow {
        ns: NS,
        key: key.to_vec(),
        value: Some(value),
        insert_only: true,
    };
    let mut side = vec![row(PEER, random().to_vec()), row(GATEWAY, random().to_vec())];
    match founding {
        Founding::Found { name } => {
            let community = random();
            let key = SigningKey::from_seed(&community);
            let nonce = random();
            let mut short = [0; 16];
            short.copy_from_slice(&nonce[..16]);
            let charter = Charter {
                name: name.clone(),
                mode: Mode::Open,
                community: key.public(),
                placement: Placement::default(),
                nonce: short,
            };
            side.push(row(COMMUNITY, community.to_vec()));
            side.push(row(NETWORK_KEY, random().to_vec()));
            side.push(row(CHARTER, charter.sign(&key)?.encode()));
        }
        Founding::Join(invite) => {
            side.push(row(NETWORK_KEY, invite.network_key.to_vec()));
            side.push(row(CHARTER, invite.charter.encode()));
        }
    }
    let batch = rustdht_core::ports::Batch { side, now_ms: ports.clock.now_ms(), ..Default::default() };
    // A duplicate means that another process founded first; its identity is then read.
    ports.store.apply(batch).await?;
    Ok(())
}

impl Secrets {
    /// The invite to this network.
    pub(crate) fn invite(&self, addresses: Vec<String>) -> Invite {
        Invite { charter: self.charter.clone(), network_key: self.network_key, addresses }
    }
}
