//! What bounds a consumer: records that run, records that wait, offsets.

use std::{collections::BTreeSet, future::ready, time::Duration};

use kafka_tower::{ConsumerSettings, Ordering, Outcome, PartitionStatus};
use tokio::{runtime::Builder, task::yield_now, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, Level, Running, SOON},
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
