//! The use cases over fakes of the ports, on a clock that only moves when told.

mod apart;
mod authority;
mod deferral;
mod exchange;
mod forged;
mod link;
mod members;
mod revocation;
mod spaces;
mod watching;
mod writing;

use std::{sync::Arc, time::Duration};

use rustdht_core::{
    Soul, Value,
    ports::{GraphStore as _, Ingest, Replicator},
};
use rustdht_testkit::{ManualClock, MemoryStore, Recorder, SeededEntropy, TempBlobs};

use crate::{
    At, Config, Founding, Mode, Node, NodeWrite, NodeWritten, Ports, Principal, RenderOptions, Wanted, WriteMode,
};

pub(crate) use link::Link;

pub(crate) const NOW_MS: u64 = 1_795_000_000_000;

pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) net: Arc<Recorder>,
}

impl Bench {
    pub(crate) async fn new(seed: u64) -> Self {
        Self::on(Arc::new(MemoryStore::default()), Arc::new(ManualClock::new(NOW_MS)), seed, founding()).await
    }

    /// A node beside `other`, in the same network.
    pub(crate) async fn joined(other: &Self, seed: u64) -> Self {
        let invite = other.node.invite().await.unwrap().parse::<rustdht_wire::Invite>().unwrap();
        let clock = Arc::clone(&other.clock);
        Self::on(Arc::new(MemoryStore::default()), clock, seed, Founding::Join(Box::new(invite))).await
    }

    pub(crate) async fn on(store: Arc<MemoryStore>, clock: Arc<ManualClock>, seed: u64, founding: Founding) -> Self {
        Self::beside(store, clock, seed, founding, None).await
    }

    /// A gateway that founded a network of mode `members`.
    pub(crate) async fn founder(seed: u64) -> Self {
        let founding = Founding::Found { name: "test".into(), mode: Mode::Members };
        let bench =
            Self::on(Arc::new(MemoryStore::default()), Arc::new(ManualClock::new(NOW_MS)), seed, founding).await;
        // It lists itself in `~C` on its own; what the tests count comes after that.
        for _ in 0..500 {
            if !bench.store.entries().is_empty() {
                return bench;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the founder is not listed")
    }

    /// A gateway beside `other`, which issued it a member certificate.
    pub(crate) async fn member(other: &Self, seed: u64) -> Self {
        let invite = other.node.invite().await.unwrap().parse::<rustdht_wire::Invite>().unwrap();
        let (store, founding) = (Arc::new(MemoryStore::default()), Founding::Join(Box::new(invite)));
        let bench = Self::beside(store, Arc::clone(&other.clock), seed, founding, Some(other.node.ingest())).await;
        bench.until_member().await;
        bench
    }

    /// Waits until this gateway may endorse and what waited for it is endorsed.
    pub(crate) async fn until_member(&self) {
        for _ in 0..500 {
            let waits = self.store.side_scan(crate::unendorsed::NS, &[], 1).await.unwrap();
            if !self.node.member_chain().is_empty() && waits.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no certificate came");
    }

    async fn beside(
        store: Arc<MemoryStore>,
        clock: Arc<ManualClock>,
        seed: u64,
        founding: Founding,
        peer: Option<Arc<dyn Ingest>>,
    ) -> Self {
        let ports = Ports {
            store: store.clone(),
            blobs: Arc::new(TempBlobs::default()),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(seed)),
        };
        let (node, tasks) = Node::start(ports, Config::new(founding, [0; 32], [9; 32].into())).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends with the test")]
        drop(tokio::spawn(tasks.run()));
        let net = Arc::new(Recorder::default());
        let link = Arc::new(Link::new(Arc::clone(&net), peer));
        node.bind(link as Arc<dyn Replicator>);
        Self { node, store, clock, net }
    }

    pub(crate) async fn patch(&self, soul: &str, fields: &[(&str, Wanted)]) -> NodeWritten {
        self.node.write(request(soul, WriteMode::Patch, fields)).await.unwrap()
    }

    /// The data of a node as JSON text, or `absent`.
    pub(crate) async fn data(&self, soul: &str) -> String {
        let soul: Soul = soul.parse().unwrap();
        match self.node.get(&soul, At::Local, RenderOptions::default()).await.unwrap() {
            Some(node) => {
                let json: serde_json::Value = serde_json::from_slice(&node.json).unwrap();
                json["data"].to_string()
            }
            None => "absent".to_owned(),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.node.stop();
    }
}

pub(crate) fn founding() -> Founding {
    Founding::Found { name: "test".into(), mode: Mode::Open }
}

pub(crate) fn request(soul: &str, mode: WriteMode, fields: &[(&str, Wanted)]) -> NodeWrite {
    NodeWrite {
        by: Principal::Owner,
        soul: soul.parse().unwrap(),
        mode,
        fields: fields.iter().map(|(name, wanted)| (name.parse().unwrap(), wanted.clone())).collect(),
        if_match: None,
        if_none_match: None,
        wait: Duration::ZERO,
        render: RenderOptions::default(),
    }
}

pub(crate) fn text(text: &str) -> Wanted {
    Wanted::Value(Value::from(text))
}

pub(crate) fn set(elements: &[i64]) -> Wanted {
    Wanted::set(elements.iter().map(|element| Value::Int(*element)))
}
