//! Work beside the event loop: what the node verifies, merges, loads and saves.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures::FutureExt;
use libp2p::{PeerId, request_response::ResponseChannel};
use rustdht_core::{
    PublicKey, RecordId, Soul,
    ports::{Ingest, IngestOutcome, IpnsName, NameRecord, ReplicaId},
};
use rustdht_dht::{Input, Token};
use rustdht_wire::protocol::{Protocol, Response};
use tokio::task::JoinError;

use super::{Chain, Running};
use crate::limits::LIVE_TIMEOUT;

/// What a job brought.
pub(super) enum Done {
    /// Something for the engine.
    Engine(Input),
    /// A record of a name that a peer put was checked; `None`: it is not kept.
    Name(IpnsName, Option<NameRecord>),
    /// A certificate that a peer asked for.
    Certify(ResponseChannel<Response>, Chain),
    /// A live message was heard, and may be passed on or not; `None`: not in time.
    Heard(PeerId, Option<bool>),
    /// Rows were written.
    Saved,
}

/// A panic inside the node must not leave the engine waiting.
async fn guarded<T>(work: impl Future<Output = T>, otherwise: T) -> T {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(_) => {
            tracing::error!("a replication job panicked");
            otherwise
        }
    }
}

impl Running {
    fn spawn<F>(&mut self, job: impl FnOnce(Arc<dyn Ingest>) -> F)
    where
        F: Future<Output = Done> + Send + 'static,
    {
        let job = job(self.ingest.clone());
        self.jobs.spawn(job);
    }

    pub(super) fn spawn_ingest(&mut self, token: Token, from: ReplicaId, envelopes: Vec<Bytes>) {
        let unavailable = vec![IngestOutcome::Unavailable; envelopes.len()];
        self.spawn(|ingest| async move {
            let outcomes = guarded(ingest.ingest(&from, envelopes), unavailable).await;
            Done::Engine(Input::Ingested { token, outcomes })
        });
    }

    pub(super) fn spawn_load(&mut self, token: Token, records: Vec<RecordId>, max_bytes: usize) {
        self.spawn(|ingest| async move {
            let (envelopes, missing) = guarded(ingest.envelopes(&records, max_bytes), (vec![], vec![])).await;
            Done::Engine(Input::Loaded { token, envelopes, missing })
        });
    }

    pub(super) fn spawn_load_soul(&mut self, token: Token, soul: Soul, max_bytes: usize) {
        self.spawn(|ingest| async move {
            let envelopes = guarded(ingest.soul_envelopes(&soul, max_bytes), vec![]).await;
            Done::Engine(Input::Loaded { token, envelopes, missing: vec![] })
        });
    }

    pub(super) fn spawn_name(&mut self, name: IpnsName, record: Bytes) {
        self.spawn(|ingest| async move { Done::Name(name, guarded(ingest.name_record(&name, record), None).await) });
    }

    pub(super) fn spawn_certify(&mut self, gateway: PublicKey, channel: ResponseChannel<Response>) {
        self.spawn(|ingest| async move { Done::Certify(channel, guarded(ingest.certify(gateway), vec![]).await) });
    }

    pub(super) fn spawn_hear(&mut self, source: PeerId, message: Bytes) {
        let from = Self::replica(&source);
        self.spawn(|ingest| async move {
            let heard = async { Some(ingest.heard(&from, message).await) };
            let in_time = tokio::time::timeout(LIVE_TIMEOUT, guarded(heard, None));
            Done::Heard(source, in_time.await.unwrap_or(None))
        });
    }

    /// Queues a row; rows are written one job at a time, in order.
    pub(super) fn save(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.saves.push_back((key, value));
        self.write_rows();
    }

    fn write_rows(&mut self) {
        if self.saving || self.saves.is_empty() {
            return;
        }
        self.saving = true;
        let rows = std::mem::take(&mut self.saves);
        self.spawn(|ingest| async move {
            for (key, value) in rows {
                guarded(ingest.save(key, value), ()).await;
            }
            Done::Saved
        });
    }

    pub(super) fn done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Engine(input)) => self.feed(input),
            Ok(Done::Name(name, record)) => self.name_checked(&name, record.as_ref()),
            Ok(Done::Certify(channel, chain)) => {
                self.certificates.served();
                self.swarm.behaviour_mut().respond(Protocol::Certify, channel, Response::Certify(chain));
            }
            Ok(Done::Heard(source, accepted)) => self.live_judged(source, accepted),
            Ok(Done::Saved) => {
                self.saving = false;
                self.write_rows();
            }
            // Only on abort, and nothing aborts them before the service ends.
            Err(error) => tracing::error!(%error, "a replication job was lost"),
        }
    }
}
