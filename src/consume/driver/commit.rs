//! Commits: only ever a lane's watermark, and counted only when Kafka's answer says so.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer, types::RDKafkaErrorCode};
use tracing::Span;

use super::{
    Driver,
    context::CommitResult,
    end::End,
    lanes::Lane,
    spans::{self, Spans},
    written::{Mark, Written},
};
use crate::{
    client::{
        codes::{self, Meaning, Operation},
        native::commit,
    },
    consume::{dispatch::Order, metadata::Metadata},
};

/// How long the result of a last commit is waited for.
pub(super) const COMMIT_TIME: Duration = Duration::from_secs(5);
/// How often a commit is tried while somebody waits for it.
const HURRIED: Duration = Duration::from_millis(100);
/// How long a record waits for the note that it is going to be tried.
const MARK_TIME: Duration = Duration::from_secs(1);
/// How far ahead of what has begun a commit says that records may be running, at least.
const LEAST_AHEAD: i64 = 64;

#[derive(Debug, Default)]
pub(super) struct Commits {
    /// The parts of the commit on its way.
    pending: HashMap<(Arc<str>, i32), Pending>,
    /// How many topics it is for.
    topics: usize,
    /// Topics to be committed each by itself: one of them is missing, and a refusal is told of all.
    alone: VecDeque<Arc<str>>,
    last: Option<Instant>,
    last_error: Option<i32>,
    /// Kafka takes none from this client: trying again is no use.
    forbidden: bool,
    /// The brokers take no metadata as long as ours.
    no_metadata: bool,
}

#[derive(Debug)]
struct Pending {
    generation: u64,
    written: Written,
    span: Span,
}

impl Commits {
    fn commit_alone(&mut self, topic: &Arc<str>) {
        if !self.alone.contains(topic) {
            self.alone.push_back(Arc::clone(topic));
        }
    }
}

impl Lane {
    pub(super) fn is_committed(&self) -> bool {
        self.gone
            || self
                .wanted()
                .is_none_or(|wanted| self.committed == Some(wanted))
    }

    pub(super) fn waits_for_mark(&self) -> bool {
        self.mark.as_ref().is_some_and(|mark| !mark.sent) && self.wanted().is_some()
    }

    /// What ought to be written down; `None` where there is nothing to say.
    fn wanted(&self) -> Option<Written> {
        let running = !self.drained;
        let version = self.progress.version();
        let written = |offset| Written {
            offset,
            running,
            version,
        };
        match self.progress.watermark() {
            Some(watermark) => Some(written(watermark)),
            // Nothing is complete, so nothing moves; but others may have to know what was tried.
            None if running || self.committed.is_some() => self.start.or(self.first).map(written),
            None => None,
        }
    }

    /// A span, where the commit is for more than a note.
    fn commit_span(&self, spans: &Spans, offset: i64) -> Span {
        let committed = self.committed.map(|committed| committed.offset);
        let from = committed.or(self.start).or(self.first);
        match from {
            Some(from) if from >= offset => Span::none(),
            _ => spans.commit(&self.origin, from, offset),
        }
    }

    fn metadata(&mut self, wanted: Written) -> Metadata {
        let begun = self
            .progress
            .begun()
            .map_or(wanted.offset, |begun| begun.saturating_add(1));
        let ahead = begun.saturating_sub(self.running_to).max(LEAST_AHEAD);
        self.running_to = begun;
        let mut attempts = self.progress.attempts();
        if !wanted.running {
            attempts.trial = None;
        }
        Metadata {
            running_to: wanted
                .running
                .then_some(begun.max(wanted.offset).saturating_add(ahead)),
            attempts,
            owner: self.origin.lease.fencing_number(),
        }
    }
}

impl Driver {
    pub(super) fn commit_on_the_clock(&mut self) {
        let hurried = self.end.is_some() || self.revocation.is_some();
        let interval = match hurried {
            false => self.limits.commit_interval,
            true => self.limits.commit_interval.min(HURRIED),
        };
        let due = self
            .commits
            .last
            .is_none_or(|last| last.elapsed() >= interval);
        if due || self.urgent {
            self.commit(|_| true);
        }
        self.open_late_marks();
    }

    /// Starts a commit of the new watermarks of some lanes, unless one is on its way: librdkafka
    /// sends a commit that failed once more, and would set the group back by it if a later one had
    /// overtaken it.
    pub(super) fn commit(&mut self, which: impl Fn(u64) -> bool) {
        if !self.commits.pending.is_empty() {
            return;
        }
        self.urgent = false;
        loop {
            let alone = self.commits.alone.pop_front();
            let list = self.prepare(alone.as_deref(), &which);
            if alone.is_none() {
                let missing = self.lanes.values().filter(|lane| lane.gone);
                for lane in missing {
                    self.commits.commit_alone(&lane.origin.topic);
                }
            }
            if list.count() > 0 {
                self.start(&list);
                break;
            }
            if self.commits.alone.is_empty() {
                break;
            }
        }
        self.urgent |= !self.commits.alone.is_empty();
    }

