//! The merger's loop.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustdht_core::Hlc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Answer, GROUP_JOBS, GROUP_OPERATIONS, Job, Request, Shared,
    authors::Authors,
    deferred::{self, Deferred},
    group::Group,
    revocations::Revocations,
    staged::Staged,
    states::States,
};
use crate::{Config, Error, metrics as names};

/// Operations of a job that is planned as soon as it comes.
const HEAVY_OPERATIONS: usize = 64;
/// How long small jobs gather while the committer works.
const PLAN_AHEAD: Duration = Duration::from_millis(1);
/// How often due commits are looked for while any waits.
const DUE_INTERVAL: Duration = Duration::from_millis(250);

/// Where the committer gets its groups from.
pub(crate) struct Groups {
    queue: mpsc::Receiver<Group>,
    ask: mpsc::Sender<()>,
}

impl Groups {
    /// Says that there is nothing to do, and waits for the next group; `None`: there will be none.
    pub(super) async fn next(&mut self) -> Option<Group> {
        // An error means that the merger is gone; what it handed over is still in the queue.
        let _ = self.ask.send(()).await;
        self.queue.recv().await
    }
}

pub(crate) struct Merger {
    pub(super) shared: Arc<Shared>,
    pub(super) states: States,
    pub(super) authors: Authors,
    /// The hybrid clock, one for all who sign here.
    pub(super) clock: Hlc,
    /// What was revoked in the spaces that the jobs under way touch.
    pub(super) revocations: Revocations,
    pub(super) deferred: Deferred,
    pub(super) staged: Staged,
    /// The clock moved in this group.
    pub(super) clock_moved: bool,
    jobs: mpsc::Receiver<Job>,
    /// Jobs whose group met a conflict; taken out by `run`, like `ready`.
    again: Option<mpsc::Receiver<Vec<Job>>>,
    groups: mpsc::Sender<Group>,
    /// The committer has nothing to do; taken out by `run`, which waits for this and for jobs at once.
    ready: Option<mpsc::Receiver<()>>,
    next: u64,
    epoch: u64,
    backlog: VecDeque<Job>,
    /// The last jobs taken were due ones.
    was_due: bool,
    /// The last jobs planned were large ones.
    heavy: bool,
}

impl Merger {
    /// The merger, and the queue of groups for the committer; `again` brings back jobs that met a conflict.
    pub(crate) async fn new(
        shared: Arc<Shared>,
        config: &Config,
        jobs: mpsc::Receiver<Job>,
        again: mpsc::Receiver<Vec<Job>>,
    ) -> Result<(Self, Groups), Error> {
        let deferred = Deferred::load(&shared.ports, config).await?;
        let (mut authors, mut clock) = (Authors::default(), Hlc::default());
        authors.load(&shared.ports, shared.host_tag, &shared.gateway, 0, &mut clock).await?;
        shared.clock.store(clock.last().0, Ordering::Relaxed);
        let (groups, queue) = mpsc::channel(1);
        let (ask, ready) = mpsc::channel(1);
        shared.deferred.store(deferred.len() as u64, Ordering::Relaxed);
        let merger = Self {
            states: States::new(config.merge_cache_bytes),
            authors,
            clock,
            revocations: Revocations::default(),
            deferred,
            staged: Staged::default(),
            clock_moved: false,
            jobs,
            again: Some(again),
            groups,
            ready: Some(ready),
            next: 1,
            epoch: 0,
            backlog: VecDeque::new(),
            was_due: false,
            heavy: false,
            shared,
        };
        Ok((merger, Groups { queue, ask }))
    }

