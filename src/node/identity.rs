//! The keys and the network of this database.

use rustdht_core::{Code, Placement, Refusal, ports::SideRow};
use rustdht_wire::{Charter, Invite, SigningKey};

use crate::{
    Config, Error, Founding, Identity, Ports,
    keys::{self, Seal},
};

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
    /// The community key, where this database founded the network.
    pub(crate) community: Option<SigningKey>,
    pub(crate) peer_seed: [u8; 32],
    pub(crate) network_key: [u8; 32],
    /// The signed charter, as invites carry it.
    pub(crate) charter: rustdht_wire::SignedCharter,
}

/// Reads the identity, or makes one: a PeerId key, a gateway key and, when founding, the community key.
pub(crate) async fn load_or_found(ports: &Ports, config: &Config) -> Result<Secrets, Error> {
    let seal = Seal::new(&config.seal_key);
    if let Some(stored) = ports.store.side_get(NS, CHARTER).await? {
        let secrets = load(ports, &seal, &stored).await?;
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
    found(ports, &seal, &config.founding).await?;
    let stored = ports.store.side_get(NS, CHARTER).await?.ok_or_else(incomplete)?;
    load(ports, &seal, &stored).await
}

fn incomplete() -> Error {
    Error::Store(rustdht_core::ports::StoreError::Failed("the database's identity is incomplete".into()))
}

async fn seed(ports: &Ports, seal: &Seal, name: &'static [u8]) -> Result<[u8; 32], Error> {
    let stored = ports.store.side_get(NS, name).await?.ok_or_else(incomplete)?;
    seal.open(NS, name, &stored)?.as_slice().try_into().map_err(|_| incomplete())
}

/// Seals secrets that an older version wrote as they are, all in one transaction.
async fn seal_raw(ports: &Ports, seal: &Seal) -> Result<(), Error> {
    let mut side = Vec::new();
    for name in [PEER, GATEWAY, COMMUNITY, NETWORK_KEY] {
        let stored = ports.store.side_get(NS, name).await?;
        if let Some(raw) = stored.filter(|row| keys::is_raw(row, 32)) {
            let value = seal.seal(NS, name, &raw, &*ports.entropy);
            side.push(SideRow { ns: NS, key: name.to_vec(), value: Some(value), insert_only: false });
        }
    }
    if !side.is_empty() {
        tracing::info!("sealing the secrets of this database under its key file");
        ports
            .store
            .apply(rustdht_core::ports::Batch { side, now_ms: ports.clock.now_ms(), ..Default::default() })
            .await?;
    }
    Ok(())
}

async fn load(ports: &Ports, seal: &Seal, charter: &[u8]) -> Result<Secrets, Error> {
    seal_raw(ports, seal).await?;
    let signed = rustdht_wire::SignedCharter::decode(charter)?;
    let gateway = SigningKey::from_seed(&seed(ports, seal, GATEWAY).await?);
    let charter = signed.charter();
    let community = match ports.store.side_get(NS, COMMUNITY).await? {
        Some(_) => Some(SigningKey::from_seed(&seed(ports, seal, COMMUNITY).await?)),
        None => None,
    };
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
        community: community.filter(|key| key.public() == charter.community),
        peer_seed: seed(ports, seal, PEER).await?,
        network_key: seed(ports, seal, NETWORK_KEY).await?,
        charter: signed,
    })
}

async fn found(ports: &Ports, seal: &Seal, founding: &Founding) -> Result<(), Error> {
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
    let secret = |key: &'static [u8], secret: [u8; 32]| row(key, seal.seal(NS, key, &secret, &*ports.entropy));
    let mut side = vec![secret(PEER, random()), secret(GATEWAY, random())];
    match founding {
        Founding::Found { name, mode } => {
            let community = random();
            let key = SigningKey::from_seed(&community);
            let nonce = random();
            let mut short = [0; 16];
            short.copy_from_slice(&nonce[..16]);
            let charter = Charter {
                name: name.clone(),
                mode: *mode,
                community: key.public(),
                placement: Placement::default(),
                nonce: short,
            };
            side.push(secret(COMMUNITY, community));
            side.push(secret(NETWORK_KEY, random()));
            side.push(row(CHARTER, charter.sign(&key)?.encode()));
        }
        Founding::Join(invite) => {
            side.push(secret(NETWORK_KEY, invite.network_key));
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