    /// Notes what there is to be committed of one topic, or of all that aren't missing.
    fn prepare(&mut self, topic: Option<&str>, which: impl Fn(u64) -> bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        let mut topics = HashSet::new();
        for (&generation, lane) in &mut self.lanes {
            let is_meant = match topic {
                Some(topic) => *lane.origin.topic == *topic,
                None => !lane.gone,
            };
            let Some(wanted) = lane.wanted().filter(|_| is_meant && which(generation)) else {
                continue;
            };
            if lane.committed == Some(wanted) && lane.mark.is_none() {
                continue;
            }
            let metadata = lane.metadata(wanted);
            let mut element = list.add_partition(&lane.origin.topic, lane.origin.partition);
            if element.set_offset(Offset::Offset(wanted.offset)).is_err() {
                continue;
            }
            if !self.commits.no_metadata {
                element.set_metadata(metadata.encode(wanted.offset));
            }
            lane.committing = Some(wanted);
            lane.refused = false;
            if let Some(mark) = &mut lane.mark {
                mark.sent = true;
            }
            let place = (Arc::clone(&lane.origin.topic), lane.origin.partition);
            let pending = Pending {
                generation,
                written: wanted,
                span: lane.commit_span(&self.spans, wanted.offset),
            };
            topics.insert(Arc::clone(&lane.origin.topic));
            self.commits.pending.insert(place, pending);
        }
        self.commits.topics = topics.len();
        list
    }

    fn start(&mut self, list: &TopicPartitionList) {
        self.commits.last = Some(Instant::now());
        if let Err(code) = commit::commit(&self.consumer, list) {
            for (place, pending) in mem::take(&mut self.commits.pending) {
                self.commit_failed(&place, &pending, code);
            }
        }
    }

    pub(super) fn serve_commit_results(&mut self, results: Vec<CommitResult>) {
        if results.iter().all(|one| one.result.is_ok()) {
            self.commits.last_error = None;
        }
        for CommitResult {
            topic,
            partition,
            offset,
            result,
        } in results
        {
            let place = (Arc::from(topic.as_str()), partition);
            let Some(pending) = self.commits.pending.remove(&place) else {
                continue;
            };
            if pending.written.offset != offset {
                // The result of an earlier one, which was given up.
                self.commits.pending.insert(place, pending);
                continue;
            }
            match result {
                Ok(()) => {
                    self.control.meters.commits.add_one();
                    self.summary.committed.insert((topic, partition), offset);
                    if let Some(lane) = self.lanes.get_mut(&pending.generation)
                        && lane.committing == Some(pending.written)
                    {
                        lane.committed = Some(pending.written);
                        lane.gone = false;
                        lane.view.set_committed(offset);
                    }
                    self.open_mark(pending.generation);
                }
                Err(code) => self.commit_failed(&place, &pending, code),
            }
        }
    }

    /// The next clock tries again, while the lane is still ours.
    fn commit_failed(
        &mut self,
        (topic, partition): &(Arc<str>, i32),
        pending: &Pending,
        code: i32,
    ) {
        self.control.meters.commits_refused.add_one();
        let meaning = codes::meaning(Operation::Commit, code);
        if let Some(lane) = self.lanes.get_mut(&pending.generation)
            && lane.committing == Some(pending.written)
        {
            lane.committing = None;
            lane.refused = meaning == Meaning::GroupState;
            lane.gone = meaning == Meaning::TopicMissing && self.commits.topics == 1;
        }
        if meaning == Meaning::TopicMissing && self.commits.topics > 1 {
            self.commits.commit_alone(topic);
            self.urgent = true;
        }
        let (offset, name) = (
            pending.written.offset,
            codes::name(code).unwrap_or_default(),
        );
        spans::refused(&pending.span, &name);
        // In a cooperative rebalance the group moves on before the members that keep partitions.
        let known = self.commits.last_error.replace(code) == Some(code);
        if known || meaning == Meaning::GroupState {
            tracing::debug!(target: "kafka_tower", %topic, partition, offset, code, name, "not committed yet");
        } else {
            tracing::warn!(target: "kafka_tower", %topic, partition, offset, code, name, "not committed yet");
        }
        if code == RDKafkaErrorCode::OffsetMetadataTooLarge as i32 && !self.commits.no_metadata {
            tracing::warn!(
                target: "kafka_tower",
                "the brokers' `offset.metadata.max.bytes` is too small to count the attempts at \
                 incomplete records: set 4096, the default"
            );
            self.commits.no_metadata = true;
        } else if matches!(meaning, Meaning::Configuration | Meaning::Fatal) {
            self.commits.forbidden = true;
            let reason = format!("committing {topic}/{partition} to {offset} failed");
            self.end(End::client(code, &reason, meaning.class()));
        }
        // Another owner may have been assigned, whose number was counted on: either the group says so
        // soon, or the next clock tries again.
        if meaning != Meaning::GroupState {
            // Better handled uncounted than not at all.
            self.open_mark(pending.generation);
        }
    }

    /// Lets a lane wait until a commit has told what it is about to do.
    pub(super) fn mark(&mut self, generation: u64) {
        if let Some(lane) = self.lanes.get_mut(&generation) {
            lane.mark = Some(Mark::new());
            self.urgent |= lane.waits_for_mark();
            self.marked.push(generation);
        }
    }

    /// What a lane waited for was written down.
    fn open_mark(&mut self, generation: u64) {
        if let Some(lane) = self.lanes.get_mut(&generation)
            && lane.mark.take_if(|mark| mark.sent).is_some()
        {
            let dispatcher = lane.dispatcher;
            self.order(dispatcher, Order::Grant(generation));
        }
    }

    fn open_late_marks(&mut self) {
        let mut waiting = mem::take(&mut self.marked);
        waiting.retain(|generation| {
            let Some(lane) = self.lanes.get_mut(generation) else {
                return false;
            };
            let has_records = lane.wanted().is_some();
            let late = match &mut lane.mark {
                None => return false,
                Some(mark) => has_records && mark.since.elapsed() >= MARK_TIME,
            };
            if late {
                lane.mark = None;
                let dispatcher = lane.dispatcher;
                self.order(dispatcher, Order::Grant(*generation));
            }
            !late
        });
        self.marked.append(&mut waiting);
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