    /// Runs until it is told to stop and has handed over what was taken before.
    ///
    /// Jobs are planned into the open group, which is handed over when the committer has nothing to do: a group is as large
    /// as the time of the one before it allows. While the committer works, large jobs are planned as they come, small ones
    /// now and then: waking up costs more than planning one of them.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let (Some(mut ready), Some(mut again)) = (self.ready.take(), self.again.take()) else { return };
        let mut open: Option<Group> = None;
        let mut idle = false;
        loop {
            if idle && open.is_some() {
                let jobs = self.waiting();
                self.plan(&mut open, jobs).await;
            }
            if idle && let Some(group) = open.take() {
                idle = false;
                if !self.hand_over(group).await {
                    return;
                }
            }
            let room = open.as_ref().is_none_or(Group::has_room);
            tokio::select! {
                biased;
                asked = ready.recv(), if !idle => match asked {
                    Some(()) => idle = true,
                    None => return,
                },
                // Whatever else is going on, or the committer could wait for room in this queue for ever.
                Some(jobs) = again.recv() => self.backlog.extend(jobs),
                jobs = self.collect(&stop), if room && (idle || self.heavy) => match jobs {
                    Some(jobs) => self.plan(&mut open, jobs).await,
                    None => break,
                },
                () = tokio::time::sleep(PLAN_AHEAD), if room && !idle && !self.heavy => {
                    let jobs = self.waiting();
                    self.plan(&mut open, jobs).await;
                }
            }
        }
        if let Some(group) = open
            && (idle || ready.recv().await.is_some())
        {
            self.hand_over(group).await;
        }
    }

    /// Gives the group to the committer; `false` when that is gone.
    async fn hand_over(&mut self, mut group: Group) -> bool {
        self.flush_staged(&mut group);
        if std::mem::take(&mut self.clock_moved) {
            // The gateway's row holds the clock, whoever signed.
            if let Some(gateway) = self.authors.get_mut(&self.shared.identity.gateway) {
                gateway.touch();
            }
            group.side.extend(self.authors.rows(self.clock.last()));
            self.shared.clock.store(self.clock.last().0, Ordering::Relaxed);
        }
        self.shared.deferred.store(self.deferred.len() as u64, Ordering::Relaxed);
        metrics::histogram!(names::GROUP_JOBS).record(group.answers.len() as f64);
        self.gauge();
        self.groups.send(group).await.is_ok()
    }

    /// The next jobs; an empty answer means to look again, `None` that the queue is closed.
    async fn collect(&mut self, stop: &CancellationToken) -> Option<Vec<Job>> {
        let due = self.deferred.next_ms().is_some_and(|due| due <= self.shared.ports.clock.now_ms());
        // Not twice in a row: what is due and cannot be written must not keep the others from their turn.
        if due && !std::mem::replace(&mut self.was_due, true) {
            return Some(self.due().await);
        }
        self.was_due = false;
        let mut fresh = Vec::new();
        if self.backlog.is_empty() {
            let waiting = self.deferred.len() > 0;
            tokio::select! {
                biased;
                count = self.jobs.recv_many(&mut fresh, GROUP_JOBS) => if count == 0 { return None },
                () = stop.cancelled(), if !self.jobs.is_closed() => {
                    self.jobs.close();
                    return Some(Vec::new());
                }
                () = tokio::time::sleep(DUE_INTERVAL), if waiting => return Some(Vec::new()),
            }
            self.backlog.extend(fresh);
        }
        Some(self.waiting())
    }

    /// The jobs that wait already, as many as fit into a group.
    fn waiting(&mut self) -> Vec<Job> {
        while self.backlog.len() < GROUP_JOBS
            && let Ok(job) = self.jobs.try_recv()
        {
            self.backlog.push_back(job);
        }
        let mut operations = 0;
        let mut jobs = Vec::new();
        while let Some(job) = self.backlog.front() {
            operations += job.request.operations();
            if !jobs.is_empty() && operations > GROUP_OPERATIONS {
                break;
            }
            jobs.extend(self.backlog.pop_front());
        }
        jobs
    }

    /// The deferred commits whose time has come, as a job.
    async fn due(&mut self) -> Vec<Job> {
        let now_ms = self.shared.ports.clock.now_ms();
        let due = match deferred::load_due(&self.shared).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "deferred commits cannot be read");
                return Vec::new();
            }
        };
        if due.is_empty() {
            // Their rows are damaged; they are tried again after a restart.
            self.deferred.pass_over(now_ms);
            return Vec::new();
        }
        // Nobody waits for the answer.
        let (reply, _) = tokio::sync::oneshot::channel();
        vec![Job { request: Request::Due(due), reply }]
    }

    /// A group on top of everything that was handed over so far.
    async fn begin(&mut self) -> Group {
        let number = self.next;
        self.next += 1;
        let durable = self.shared.durable.load(Ordering::Acquire);
        self.states.evict(durable);
        self.authors.evict(durable, &self.shared.identity.gateway);
        let epoch = self.shared.epoch.load(Ordering::Acquire);
        if epoch != self.epoch {
            self.epoch = epoch;
            self.states.clear();
            self.revocations.forget();
            if let Err(error) = self.deferred.reload(&self.shared.ports).await {
                tracing::error!(%error, "deferred commits cannot be read");
            }
        }
        Group::new(number, self.epoch, self.shared.ports.clock.now_ms(), self.shared.network_key)
    }

    async fn plan(&mut self, open: &mut Option<Group>, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let mut group = match open.take() {
            Some(group) => group,
            None => self.begin().await,
        };
        let operations: usize = jobs.iter().map(|job| job.request.operations()).sum();
        self.heavy = operations >= HEAVY_OPERATIONS * jobs.len();
        let loaded = self.load(&jobs, group.number).await;
        for job in jobs {
            let answer = match &loaded {
                Ok(()) => self.answer(&mut group, &job.request),
                Err(error) => Err(Error::Store(rustdht_core::ports::StoreError::Failed(error.clone()))),
            };
            group.operations += job.request.operations();
            group.answers.push((job, answer));
        }
        *open = Some(group);
    }

    /// The answer to the next job of the group. That of a staged write is put in its place when it is signed.
    fn answer(&mut self, group: &mut Group, request: &Request) -> Result<Answer, Error> {
        if !matches!(request, Request::Write(_)) {
            self.flush_staged(group);
        }
        match request {
            Request::Write(write) => match self.write(group, write)? {
                Some(written) => Ok(Answer::Written(written)),
                None => Err(Error::Stopping),
            },
            Request::Ops(by, ops) => self.operations(group, *by, ops).map(Answer::Joined),
            Request::Import(by, nodes) => Ok(Answer::Imported(self.import(group, *by, nodes))),
            Request::Planned(planned) => self.planned(group, planned).map(Answer::Joined),
            Request::Pen(by, soul, field) => self.pen(group, *by, soul, field).map(Answer::Pen),
            Request::Endorse(backlog) => {
                self.endorse_backlog(group, backlog);
                Ok(Answer::Done)
            }
            Request::Foreign(commits) => Ok(Answer::Foreign(self.foreign_all(group, commits))),
            Request::Due(commits) => {
                for (key, foreign) in commits {
                    self.foreign(group, foreign, Some(*key));
                }
                Ok(Answer::Done)
            }
        }
    }
}
