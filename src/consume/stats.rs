use std::{
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use super::engine::Counts;
use crate::record::chunk::Memory;

/// What a consumer has done so far, and how it is; made by
/// [`ConsumerHandle::stats`](crate::ConsumerHandle::stats). With several members it is of all of them.
///
/// Numbers of what was done only grow, and stay after the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Records that were handled.
    pub acked: u64,
    /// Records that were left alone on purpose.
    pub skipped: u64,
    /// Records that were moved elsewhere, to a dead-letter topic for instance.
    pub moved: u64,
    /// How often a record was put off to a next attempt.
    pub retried: u64,
    /// How often a record was put off without counting an attempt.
    pub deferred: u64,
    /// Calls that were still running when their partition was given up: they were cut off, or what came
    /// of them changed nothing. Whoever gets the partition next handles their records again.
    pub stale_completions: u64,
    /// How often the group gave the consumer partitions, or took some away: 1 for each assignment and
    /// each revocation.
    pub rebalances: u64,
    /// How many offsets Kafka confirmed as committed, one for each partition in each commit.
    pub commits: u64,
    /// How many it refused, or didn't answer; they are tried again as long as the partition is ours.
    pub commits_refused: u64,
    /// Bytes that records take, whoever holds them: what
    /// [`max_bytes`](crate::ConsumerSettings::max_bytes) bounds.
    pub bytes_held: usize,
    /// Members that run.
    pub members: usize,
    /// Those of them that have their part of the group's partitions, be it none: 0 before the first
    /// assignment, and one less from when a member's partitions are lost until it has joined again.
    pub members_assigned: usize,
    /// How long ago the member that polled least lately did so: 50 ms or so, however slow the service is,
    /// and some seconds while the group's coordinator is asked for offsets. `None` while none runs.
    pub since_poll: Option<Duration>,
    /// Whether brokers can be reached, as far as is known: `None` before the first answer, `false` while
    /// a member has lost all of them.
    pub brokers_reachable: Option<bool>,
    /// Whether it has ended with an error, or could not even begin.
    pub failed: bool,
}

impl ConsumerStats {
    /// Adds what others have done.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.acked += other.acked;
        self.skipped += other.skipped;
        self.moved += other.moved;
        self.retried += other.retried;
        self.deferred += other.deferred;
        self.stale_completions += other.stale_completions;
        self.rebalances += other.rebalances;
        self.commits += other.commits;
        self.commits_refused += other.commits_refused;
        self.bytes_held += other.bytes_held;
        self.brokers_reachable = match (self.members, other.members) {
            (0, _) => other.brokers_reachable,
            (_, 0) => self.brokers_reachable,
            _ => match (self.brokers_reachable, other.brokers_reachable) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (one, another) => one.and(another),
            },
        };
        self.members += other.members;
        self.members_assigned += other.members_assigned;
        self.since_poll = self.since_poll.max(other.since_poll);
    }
}

/// What a member counts, for others to read.
#[derive(Debug)]
pub(super) struct Meters {
    started: Instant,
    /// One for each dispatcher.
    counts: Vec<Arc<Counts>>,
    pub(super) rebalances: Meter,
    pub(super) commits: Meter,
    pub(super) commits_refused: Meter,
    pub(super) memory: OnceLock<Arc<Memory>>,
    /// Milliseconds since the start, and one; 0 while it doesn't poll.
    polled_at: AtomicU64,
    brokers: AtomicU8,
    assigned: AtomicBool,
}

/// A number that grows.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU64);

impl Meter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

const UNKNOWN: u8 = 0;
const REACHABLE: u8 = 1;
const LOST: u8 = 2;

impl Meters {
    pub(super) fn new(started: Instant, counts: Vec<Arc<Counts>>) -> Self {
        Self {
            started,
            counts,
            rebalances: Meter::default(),
            commits: Meter::default(),
            commits_refused: Meter::default(),
            memory: OnceLock::new(),
            polled_at: AtomicU64::new(0),
            brokers: AtomicU8::new(UNKNOWN),
            assigned: AtomicBool::new(false),
        }
    }

