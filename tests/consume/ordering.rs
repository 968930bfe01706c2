//! Which records of a partition run side by side, and which wait for each other.

use std::{collections::HashMap, future::ready, sync::Arc, time::Duration};

use kafka_tower::{ConsumerRecord, Ordering, Outcome, PartitionStatus};
use tokio::{
    sync::{Barrier, Mutex},
    task::yield_now,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, Level, Running},
    support::run,
};

fn key(record: &ConsumerRecord) -> Vec<u8> {
    record.key().unwrap_or_default().to_vec()
}

#[test]
fn a_slow_key_holds_up_only_itself() {
    run(async {
        let bed = Bed::new(1).await;
        let keys = ["slow", "a", "b", "slow", "a", "b"].map(Some);
        bed.publish_keys(0, &keys).await;
        let calls = Calls::default();
        let gate = CancellationToken::new();
        let opened = gate.clone();
        let settings = bed.settings().ordering(Ordering::Key);
        let settings = settings.commit_interval(Duration::from_millis(20));
        let running = Running::start(
            settings,
            calls.service(move |record| {
                let opened = opened.clone();
                async move {
                    if record.offset() == 0 {
                        opened.cancelled().await;
                    }
                    Ok(())
                }
            }),
        );
        for offset in [1, 2, 4, 5] {
            calls.of(0, offset).await;
        }
        let waits = |one: &PartitionStatus| (one.in_flight, one.waiting) == (1, 1);
        running.status(0, "one runs and one waits", waits).await;
        assert!(!calls.offsets(0).contains(&3), "behind its key");
        bed.committed_soon(&bed.all_at(0)).await;

        gate.cancel();
        calls.reach(6).await;
        assert_eq!(running.stop().await.acked, 6);
        assert_eq!(bed.committed().await, bed.all_at(6));
    });
}

#[test]
fn a_waiting_key_holds_up_only_itself() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish_keys(0, &["waits", "a", "waits", "a"].map(Some))
            .await;
        let calls = Calls::default();
        let settings = bed.settings().ordering(Ordering::Key);
        let running = Running::start(
            settings,
            calls.service(async |record| {
                Ok(match record.key() {
                    Some(b"waits") => Outcome::Retry {
                        after: Some(Duration::from_secs(3600)),
                    },
                    _ => Outcome::Ack,
                })
            }),
        );
        calls.of(0, 3).await;
        let summary = running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 3]);
        assert_eq!(summary.acked, 2);
        assert_eq!(bed.committed().await, bed.all_at(0));
    });
}

#[test]
fn the_records_of_a_key_are_in_order_over_retries_too() {
    run(async {
        const KEYS: [&str; 4] = ["a", "b", "c", "d"];
        let bed = Bed::new(2).await;
        let keys: Vec<_> = (0..120).map(|n| Some(KEYS[n % KEYS.len()])).collect();
        for partition in 0..2 {
            bed.publish_keys(partition, &keys).await;
        }
        let calls = Calls::default();
        let place = |partition: i32, key: &[u8]| (partition, key.to_vec());
        let busy: Arc<HashMap<_, Mutex<()>>> = Arc::new(
            (0..2)
                .flat_map(|one| KEYS.map(|key| (place(one, key.as_bytes()), Mutex::default())))
                .collect(),
        );
        let settings = bed.settings().ordering(Ordering::Key);
        let running = Running::start(
            settings,
            calls.service(move |record| {
                let busy = Arc::clone(&busy);
                async move {
                    let busy = &busy[&(record.partition(), key(&record))];
                    let _alone = busy.try_lock().expect("one of a key at a time");
                    for _ in 0..record.offset() % 3 {
                        yield_now().await;
                    }
                    let is_first = record.attempt() == 1;
                    Ok(match record.offset() % 5 {
                        0 if is_first => Outcome::Retry { after: None },
                        1 if is_first => Outcome::Retry {
                            after: Some(Duration::from_millis(3)),
                        },
                        _ => Outcome::Ack,
                    })
                }
            }),
        );
        calls.reach(240 + 2 * 48).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.retried), (240, 96));
        for partition in 0..2 {
            let offsets = calls.offsets(partition);
            for key in 0..4 {
                let of_key = offsets.iter().copied().filter(|offset| offset % 4 == key);
                let mut of_key = Vec::from_iter(of_key);
                // A retry comes before the next one.
                of_key.dedup();
                let expected = (0..120).filter(|offset| offset % 4 == key);
                assert_eq!(of_key, Vec::from_iter(expected), "{partition} {key}");
            }
        }
        assert_eq!(bed.committed().await, bed.all_at(120));
    });
}

/// Whether the four records of a partition with these keys all run at the same time.
async fn run_side_by_side(ordering: Ordering, keys: [Option<&str>; 4]) {
    let bed = Bed::new(1).await;
    bed.publish_keys(0, &keys).await;
    let calls = Calls::default();
    let together = Arc::new(Barrier::new(4));
    let settings = bed.settings().ordering(ordering);
    let running = Running::start(
        settings,
        calls.service(move |_| {
            let together = Arc::clone(&together);
            async move {
                together.wait().await;
                Ok(())
            }
        }),
    );
    let done = |one: &PartitionStatus| one.lag == Some(0);
    running.status(0, "all are handled", done).await;
    assert_eq!(running.stop().await.acked, 4);
    assert_eq!(bed.committed().await, bed.all_at(4));
}

#[test]
fn records_without_a_key_run_side_by_side() {
    run(run_side_by_side(Ordering::Key, [None; 4]));
}

#[test]
fn different_keys_run_side_by_side() {
    let keys = ["a", "b", "c", "d"].map(Some);
    run(run_side_by_side(Ordering::Key, keys));
}

#[test]
fn without_an_order_the_records_of_a_key_run_side_by_side() {
    run(run_side_by_side(Ordering::Unordered, [Some("a"); 4]));
}

#[test]
fn a_waiting_record_holds_up_no_other_when_there_is_no_order() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish_keys(0, &[Some("a"); 10]).await;
        let calls = Calls::default();
        let settings = bed.settings().ordering(Ordering::Unordered);
        let running = Running::start(
            settings,
            calls.service(|record| {
                ready(Ok(match record.offset() {
                    0 => Outcome::Defer {
                        after: Duration::from_secs(3600),
                    },
                    _ => Outcome::Ack,
                }))
            }),
        );
        calls.reach(10).await;
        assert_eq!(running.stop().await.acked, 9);
        assert_eq!(bed.committed().await, bed.all_at(0));
    });
}

#[test]
fn a_partition_in_order_runs_one_record_at_a_time_whatever_the_keys() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish_keys(0, &["a", "b", "c", "d", "e", "f"].map(Some))
            .await;
        let calls = Calls::default();
        let level = Level::default();
        let inside = level.clone();
        let running = bed.serve(calls.service(move |record| {
            let inside = inside.clone();
            async move {
                let _entered = inside.enter();
                yield_now().await;
                Ok(match (record.offset(), record.attempt()) {
                    (1, 1) => Outcome::Retry {
                        after: Some(Duration::from_millis(30)),
                    },
                    (3, 1) => Outcome::Retry { after: None },
                    _ => Outcome::Ack,
                })
            }
        }));
        calls.reach(8).await;
        running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 1, 2, 3, 3, 4, 5]);
        assert_eq!(level.most(), 1);
        assert_eq!(bed.committed().await, bed.all_at(6));
    });
}
