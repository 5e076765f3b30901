//! Every configuration key, once: name, type, default, documentation.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// A key as the example file and the check for unknown keys see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name inside the section.
    pub name: &'static str,
    /// The lines of its documentation.
    pub docs: &'static [&'static str],
}

macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $section:ident $keys:ident { $( $(#[doc = $doc:literal])* $name:ident: $type:ty = $default:expr, )* }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $section { $( $(#[doc = $doc])* pub $name: $type, )* }

        impl Default for $section {
            fn default() -> Self {
                Self { $( $name: $default, )* }
            }
        }

        const $keys: &[Key] = &[$( Key { name: stringify!($name), docs: &[$($doc),*] }, )*];
    };
}

/// Who may read without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Anonymous {
    /// Anyone may GET and HEAD public nodes and blobs.
    Read,
    /// Nobody.
    None,
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Registration {
    /// Whoever runs the gateway.
    Closed,
    /// Also who has an invite code.
    Invite,
    /// Anybody.
    Open,
}

/// Who may write in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Writes pass between gateways when one that the community certified endorses them.
    Members,
    /// Whoever has the invite writes.
    Open,
}

/// Whom Bitswap gives blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Serve {
    /// Everybody who connects.
    All,
    /// Members of the network.
    Members,
    /// Nobody.
    None,
}

/// How the public DHT is taken part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dht {
    /// Not at all.
    Off,
    /// It is asked.
    Client,
    /// It is answered as well.
    Server,
}

/// What DHTs are told to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Provide {
    /// The roots of what is kept.
    Roots,
    /// Every block.
    All,
    /// Nothing.
    Off,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

section! {
    /// HTTP.
    Gateway GATEWAY {
        /// Address and port of the HTTP API. Port 0 takes a free one; `rustdht status` shows it.
        /// Anything but a loopback address needs `owner_token_file`, or nobody can write.
        listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8480),
        /// File with the owner's token, at least 16 characters, not readable by others (`chmod 600`; files under
        /// /run/secrets are taken as they are). Send it as `Authorization: Bearer`.
        owner_token_file: Option<PathBuf> = None,
        /// What callers without a token may do: "read" (public nodes and blobs) or "none".
        anonymous: Anonymous = Anonymous::Read,
        /// Who may make an account: "closed" (who runs the gateway), "invite" (also who has a code of `rustdht user
        /// invite`) or "open" (anybody).
        registration: Registration = Registration::Closed,
        /// The URL under which others reach this gateway. Once set, loopback callers need the token too.
        public_url: Option<String> = None,
    }
}

section! {
    /// Peers.
    Net NET {
        /// Address of the network interface that listens for peers; 0.0.0.0 is all of them.
        host: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        /// Port for peers, TCP and QUIC alike. 0 takes a free one.
        port: u16 = 4480,
        /// Port for peers over WebSocket. 0 takes a free one.
        ws_port: u16 = 4481,
        /// Look for members of the network on the local network (multicast DNS).
        mdns: bool = true,
        /// Multiaddrs ending in /p2p/... that are dialled at start.
        dial: Vec<String> = Vec::new(),
        /// Multiaddrs under which others reach this node when it cannot know them itself (port forwarding, containers).
        external: Vec<String> = Vec::new(),
    }
}

section! {
    /// Content by CID and by name.
    Ipfs IPFS {
        /// Domains whose subdomains show content, each under an origin of its own: `{cid}.ipfs.<domain>` and
        /// `{name}.ipns.<domain>`. `localhost` is one without being named, on loopback and without `public_url`.
        gateway_hosts: Vec<String> = Vec::new(),
        /// What DNSLink names stand for, as "name=/ipfs/..." or "name=/ipns/...", for private names and tests; wins
        /// over DNS. The names are hosts that show their website, too.
        dnslink: Vec<String> = Vec::new(),
        /// Domains that show the website their DNSLink names; "*.example.org" means all below example.org.
        dnslink_hosts: Vec<String> = Vec::new(),
        /// Seconds that one step of a request for content may take, such as a block that others hold.
        fetch_timeout_s: u32 = 30,
        /// Show files, directories and values. Without, only what clients can verify: blocks, archives, IPNS records.
        deserialized: bool = true,
        /// Whom Bitswap gives blocks: "all", "members" (of the network) or "none" (members neither).
        serve: Serve = Serve::All,
        /// The public DHT of IPFS: "off", "client" (it is asked for providers and names, and told what is here) or "server"
        /// (it is also answered, and records are kept for it; others have to be able to connect).
        dht: Dht = Dht::Off,
        /// Its protocol; a private network of IPFS nodes has another.
        dht_protocol: String = "/ipfs/kad/1.0.0".to_owned(),
        /// Multiaddrs ending in /p2p/... of peers from which the public DHT is entered.
        bootstrap: Vec<String> = Vec::new(),
        /// Multiaddrs ending in /p2p/... of IPFS nodes that are kept connected, such as a Kubo of one's own.
        peers: Vec<String> = Vec::new(),
        /// What DHTs are told to be here: "roots" (of what is kept), "all" (every block) or "off". New ones at once, all
        /// of them every 22 hours.
        provide: Provide = Provide::Roots,
        /// URLs of routers that are asked for providers and names beside the DHTs (Delegated Routing V1 over HTTP).
        delegated_routers: Vec<String> = Vec::new(),
        /// Files in the compact denylist format: what they name is neither served nor fetched nor pinned. They are read
        /// again when they change; later ones win.
        denylist: Vec<PathBuf> = Vec::new(),
    }
}

