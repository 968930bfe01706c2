use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    consume::{ConsumerHandle, ConsumerStats, WeakHandle},
    layers::circuit_breaker::{CircuitMonitor, WeakMonitor},
    publish::{Publisher, WeakPublisher},
};

/// What is observed, by name, without keeping it alive.
#[derive(Default)]
pub(super) struct Registry {
    consumers: Mutex<Vec<(Arc<str>, WeakHandle)>>,
    publishers: Mutex<Vec<(Arc<str>, WeakPublisher)>>,
    circuits: Mutex<Vec<(Arc<str>, WeakMonitor)>>,
}

/// A group's place in a topic: its name, and a partition; neither where the topic isn't subscribed to by
/// name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) group: Arc<str>,
    pub(super) topic: Option<String>,
    pub(super) partition: Option<i32>,
}

/// What is there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Partitions {
    pub(super) lag: Option<u64>,
    pub(super) in_flight: u64,
    pub(super) waiting: u64,
    pub(super) assigned: u64,
    pub(super) paused: u64,
}

impl Registry {
    pub(super) fn add_consumer(&self, group: Arc<str>, consumer: &ConsumerHandle) {
        lock(&self.consumers).push((group, consumer.downgrade()));
    }

    pub(super) fn add_publisher(&self, name: Arc<str>, publisher: &Publisher) {
        lock(&self.publishers).push((name, publisher.downgrade()));
    }

    pub(super) fn add_circuit(&self, name: Arc<str>, circuit: &CircuitMonitor) {
        lock(&self.circuits).push((name, circuit.downgrade()));
    }

    /// What each group's consumers have done.
    pub(super) fn stats(&self) -> BTreeMap<Arc<str>, ConsumerStats> {
        let mut groups = BTreeMap::<_, ConsumerStats>::new();
        for (group, consumer) in alive(&self.consumers, WeakHandle::upgrade) {
            groups.entry(group).or_default().merge(&consumer.stats());
        }
        groups
    }

    /// What is assigned to each group's consumers; by topic, or by partition as well.
    pub(super) fn partitions(&self, by_partition: bool) -> BTreeMap<Place, Partitions> {
        let mut places = BTreeMap::<_, Partitions>::new();
        for (group, consumer) in alive(&self.consumers, WeakHandle::upgrade) {
            for status in consumer.partitions() {
                let named = consumer.subscribes_to(&status.topic);
                let place = Place {
                    group: Arc::clone(&group),
                    partition: (by_partition && named).then_some(status.partition),
                    topic: named.then_some(status.topic),
                };
                let sum = places.entry(place).or_default();
                sum.lag = match (sum.lag, status.lag) {
                    (Some(sum), Some(lag)) => Some(sum + lag),
                    (sum, lag) => sum.or(lag),
                };
                sum.in_flight += status.in_flight as u64;
                sum.waiting += status.waiting as u64;
                sum.assigned += 1;
                sum.paused += u64::from(status.paused);
            }
        }
        places
    }

    pub(super) fn publishers(&self) -> Vec<(Arc<str>, Publisher)> {
        alive(&self.publishers, WeakPublisher::upgrade)
    }

    pub(super) fn circuits(&self) -> Vec<(Arc<str>, CircuitMonitor)> {
        alive(&self.circuits, WeakMonitor::upgrade)
    }
}

/// What is still there; the others are forgotten.
fn alive<W, T>(
    all: &Mutex<Vec<(Arc<str>, W)>>,
    upgrade: impl Fn(&W) -> Option<T>,
) -> Vec<(Arc<str>, T)> {
    let mut alive = Vec::new();
    lock(all).retain(|(name, weak)| {
        let there = upgrade(weak);
        let keep = there.is_some();
        alive.extend(there.map(|there| (Arc::clone(name), there)));
        keep
    });
    alive
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
