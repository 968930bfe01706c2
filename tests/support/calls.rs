//! What the handlers saw.

use std::{collections::HashSet, future::Future, ops::Range, sync::Arc};

use kafka_tower::{App, BoxError, ConsumerRecord, Outcome};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{SOON, soon};

/// How many are in something at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Level(Arc<watch::Sender<(usize, usize)>>);

impl Level {
    /// One more, until the result is dropped.
    pub(crate) fn enter(&self) -> impl Drop + Send + use<> {
        self.0.send_modify(|(now, most)| {
            *now += 1;
            *most = (*most).max(*now);
        });
        Entered(self.clone())
    }

    /// The most that there ever were.
    pub(crate) fn most(&self) -> usize {
        self.0.borrow().1
    }

    /// Waits until there are so many.
    pub(crate) async fn reach(&self, count: usize) {
        let mut level = self.0.subscribe();
        soon(&format!("{count} are in at once"), async {
            drop(level.wait_for(|(now, _)| *now == count).await);
        })
        .await;
    }
}

struct Entered(Level);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.send_modify(|(now, _)| *now -= 1);
    }
}

/// A call of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) attempt: u32,
}

pub(crate) fn is_at(record: &ConsumerRecord, partition: i32, offset: i64) -> bool {
    (record.partition(), record.offset()) == (partition, offset)
}

/// The calls so far, of all services that share it, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Arc<watch::Sender<Vec<Call>>>);

impl Calls {
    pub(crate) fn note(&self, record: &ConsumerRecord) {
        self.0.send_modify(|calls| {
            calls.push(Call {
                partition: record.partition(),
                offset: record.offset(),
                attempt: record.attempt(),
            });
        });
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        self.0.borrow().clone()
    }

    /// The offsets of a partition in the order of their calls.
    pub(crate) fn offsets(&self, partition: i32) -> Vec<i64> {
        let calls = self.0.borrow();
        let calls = calls.iter().filter(|call| call.partition == partition);
        calls.map(|call| call.offset).collect()
    }

    /// The attempts at a record, in the order of their calls.
    pub(crate) fn attempts(&self, partition: i32, offset: i64) -> Vec<u32> {
        let calls = self.0.borrow();
        let it = |call: &&Call| (call.partition, call.offset) == (partition, offset);
        calls.iter().filter(it).map(|call| call.attempt).collect()
    }

    /// Waits until each record of a partition was called, up to this offset; those that never are
    /// fail the test by name.
    pub(crate) async fn all_below(&self, partition: i32, end: i64) {
        self.all_of(partition, 0..end).await;
    }

    /// The same for a part of the offsets.
    pub(crate) async fn all_of(&self, partition: i32, range: Range<i64>) {
        let missing = || {
            let seen: HashSet<i64> = self.offsets(partition).into_iter().collect();
            range.clone().filter(move |one| !seen.contains(one))
        };
        let mut calls = self.0.subscribe();
        let complete = async {
            while missing().next().is_some() {
                calls.changed().await.expect("the sender is here");
            }
        };
        let _ = timeout(SOON, complete).await;
        let missing = Vec::from_iter(missing());
        assert!(missing.is_empty(), "{partition}: {missing:?} of {range:?}");
    }

    /// Waits for a number of calls.
    pub(crate) async fn reach(&self, count: usize) {
        let mut calls = self.0.subscribe();
        let reached = calls.wait_for(|calls| calls.len() >= count);
        // Dropped here and now: what comes out holds a lock.
        let reached = timeout(SOON, reached).await.is_ok();
        let calls = self.all();
        assert!(reached, "{} of {count}: {calls:?}", calls.len());
    }

    /// Waits for a call of this record.
    pub(crate) async fn of(&self, partition: i32, offset: i64) {
        let mut calls = self.0.subscribe();
        let it = |call: &Call| (call.partition, call.offset) == (partition, offset);
        soon(&format!("{partition}/{offset} is handled"), async {
            let found = calls.wait_for(|calls| calls.iter().any(it)).await;
            drop(found.expect("the sender is here"));
        })
        .await;
    }

    /// A service that notes its calls and answers as `answer` does.
    pub(crate) fn service<F, R>(
        &self,
        answer: impl Fn(ConsumerRecord) -> F + Clone + Send + Sync + 'static,
    ) -> impl Service<ConsumerRecord, Response = R, Error = BoxError, Future = F>
    + Clone
    + Send
    + Sync
    + 'static
    where
        F: Future<Output = Result<R, BoxError>> + Send + 'static,
        R: Into<Outcome> + 'static,
    {
        let calls = self.clone();
        tower::service_fn(move |record: ConsumerRecord| {
            calls.note(&record);
            answer(record)
        })
    }

    /// A service that notes its calls and answers as `answer` does; a call that is `held` runs until
    /// the gate is open.
    pub(crate) fn gated(
        &self,
        gate: &CancellationToken,
        held: impl Fn(&ConsumerRecord) -> bool + Clone + Send + Sync + 'static,
        answer: impl Fn(&ConsumerRecord) -> Result<Outcome, BoxError> + Clone + Send + Sync + 'static,
    ) -> impl App + Clone {
        let gate = gate.clone();
        self.service(move |record| {
            let gate = held(&record).then(|| gate.clone());
            let answer = answer(&record);
            async move {
                if let Some(gate) = gate {
                    gate.cancelled().await;
                }
                answer
            }
        })
    }

    /// A service that notes its calls and acks; the one at an offset of partition 0 runs until the
    /// gate is open.
    pub(crate) fn held_at(&self, offset: i64, gate: &CancellationToken) -> impl App + Clone {
        let held = move |record: &ConsumerRecord| is_at(record, 0, offset);
        self.gated(gate, held, |_| Ok(Outcome::Ack))
    }

    /// A service that notes its calls and acks.
    pub(crate) fn acking(&self) -> impl App + Clone {
        self.service(async |_| Ok(()))
    }
}
