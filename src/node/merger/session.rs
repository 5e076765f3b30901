//! The session under which an author signs here. It is written in the transaction that uses it, so (author, session,
//! seq) never repeats. Its row holds the hybrid clock too.

use rustdht_core::{CommitId, Entropy, PublicKey, Stamp, ports::SideRow};

use crate::{Error, Ports};

const NS: &str = "session";
const ROW_BYTES: usize = 8 + 8 + 32 + 8 + 32;

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(super) id: rustdht_core::Session,
    /// The next sequence number.
    pub(super) seq: u64,
    pub(super) prev: Option<CommitId>,
    author: PublicKey,
    host_tag: [u8; 32],
}

impl Session {
    /// Goes on with the stored session, or begins one: the first time, and on another machine or folder. With it the
    /// greatest stamp that was admitted when it was written.
    pub(crate) async fn load(ports: &Ports, host_tag: [u8; 32], author: PublicKey) -> Result<(Self, Stamp), Error> {
        let stored = ports.store.side_get(NS, &author.0).await?;
        let stored = stored.and_then(|row| Self::read(&row, author));
        Ok(match stored {
            Some((session, clock)) if session.host_tag == host_tag => (session, clock),
            other => {
                let clock = other.map_or_else(Stamp::default, |(_, clock)| clock);
                (Self::begin(&*ports.entropy, author, host_tag), clock)
            }
        })
    }

    fn begin(entropy: &dyn Entropy, author: PublicKey, host_tag: [u8; 32]) -> Self {
        let mut id = [0; 8];
        entropy.fill(&mut id);
        Self { id: rustdht_core::Session(id), seq: 0, prev: None, author, host_tag }
    }

    fn read(row: &[u8], author: PublicKey) -> Option<(Self, Stamp)> {
        if row.len() != ROW_BYTES {
            return None;
        }
        let seq = u64::from_be_bytes(row[8..16].try_into().ok()?);
        let prev = CommitId(row[16..48].try_into().ok()?);
        let session = Self {
            id: rustdht_core::Session(row[..8].try_into().ok()?),
            seq,
            prev: (seq > 0).then_some(prev),
            author,
            host_tag: row[56..].try_into().ok()?,
        };
        Some((session, Stamp(u64::from_be_bytes(row[48..56].try_into().ok()?))))
    }

    /// The row as it stands now.
    pub(super) fn row(&self, clock: Stamp) -> SideRow {
        let mut value = Vec::with_capacity(ROW_BYTES);
        value.extend(self.id.0);
        value.extend(self.seq.to_be_bytes());
        value.extend(self.prev.map_or([0; 32], |prev| prev.0));
        value.extend(clock.0.to_be_bytes());
        value.extend(self.host_tag);
        SideRow { ns: NS, key: self.author.0.to_vec(), value: Some(value), insert_only: false }
    }
}
