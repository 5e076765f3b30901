//! The use cases over fakes of the ports, on a clock that only moves when told.

mod deferral;
mod exchange;
mod watching;
mod writing;

use std::{sync::Arc, time::Duration};

use rustdht_core::{Soul, Value, ports::Replicator};
use rustdht_testkit::{ManualClock, MemoryBlobs, MemoryStore, Recorder, SeededEntropy};

use crate::{At, Config, Founding, Node, NodeWrite, NodeWritten, Ports, RenderOptions, Wanted, WriteMode};

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
        let ports = Ports {
            store: store.clone(),
            blobs: Arc::new(MemoryBlobs::default()),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(seed)),
        };
        let (node, tasks) = Node::start(ports, Config::new(founding, [0; 32])).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends with the test")]
        drop(tokio::spawn(tasks.run()));
        let net = Arc::new(Recorder::default());
        node.bind(Arc::clone(&net) as Arc<dyn Replicator>);
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
    Founding::Found { name: "test".into() }
}

pub(crate) fn request(soul: &str, mode: WriteMode, fields: &[(&str, Wanted)]) -> NodeWrite {
    NodeWrite {
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
    Wanted::Set(elements.iter().map(|element| Value::Int(*element)).collect())
}
