//! The session under which the gateway key signs, and the hybrid clock. Both are written in the transaction that uses
//! them, so (author, session, seq) never repeats.

use rustdht_core::{CommitId, Entropy, Hlc, PublicKey, Stamp, ports::SideRow};

use crate::{Config, Error, Ports};

const NS: &str = "session";
const ROW_BYTES: usize = 8 + 8 + 32 + 8 + 32;

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(super) id: rustdht_core::Session,
    /// The next sequence number.
    pub(super) seq: u64,
    pub(super) prev: Option<CommitId>,
    pub(super) clock: Hlc,
    author: PublicKey,
    host_tag: [u8; 32],
}

impl Session {
    /// Goes on with the stored session, or begins one: the first time, and on another machine or folder.
    pub(crate) async fn load(ports: &Ports, config: &Config, author: PublicKey) -> Result<Self, Error> {
        let stored = ports.store.side_get(NS, &author.0).await?;
        let stored = stored.and_then(|row| Self::read(&row, author));
        Ok(match stored {
            Some(session) if session.host_tag == config.host_tag => session,
            other => {
                let clock = other.map_or_else(Hlc::default, |session| session.clock);
                Self::begin(&*ports.entropy, author, config.host_tag, clock)
            }
        })
    }

    fn begin(entropy: &dyn Entropy, author: PublicKey, host_tag: [u8; 32], clock: Hlc) -> Self {
        let mut id = [0; 8];
        entropy.fill(&mut id);
        Self { id: rustdht_core::Session(id), seq: 0, prev: None, clock, author, host_tag }
    }

    fn read(row: &[u8], author: PublicKey) -> Option<Self> {
        if row.len() != ROW_BYTES {
            return None;
        }
        let seq = u64::from_be_bytes(row[8..16].try_into().ok()?);
        let prev = CommitId(row[16..48].try_into().ok()?);
        Some(Self {
            id: rustdht_core::Session(row[..8].try_into().ok()?),
            seq,
            prev: (seq > 0).then_some(prev),
            clock: Hlc::new(Stamp(u64::from_be_bytes(row[48..56].try_into().ok()?))),
            author,
            host_tag: row[56..].try_into().ok()?,
        })
    }

    /// The greatest stamp admitted or given out.
    pub(crate) fn clock(&self) -> Stamp {
        self.clock.last()
    }

    /// The row as it stands now.
    pub(super) fn row(&self) -> SideRow {
        let mut value = Vec::with_capacity(ROW_BYTES);
        value.extend(self.id.0);
        value.extend(self.seq.to_be_bytes());
        value.extend(self.prev.map_or([0; 32], |prev| prev.0));
        value.extend(self.clock.last().0.to_be_bytes());
        value.extend(self.host_tag);
        SideRow { ns: NS, key: self.author.0.to_vec(), value: Some(value), insert_only: false }
    }
}
