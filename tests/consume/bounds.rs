//! What bounds a consumer: records that run, records that wait, offsets, bytes.

use std::{
    collections::{BTreeSet, HashMap},
    future::ready,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use kafka_tower::{
    ConsumerRecord, ConsumerSettings, Lifecycle, Ordering, Outcome, PartitionStatus,
    ProducerRecord, PublishExt,
};
use tokio::{runtime::Builder, sync::watch, task::yield_now, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, Level, Running, SOON, soon},
    support::run,
};

/// Four dispatchers on four threads, whatever the machine has.
fn run_on_four_threads(test: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    let result = runtime.block_on(async { timeout(2 * SOON, test).await });
    runtime.shutdown_background();
    result.expect("the test ends within its deadline");
}

/// Handles all records of 8 partitions, `most` at a time, and not fewer.
async fn at_most(most: usize, each: usize, settings: fn(ConsumerSettings) -> ConsumerSettings) {
    let bed = Bed::new(8).await;
    bed.fill(each).await;
    let calls = Calls::default();
    let (level, gate) = (Level::default(), CancellationToken::new());
    let (inside, opened) = (level.clone(), gate.clone());
    let settings = settings(bed.settings()).max_in_flight(most);
    let running = Running::start(
        settings,
        calls.service(move |record| {
            let (inside, opened) = (inside.clone(), opened.clone());
            async move {
                let _entered = inside.enter();
                opened.cancelled().await;
                // Some end at once.
                for _ in 0..record.offset() % 3 {
                    yield_now().await;
                }
                Ok(())
            }
        }),
    );
    level.reach(most).await;
    gate.cancel();
    calls.reach(8 * each).await;
    assert_eq!(running.stop().await.acked, 8 * each as u64);
    assert_eq!(level.most(), most);
    let each = i64::try_from(each).expect("a count");
    assert_eq!(bed.committed().await, bed.all_at(each));
}

#[test]
fn no_more_than_max_in_flight_run_over_all_partitions_and_dispatchers() {
    run_on_four_threads(async {
        at_most(5, 100, |settings| {
            settings.ordering(Ordering::Unordered).dispatchers(4)
        })
        .await;
        at_most(3, 100, |settings| settings.dispatchers(4)).await;
        at_most(5, 100, |settings| {
            let settings = settings.ordering(Ordering::Unordered).dispatchers(4);
            settings.spawn_handlers(true)
        })
        .await;
        at_most(5, 100, |settings| settings.dispatchers(1)).await;
    });
}

#[test]
fn one_at_a_time_over_all_dispatchers_gets_through() {
    run_on_four_threads(async {
        at_most(1, 125, |settings| settings.dispatchers(4)).await;
        at_most(1, 125, |settings| {
            settings.ordering(Ordering::Unordered).dispatchers(4)
        })
        .await;
    });
}

#[test]
fn with_max_waiting_records_put_off_a_partition_is_left_unread() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(30).await;
        let calls = Calls::default();
        let gate = CancellationToken::new();
        let opened = gate.clone();
        let settings = bed.settings().ordering(Ordering::Unordered).max_waiting(5);
        let running = Running::start(
            settings,
            calls.service(move |_| {
                ready(Ok(match opened.is_cancelled() {
                    false => Outcome::Defer {
                        after: Duration::from_millis(20),
                    },
                    true => Outcome::Ack,
                }))
            }),
        );
        // Each came again some times.
        calls.reach(40).await;
        let begun: BTreeSet<i64> = calls.offsets(0).into_iter().collect();
        assert_eq!(begun, (0..5).collect());
        gate.cancel();
        running
            .status(0, "all are handled", |one| one.lag == Some(0))
            .await;
        assert_eq!(running.stop().await.acked, 30);
        assert_eq!(bed.committed().await, bed.all_at(30));
    });
}

#[test]
fn with_max_waiting_records_behind_a_key_a_partition_is_left_unread() {
    run(async {
        let bed = Bed::new(2).await;
        let mut keys = [Some("slow"); 20];
        keys[10] = Some("other");
        bed.publish_keys(0, &keys).await;
        let calls = Calls::default();
        let gate = CancellationToken::new();
        let settings = bed.settings().ordering(Ordering::Key).max_waiting(5);
        let running = Running::start(settings, calls.held_at(0, &gate));
        let full = |one: &PartitionStatus| (one.in_flight, one.waiting) == (1, 5);
        running.status(0, "as many wait as may", full).await;
        // Another partition goes on meanwhile.
        bed.publish(1, 50).await;
        calls.all_below(1, 50).await;
        running.status(0, "no more wait", full).await;
        assert_eq!(calls.offsets(0), [0]);
        gate.cancel();
        calls.all_below(0, 20).await;
        assert_eq!(running.stop().await.acked, 70);
        assert_eq!(bed.committed().await, [(0, 20), (1, 50)].into());
    });
}

