//! What a worker process is told.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::payload::Id;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) worker: u32,
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) ledger: PathBuf,
    pub(crate) inside: Inside,
    pub(crate) protocol: Protocol,
    pub(crate) behaviour: Behaviour,
    /// After this time a handler is given up, and its record skipped.
    pub(crate) timeout: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) max_bytes: usize,
    pub(crate) commit_interval: Duration,
    pub(crate) drain: Duration,
    pub(crate) session: Duration,
    pub(crate) max_poll_interval: Duration,
    /// Further properties of librdkafka.
    pub(crate) set: Vec<(String, String)>,
}

/// How a group shares its partitions out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Protocol {
    /// Eager: everything is revoked at each rebalance.
    Range,
    Cooperative,
    /// KIP-848: the broker assigns.
    Consumer,
}

/// Who commits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Inside {
    KafkaTower,
    /// The same with layers, around handlers that meet this.
    Stack(Trouble),
    Wrong(Wrong),
}

/// What a stack's handlers meet; their [`Behaviour`] is none then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// One record in a hundred can't be handled: a dead letter.
    Poison,
    /// What they depend on is down until this file is there.
    Down(PathBuf),
    /// So many keys fail, and wait for an hour.
    Hour(u32),
}

/// Which records are poison.
pub(crate) fn is_poison(id: Id) -> bool {
    (id.key + id.seq) % 100 == 7
}

/// A consumer that is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wrong {
    /// Commits the highest offset that is done, whatever still runs before it.
    CommitHighest,
    /// Lets librdkafka store an offset when the record is handed out, and commit it by the clock.
    AutoStore,
    /// Counts what completes for whatever assignment the partition has by then.
    NoEpoch,
    /// Gives partitions up first; what runs for them completes afterwards.
    UnassignFirst,
}

/// What handlers do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Behaviour {
    Sleep(Duration),
    /// One key in a hundred hangs, another one panics; the others sleep.
    Faulty(Duration),
    /// They wait until this file is there.
    Gate(PathBuf),
    /// One record kills the process, before the given attempt.
    Abort {
        key: u32,
        seq: u32,
        before: u32,
    },
    /// One record never ends, the others at once.
    Stuck {
        key: u32,
        seq: u32,
    },
}

/// What becomes of one key in a hundred under [`Behaviour::Faulty`].
pub(crate) fn hangs(key: u32) -> bool {
    key % 100 == 11
}

pub(crate) fn panics(key: u32) -> bool {
    key % 100 == 77
}
