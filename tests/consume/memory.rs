//! How much memory a consumer's records take, whoever holds them.

use std::{
    collections::HashMap,
    future::ready,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use kafka_tower::{ConsumerRecord, Lifecycle, Ordering, Outcome, ProducerRecord, PublishExt};
use tokio::{runtime::Handle, sync::watch, task::block_in_place};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, Level, Running, soon},
    support::run,
};

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
            publish_large(&bed, partition, 300, 1 << 10).await;
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
            calls.all_below(partition, 300).await;
        }
        let stopped = Instant::now();
        let summary = running.stop().await;
        let took = stopped.elapsed();
        assert!(took < Duration::from_secs(15), "{took:?}");
        assert_eq!((summary.acked, summary.undone.len()), (600, 0));
        assert_eq!(bed.committed().await, bed.all_at(300));
        let kept = kept.lock().expect("no panic");
        let whole = |record: &ConsumerRecord| record.payload().map(<[u8]>::len) == Some(1 << 10);
        assert!(kept.iter().all(whole), "they outlive their consumer");
    });
}

#[test]
fn the_headers_of_records_that_wait_count_as_memory() {
    const LENGTH: usize = 10 << 10;
    run(async {
        let bed = Bed::new(1).await;
        let records = (0..256).map(|_| {
            let record = ProducerRecord::to(bed.topic.as_str()).payload("small");
            let record = record.header("large", vec![7; LENGTH]);
            bed.publisher.send(record.partition(0))
        });
        try_join_all(records).await.expect("deliveries");
        let calls = Calls::default();
        let gate = CancellationToken::new();
        let opened = gate.clone();
        let service = calls.service(move |_| {
            ready(Ok(match opened.is_cancelled() {
                false => Outcome::Defer {
                    after: Duration::from_millis(20),
                },
                true => Outcome::Ack,
            }))
        });
        let settings = bed.settings().ordering(Ordering::Unordered);
        let running = Running::start(settings.max_bytes(1 << 20), service);
        // Each that was read came again some times.
        calls.reach(1000).await;
        let most = calls.offsets(0).into_iter().max();
        let most = most.expect("a call");
        assert!((30..70).contains(&most), "{most}");
        gate.cancel();
        calls.all_below(0, 256).await;
        running
            .status(0, "all are handled", |one| one.lag == Some(0))
            .await;
        assert_eq!(running.stop().await.acked, 256);
    });
}

/// Keeps the first record that it is told of for as long as its gate is shut.
struct Held(Level, CancellationToken);

impl Lifecycle for Held {
    fn record_received(&mut self, _: &ConsumerRecord) {
        let _entered = self.0.enter();
        block_in_place(|| Handle::current().block_on(self.1.cancelled()));
    }
}

#[test]
fn records_that_wait_for_their_hook_count_as_memory() {
    const LENGTH: usize = 10 << 10;
    run(async {
        let bed = Bed::new(2).await;
        for partition in 0..2 {
            publish_large(&bed, partition, 256, LENGTH).await;
        }
        let (calls, level) = (Calls::default(), Level::default());
        let gate = CancellationToken::new();
        let held = Held(level.clone(), gate.clone());
        // A test that fails isn't to wait for it.
        let _opened = gate.clone().drop_guard();
        let settings = bed.settings().max_bytes(1 << 20);
        let running =
            Running::start_with(settings, calls.acking(), |serve| serve.with_lifecycle(held));
        level.reach(1).await;
        calls.reach(30).await;
        // Each answer has taken a turn of the poll thread, which looks for room in each.
        for _ in 0..200 {
            let answered = running.handle.resume(&bed.topic, 0).await;
            answered.expect("it is assigned");
        }
        let seen = calls.all().len();
        assert!(seen <= 70, "{seen} records");
        gate.cancel();
        for partition in 0..2 {
            calls.all_below(partition, 256).await;
        }
        assert_eq!(running.stop().await.acked, 512);
    });
}