#[test]
fn a_stuck_record_stops_its_partition_at_the_span() {
    run(async {
        let bed = Bed::new(2).await;
        bed.publish(0, 100).await;
        let calls = Calls::default();
        let gate = CancellationToken::new();
        let settings = bed.settings().ordering(Ordering::Unordered);
        let settings = settings.max_offset_span(10);
        let running = Running::start(settings, calls.held_at(5, &gate));
        calls.of(0, 15).await;
        bed.publish(1, 100).await;
        calls.all_below(1, 100).await;
        assert_eq!(calls.offsets(0).into_iter().max(), Some(15));
        gate.cancel();
        calls.all_below(0, 100).await;
        assert_eq!(running.stop().await.acked, 200);
        assert_eq!(bed.committed().await, bed.all_at(100));
    });
}

/// The bytes that arrived, by partition.
#[derive(Clone, Default)]
struct Received(Arc<watch::Sender<HashMap<i32, usize>>>);

impl Lifecycle for Received {
    fn record_received(&mut self, record: &ConsumerRecord) {
        let length = record.payload().map_or(0, <[u8]>::len);
        self.0
            .send_modify(|bytes| *bytes.entry(record.partition()).or_default() += length);
    }
}

impl Received {
    fn of(&self, partitions: std::ops::Range<i32>) -> usize {
        let bytes = self.0.borrow();
        partitions.filter_map(|one| bytes.get(&one)).sum()
    }
}

async fn publish_large(bed: &Bed, partition: i32, count: usize, length: usize) {
    let records = (0..count).map(|_| {
        let record = ProducerRecord::to(bed.topic.as_str()).payload(vec![7; length]);
        bed.publisher.send(record.partition(partition))
    });
    try_join_all(records).await.expect("deliveries");
}

#[test]
fn no_more_memory_is_taken_than_allowed_while_nothing_ends() {
    const LENGTH: usize = 10 << 10;
    run(async {
        // Ten megabytes in four partitions, and a fifth that shows that time passes.
        let bed = Bed::new(5).await;
        for partition in 0..4 {
            publish_large(&bed, partition, 256, LENGTH).await;
        }
        let (calls, received) = (Calls::default(), Received::default());
        let (gate, lifecycle) = (CancellationToken::new(), received.clone());
        let opened = gate.clone();
        let service = calls.service(move |record| {
            let opened = opened.clone();
            async move {
                if record.partition() < 4 {
                    opened.cancelled().await;
                }
                Ok(())
            }
        });
        let settings = bed.settings().max_bytes(1 << 20);
        let running =
            Running::start_with(settings, service, |serve| serve.with_lifecycle(lifecycle));
        let mut bytes = received.0.subscribe();
        soon("the memory is used", async {
            let enough = |bytes: &HashMap<i32, usize>| bytes.values().sum::<usize>() > 400 << 10;
            drop(bytes.wait_for(enough).await);
        })
        .await;
        bed.publish(4, 100).await;
        calls.all_below(4, 100).await;
        let taken = received.of(0..4);
        assert!(taken <= 1 << 20, "{taken} bytes");

        gate.cancel();
        for partition in 0..4 {
            calls.all_below(partition, 256).await;
        }
        assert_eq!(running.stop().await.acked, 4 * 256 + 100);
        assert_eq!(received.of(0..4), 4 * 256 * LENGTH);
    });
}

#[test]
fn a_handler_that_keeps_every_record_gets_them_all() {
    run(async {
        let bed = Bed::new(2).await;
        for partition in 0..2 {
            publish_large(&bed, partition, 150, 1 << 10).await;
        }
        let calls = Calls::default();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let running = Running::start(
            bed.settings().max_bytes(64 << 10),
            calls.service(move |record| {
                keep.lock().expect("no panic").push(record);
                ready(Ok(()))
            }),
        );
        for partition in 0..2 {
            calls.all_below(partition, 150).await;
        }
        let stopped = Instant::now();
        let summary = running.stop().await;
        let took = stopped.elapsed();
        assert!(took < Duration::from_secs(15), "{took:?}");
        assert_eq!((summary.acked, summary.undone.len()), (300, 0));
        assert_eq!(bed.committed().await, bed.all_at(150));
        let kept = kept.lock().expect("no panic");
        let whole = |record: &ConsumerRecord| record.payload().map(<[u8]>::len) == Some(1 << 10);
        assert!(kept.iter().all(whole), "they outlive their consumer");
    });
}