section! {
    /// The block store.
    Blobs BLOBS {
        /// Minutes between two collections: blocks go that nothing keeps and that nobody used since the one before. Leases end,
        /// and what was fetched for readers goes, with them only. 0: never, except for `rustdht blob gc` and a full disk.
        gc_minutes: u32 = 60,
        /// Hundredths of the disk in use from which everything that nothing keeps goes at once. 0: not for that reason.
        gc_disk_percent: u8 = 90,
        /// Greatest length of an upload in parts (tus), in GiB. Other uploads have no bound but the quota.
        upload_max_gib: u16 = 64,
        /// GiB that the unfinished ones among them may hold together. One that nothing comes for is given up after a day.
        uploads_open_gib: u16 = 256,
        /// A bucket that speaks S3 keeps the blocks, instead of the data folder. It belongs to the first gateway that uses it
        /// with this `s3_prefix`; another one does not start.
        s3_bucket: Option<String> = None,
        /// What the names of its objects begin with.
        s3_prefix: String = String::new(),
        /// The URL of the service, where it is not Amazon's.
        s3_endpoint: Option<String> = None,
        /// Its region.
        s3_region: String = "us-east-1".to_owned(),
        /// File with the access key's id and, on the next line, its secret, not readable by others (`chmod 600`).
        s3_access_key_file: Option<PathBuf> = None,
    }
}

section! {
    /// What is kept.
    Pins PINS {
        /// DAGs that are fetched at once; each holds up to 16 MiB of blocks.
        parallel: u16 = 4,
        /// Seconds that one block may take; then the fetch is tried again later.
        block_timeout_s: u32 = 60,
        /// Hours after which a pin that cannot be had is given up.
        give_up_hours: u32 = 24,
    }
}

section! {
    /// What accounts may keep. The owner of the gateway keeps what he wants.
    Quota QUOTA {
        /// Bytes of what an account pins, uploads, or leases for a day, each root once; 0 is any number.
        bytes_per_account: u64 = 0,
        /// Pins that an account may have; 0 is any number.
        pins_per_account: u64 = 100_000,
    }
}

section! {
    /// The network that a first start founds; one that exists keeps what it was founded with.
    Network NETWORK {
        /// "members" (writes pass between gateways when one that the community certified endorses them) or "open"
        /// (whoever has the invite writes).
        mode: Mode = Mode::Members,
    }
}

section! {
    /// The graph's database.
    Store STORE {
        /// Page cache of the writer in MiB.
        cache_mib: u32 = 16,
        /// Days for which values that lost their field are kept for the merge inspector.
        history_days: u32 = 30,
        /// How many of them are kept for one field; the latest stay.
        history_per_field: u32 = 16,
        /// Days for which `watch` can be taken up again where it broke.
        feed_days: u32 = 7,
    }
}

section! {
    /// Log lines. `RUST_LOG` wins over `level`.
    Log LOG {
        /// error, warn, info, debug, trace, or a filter such as "info,rustdht_net=debug".
        level: String = "info".to_owned(),
        /// "auto" (pretty on a terminal, JSON otherwise), "pretty" or "json".
        format: LogFormat = LogFormat::Auto,
    }
}

/// The whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub data_dir: PathBuf,
    pub gateway: Gateway,
    pub net: Net,
    pub ipfs: Ipfs,
    pub blobs: Blobs,
    pub pins: Pins,
    pub quota: Quota,
    pub network: Network,
    pub store: Store,
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "rustdht-data".into(),
            gateway: Gateway::default(),
            net: Net::default(),
            ipfs: Ipfs::default(),
            blobs: Blobs::default(),
            pins: Pins::default(),
            quota: Quota::default(),
            network: Network::default(),
            store: Store::default(),
            log: Log::default(),
        }
    }
}

/// Sections in the order of the example file; the first has no name.
pub(crate) const SECTIONS: &[(&str, &str, &[Key])] = &[
    (
        "",
        "",
        &[Key {
            name: "data_dir",
            docs: &[
                " Folder of everything this node keeps, its keys among it. Made (readable by its owner only) if absent.",
            ],
        }],
    ),
    ("gateway", "HTTP", GATEWAY),
    ("net", "Peers", NET),
    ("ipfs", "Content by CID and by name", IPFS),
    ("blobs", "The block store", BLOBS),
    ("pins", "What is kept", PINS),
    ("quota", "What accounts may keep; the owner of the gateway keeps what he wants", QUOTA),
    ("network", "The network that a first start founds; one that exists keeps what it was founded with", NETWORK),
    ("store", "The graph's database", STORE),
    ("log", "Log lines; RUST_LOG wins over `level`", LOG),
];

/// Every key as `section.key`.
pub(crate) fn keys() -> impl Iterator<Item = String> {
    SECTIONS.iter().flat_map(|(section, _, keys)| {
        keys.iter()
            .map(move |key| if section.is_empty() { key.name.to_owned() } else { format!("{section}.{}", key.name) })
    })
}