    pub(super) fn stats(&self) -> ConsumerStats {
        let since_poll = self.since_poll();
        let mut stats = ConsumerStats {
            rebalances: self.rebalances.get(),
            commits: self.commits.get(),
            commits_refused: self.commits_refused.get(),
            bytes_held: self.memory.get().map_or(0, |memory| memory.taken()),
            members: usize::from(since_poll.is_some()),
            members_assigned: usize::from(since_poll.is_some() && self.is_assigned()),
            since_poll,
            brokers_reachable: since_poll.and_then(|_| self.brokers_reachable()),
            ..ConsumerStats::default()
        };
        for counts in &self.counts {
            stats.acked += counts.acked.get();
            stats.skipped += counts.skipped.get();
            stats.moved += counts.moved.get();
            stats.retried += counts.retried.get();
            stats.deferred += counts.deferred.get();
            stats.stale_completions += counts.stale.get();
        }
        stats
    }

    pub(super) fn polled(&self) {
        let now = self.started.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX).saturating_add(1);
        self.polled_at.store(now, Relaxed);
    }

    /// It will not poll any more.
    pub(super) fn ended(&self) {
        self.polled_at.store(0, Relaxed);
    }

    fn since_poll(&self) -> Option<Duration> {
        let polled_at = self.polled_at.load(Relaxed).checked_sub(1)?;
        let now = self.started.elapsed();
        Some(now.saturating_sub(Duration::from_millis(polled_at)))
    }

    /// The group has given this member its part, or goes on without it.
    pub(super) fn set_assigned(&self, assigned: bool) {
        self.assigned.store(assigned, Release);
    }

    pub(super) fn is_assigned(&self) -> bool {
        self.assigned.load(Acquire)
    }

    /// A broker was heard from; whether all had been lost before.
    pub(super) fn heard(&self) -> bool {
        self.brokers.swap(REACHABLE, Relaxed) == LOST
    }

    /// No broker can be reached any more.
    pub(super) fn lost_brokers(&self) {
        self.brokers.store(LOST, Relaxed);
    }

    pub(super) fn brokers_reachable(&self) -> Option<bool> {
        match self.brokers.load(Relaxed) {
            REACHABLE => Some(true),
            LOST => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_reachable_when_each_running_member_reaches_one() {
        let member = |members, brokers_reachable| ConsumerStats {
            members,
            brokers_reachable,
            ..ConsumerStats::default()
        };
        for (first, second, all) in [
            (member(1, Some(true)), member(1, Some(true)), Some(true)),
            (member(1, Some(true)), member(1, Some(false)), Some(false)),
            (member(1, None), member(1, Some(false)), Some(false)),
            (member(1, None), member(1, Some(true)), None),
            (member(0, None), member(1, Some(true)), Some(true)),
            (member(0, None), member(0, None), None),
        ] {
            for (first, second) in [(first, second), (second, first)] {
                let mut stats = ConsumerStats::default();
                stats.merge(&first);
                stats.merge(&second);
                assert_eq!(stats.brokers_reachable, all, "{first:?} {second:?}");
            }
        }
    }

    #[test]
    fn the_member_that_polled_least_lately_counts() {
        let polled = |seconds| ConsumerStats {
            members: 1,
            members_assigned: 1,
            since_poll: Some(Duration::from_secs(seconds)),
            ..ConsumerStats::default()
        };
        let mut stats = ConsumerStats::default();
        for seconds in [1, 3, 2] {
            stats.merge(&polled(seconds));
        }
        assert_eq!((stats.members, stats.since_poll), (3, polled(3).since_poll));
        assert_eq!(stats.members_assigned, 3);
    }

    #[test]
    fn a_member_that_ended_keeps_its_numbers_and_polls_no_more() {
        let meters = Meters::new(Instant::now(), Vec::new());
        assert_eq!(meters.stats(), ConsumerStats::default());
        meters.polled();
        assert!(!meters.heard());
        meters.commits.add_one();
        let stats = meters.stats();
        assert!(stats.since_poll.is_some());
        assert_eq!((stats.members, stats.brokers_reachable), (1, Some(true)));
        assert_eq!(stats.members_assigned, 0);
        meters.set_assigned(true);
        assert_eq!(meters.stats().members_assigned, 1);
        meters.lost_brokers();
        assert_eq!(meters.stats().brokers_reachable, Some(false));
        assert!(meters.heard() && !meters.heard());
        meters.ended();
        let commits = ConsumerStats {
            commits: 1,
            ..ConsumerStats::default()
        };
        assert_eq!(meters.stats(), commits);
    }
}
