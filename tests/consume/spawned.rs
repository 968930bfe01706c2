//! Service calls in tasks of their own.

use std::{
    error::Error,
    future::pending,
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use kafka_tower::{BoxError, ConsumerSettings, Ordering, ServeError, Undone};
use tokio::{runtime::Builder, task::yield_now, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, Running, SOON, is_done, soon},
    support::run,
};

fn spawning(bed: &Bed) -> ConsumerSettings {
    bed.settings().spawn_handlers(true)
}

#[test]
fn handlers_that_block_run_on_all_threads() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let result = runtime.block_on(async {
        timeout(SOON, async {
            let bed = Bed::new(2).await;
            bed.fill(20).await;
            let calls = Calls::default();
            let both = Arc::new(Barrier::new(2));
            let running = Running::start(
                spawning(&bed).dispatchers(1),
                calls.service(move |_| {
                    let both = Arc::clone(&both);
                    async move {
                        // Blocks its thread until the other partition's handler is here as well.
                        both.wait();
                        Ok(())
                    }
                }),
            );
            calls.reach(40).await;
            assert_eq!(running.stop().await.acked, 40);
            assert_eq!(bed.committed().await, bed.all_at(20));
        })
        .await
    });
    // A thread that waits for ever must not hide what went wrong.
    runtime.shutdown_background();
    result.expect("the test ends within its deadline");
}

#[test]
fn the_order_is_the_same_as_without() {
    run(async {
        let bed = Bed::new(2).await;
        let keys: Vec<_> = (0..60).map(|n| Some(["a", "b", "c"][n % 3])).collect();
        for partition in 0..2 {
            bed.publish_keys(partition, &keys).await;
        }
        let calls = Calls::default();
        let running = Running::start(
            spawning(&bed).ordering(Ordering::Key),
            calls.service(async |record| {
                for _ in 0..record.offset() % 4 {
                    yield_now().await;
                }
                Ok(())
            }),
        );
        calls.reach(120).await;
        assert_eq!(running.stop().await.acked, 120);
        for partition in 0..2 {
            let offsets = calls.offsets(partition);
            for key in 0..3 {
                let of_key = offsets.iter().copied().filter(|one| one % 3 == key);
                assert!(of_key.is_sorted(), "{offsets:?}");
            }
        }
        assert_eq!(bed.committed().await, bed.all_at(60));
    });
}

#[test]
fn a_panic_in_a_task_is_the_records_failure() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(5).await;
        let calls = Calls::default();
        let service = calls.service(async |record| {
            yield_now().await;
            assert!(record.offset() != 3, "in its task");
            Ok(())
        });
        let error = Running::start(spawning(&bed), service).end().await;
        let error = error.expect_err("a failure");
        assert!(
            matches!(error, ServeError::Unhandled { offset: 3, .. }),
            "{error:?}"
        );
        let cause = error.source().expect("a source").to_string();
        assert_eq!(cause, "the service panicked: in its task");
        assert_eq!(bed.committed().await, bed.all_at(3));
    });
}

#[test]
fn an_error_in_a_task_is_the_records_failure() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(5).await;
        let calls = Calls::default();
        let service = calls.service(async |record| match record.offset() {
            2 => Err::<(), BoxError>("out of stock".into()),
            _ => Ok(()),
        });
        let error = Running::start(spawning(&bed), service).end().await;
        let cause = error
            .expect_err("a failure")
            .source()
            .map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some("out of stock"));
        assert_eq!(bed.committed().await, bed.all_at(2));
    });
}

#[test]
fn a_task_is_cancelled_at_the_end_of_the_drain() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(5).await;
        let calls = Calls::default();
        let dropped = CancellationToken::new();
        let guard = dropped.clone();
        let settings = spawning(&bed).drain_timeout(Duration::from_millis(200));
        let running = Running::start(
            settings,
            calls.service(move |record| {
                let is_it = (record.partition(), record.offset()) == (1, 2);
                let guard = is_it.then(|| guard.clone().drop_guard());
                async move {
                    match &guard {
                        Some(_) => pending().await,
                        None => Ok(()),
                    }
                }
            }),
        );
        running.status(0, "it is done", is_done).await;
        calls.of(1, 2).await;
        let stopped = Instant::now();
        let summary = running.stop().await;
        assert!(stopped.elapsed() < Duration::from_secs(15));
        soon("the task is dropped", dropped.cancelled()).await;
        let undone = (bed.topic.clone(), 1, 2, Undone::Cancelled);
        assert_eq!(summary.undone, [undone]);
        assert_eq!(bed.committed().await, [(0, 5), (1, 2)].into());
    });
}
