//! Consumers that are wrong on purpose, on rdkafka alone: what the harness has to find out.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kafka_tower::BoxError;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer},
};
use tokio::{
    pin, select,
    time::{interval, sleep},
};

use crate::{
    job::{Behaviour, Job, Wrong},
    ledger::{Ledger, Line, now},
    payload::Id,
};

const COMMIT: Duration = Duration::from_millis(100);

/// Hands out each record at once, all side by side, and commits in a wrong way.
pub(crate) async fn consume(
    how: Wrong,
    job: Job,
    terminated: impl Future<Output = ()>,
) -> Result<String, BoxError> {
    let state = Arc::new(State {
        how,
        ledger: Ledger::open(Path::new(&job.ledger))?,
        trackers: Mutex::default(),
    });
    let store = (how == Wrong::AutoStore).to_string();
    let consumer: StreamConsumer<Context> = ClientConfig::new()
        .set("bootstrap.servers", &job.brokers)
        .set("group.id", &job.group)
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", job.session.as_millis().to_string())
        .set("heartbeat.interval.ms", "300")
        .set("enable.auto.commit", &store)
        .set("enable.auto.offset.store", &store)
        .set("auto.commit.interval.ms", COMMIT.as_millis().to_string())
        .create_with_context(Context(Arc::clone(&state)))?;
    consumer.subscribe(&[&job.topic])?;
    let mut clock = interval(COMMIT);
    pin!(terminated);
    loop {
        select! {
            () = &mut terminated => return Ok("left with whatever still runs".to_owned()),
            _ = clock.tick() => state.commit(&consumer, &job.topic)?,
            message = consumer.recv() => {
                let message = message?;
                let id = Id::read(message.key(), message.payload())?;
                state.hand_out(&job, message.partition(), message.offset(), id);
            }
        }
    }
}

/// How long a record takes.
fn time(how: Wrong, job: &Job, id: Id) -> Duration {
    let Behaviour::Sleep(long) = job.behaviour else {
        return Duration::ZERO;
    };
    match how {
        // A slow one among many quick ones.
        Wrong::CommitHighest | Wrong::AutoStore if id.seq % 50 == 49 => long,
        Wrong::CommitHighest | Wrong::AutoStore => Duration::ZERO,
        Wrong::UnassignFirst => long,
        // Some are done soon, some after the next rebalances, the rest never.
        Wrong::NoEpoch => match id.seq {
            ..50 => Duration::ZERO,
            50..100 => long,
            100.. => long * 1000,
        },
    }
}

struct State {
    how: Wrong,
    ledger: Ledger,
    /// The partitions' trackers; replaced by each assignment.
    trackers: Mutex<HashMap<i32, Vec<Tracker>>>,
}

/// Where a partition stands within one assignment.
#[derive(Default)]
struct Tracker {
    /// The first offset that was handed out.
    base: i64,
    handed_out: u64,
    done: BTreeSet<u64>,
    /// So many of the first are done.
    low: u64,
    /// The highest of those that are done.
    highest: u64,
}

impl Tracker {
    fn complete(&mut self, ticket: u64) {
        self.done.insert(ticket);
        self.highest = self.highest.max(ticket + 1);
        while self.done.remove(&self.low) {
            self.low += 1;
        }
    }
}

impl State {
    fn trackers(&self) -> MutexGuard<'_, HashMap<i32, Vec<Tracker>>> {
        self.trackers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assigned(&self, partition: i32) {
        let mut trackers = self.trackers();
        trackers
            .entry(partition)
            .or_default()
            .push(Tracker::default());
    }

    fn hand_out(self: &Arc<Self>, job: &Job, partition: i32, offset: i64, id: Id) {
        let mut trackers = self.trackers();
        let trackers = trackers.entry(partition).or_default();
        if trackers.is_empty() {
            trackers.push(Tracker::default());
        }
        let assignment = trackers.len() - 1;
        let tracker = &mut trackers[assignment];
        if tracker.handed_out == 0 {
            tracker.base = offset;
        }
        let ticket = tracker.handed_out;
        tracker.handed_out += 1;
        let (state, worker, time) = (Arc::clone(self), job.worker, time(self.how, job, id));
        tokio::spawn(async move {
            let start = now();
            sleep(time).await;
            state.ledger.handled(&Line {
                partition,
                offset,
                id,
                worker,
                start,
                end: now(),
                attempt: 1,
            });
            state.complete(partition, assignment, ticket);
        });
    }

    fn complete(&self, partition: i32, assignment: usize, ticket: u64) {
        let mut trackers = self.trackers();
        let trackers = trackers.entry(partition).or_default();
        let assignment = match self.how {
            // The fault of this one: whatever the partition's assignment is by now.
            Wrong::NoEpoch => trackers.len() - 1,
            Wrong::CommitHighest | Wrong::AutoStore | Wrong::UnassignFirst => assignment,
        };
        trackers[assignment].complete(ticket);
    }

    fn commit(&self, consumer: &StreamConsumer<Context>, topic: &str) -> Result<(), BoxError> {
        let mut list = TopicPartitionList::new();
        for (partition, trackers) in &*self.trackers() {
            let Some(tracker) = trackers.last() else {
                continue;
            };
            let done = match self.how {
                Wrong::AutoStore => 0,
                Wrong::CommitHighest => tracker.highest,
                Wrong::NoEpoch | Wrong::UnassignFirst => tracker.low,
            };
            if done > 0 {
                let offset = Offset::Offset(tracker.base + i64::try_from(done)?);
                list.add_partition_offset(topic, *partition, offset)?;
            }
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Async)
        {
            tracing::warn!(target: "kafka_tower", "can't commit: {error}");
        }
        Ok(())
    }
}

struct Context(Arc<State>);

impl ClientContext for Context {}

/// rdkafka itself assigns and un-assigns in the callback, so what was handed out before is still
/// running when its partition has gone.
impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            for element in list.elements() {
                self.0.assigned(element.partition());
            }
        }
    }
}
