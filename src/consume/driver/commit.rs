//! Commits: only ever a lane's watermark, and counted only when Kafka's answer says so.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};

use super::{Driver, context::CommitResult, end::End, lanes::Lane};
use crate::client::{
    codes::{self, Meaning, Operation},
    native::commit,
};

/// How long the result of a last commit is waited for.
pub(super) const COMMIT_TIME: Duration = Duration::from_secs(5);
/// How often a commit is tried while somebody waits for it.
const HURRIED: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Commits {
    /// The parts of the commit on its way.
    pending: Vec<Pending>,
    last: Option<Instant>,
    last_error: Option<i32>,
    /// Kafka takes none from this client: trying again is no use.
    forbidden: bool,
}

#[derive(Debug)]
struct Pending {
    generation: u64,
    topic: Arc<str>,
    partition: i32,
    offset: i64,
}

impl Driver {
    pub(super) fn commit_on_the_clock(&mut self) {
        let hurried = self.end.is_some() || self.revocation.is_some();
        let interval = match hurried {
            false => self.limits.commit_interval,
            true => self.limits.commit_interval.min(HURRIED),
        };
        if self
            .commits
            .last
            .is_none_or(|last| last.elapsed() >= interval)
        {
            self.commit(|_| true);
        }
    }

    /// Starts a commit of the new watermarks of some lanes, unless one is on its way: librdkafka
    /// sends a commit that failed once more, and would set the group back by it if a later one had
    /// overtaken it.
    pub(super) fn commit(&mut self, which: impl Fn(u64) -> bool) {
        if !self.commits.pending.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        for (&generation, lane) in &mut self.lanes {
            let Some(offset) = lane.watermark.filter(|_| which(generation)) else {
                continue;
            };
            if lane.committed.is_some_and(|known| known >= offset)
                || list
                    .add_partition_offset(&lane.topic, lane.partition, Offset::Offset(offset))
                    .is_err()
            {
                continue;
            }
            lane.committing = Some(offset);
            lane.refused = false;
            self.commits.pending.push(Pending {
                generation,
                topic: Arc::clone(&lane.topic),
                partition: lane.partition,
                offset,
            });
        }
        if list.count() == 0 {
            return;
        }
        self.commits.last = Some(Instant::now());
        if let Err(code) = commit::commit(&self.consumer, &list) {
            for pending in mem::take(&mut self.commits.pending) {
                self.commit_failed(&pending, code);
            }
        }
    }

    pub(super) fn serve_commit_results(&mut self, results: Vec<CommitResult>) {
        for CommitResult {
            topic,
            partition,
            offset,
            result,
        } in results
        {
            let found = self.commits.pending.iter().position(|pending| {
                *pending.topic == *topic
                    && pending.partition == partition
                    && pending.offset == offset
            });
            let Some(found) = found else { continue };
            let pending = self.commits.pending.remove(found);
            match result {
                Ok(()) => {
                    self.commits.last_error = None;
                    self.summary.committed.insert((topic, partition), offset);
                    if let Some(lane) = self.lanes.get_mut(&pending.generation)
                        && lane.committing == Some(offset)
                    {
                        lane.committed = Some(offset);
                    }
                }
                Err(code) => self.commit_failed(&pending, code),
            }
        }
    }

    /// The next clock tries again, while the lane is still ours.
    fn commit_failed(&mut self, pending: &Pending, code: i32) {
        let meaning = codes::meaning(Operation::Commit, code);
        if let Some(lane) = self.lanes.get_mut(&pending.generation)
            && lane.committing == Some(pending.offset)
        {
            lane.committing = None;
            lane.refused = meaning == Meaning::GroupState;
        }
        let Pending {
            topic,
            partition,
            offset,
            ..
        } = pending;
        let name = codes::name(code).unwrap_or_default();
        // In a cooperative rebalance the group moves on before the members that keep partitions.
        let known = self.commits.last_error.replace(code) == Some(code);
        if known || meaning == Meaning::GroupState {
            tracing::debug!(target: "kafka_tower", %topic, partition, offset, code, name, "not committed yet");
        } else {
            tracing::warn!(target: "kafka_tower", %topic, partition, offset, code, name, "not committed yet");
        }
        if matches!(meaning, Meaning::Configuration | Meaning::Fatal) {
            self.commits.forbidden = true;
            let reason = format!("committing {topic}/{partition} to {offset} failed");
            self.end(End::client(code, &reason, meaning.class()));
        }
    }

    /// At the end: commits every watermark and waits for the results, for a while.
    pub(super) fn commit_the_rest(&mut self) {
        let deadline = Instant::now() + COMMIT_TIME;
        self.commit(|_| true);
        while !self.lanes.values().all(Lane::is_committed)
            && !self.commits.forbidden
            && self.consumer.client().fatal_error().is_none()
            && Instant::now() < deadline
        {
            self.turn();
        }
    }
}
