//! A failure that no layer handles: stop, pause the partition, or skip.

use std::{
    future::{pending, ready},
    time::Duration,
};

use kafka_tower::{BoxError, OnUnhandled, Ordering, Outcome, PartitionStatus, ServeError, Undone};

use crate::{
    bed::{Bed, Calls, Running, committed},
    capture::logs,
    support::run,
};

const AN_HOUR: Duration = Duration::from_secs(3600);

#[test]
fn stop_leaves_the_waiting_and_the_failed_for_the_next_attempt() {
    run(async {
        let bed = Bed::for_several(2).await;
        bed.fill(4).await;
        let calls = Calls::default();
        let seen = calls.clone();
        let running = bed.serve(calls.service(move |record| {
            let others = seen.clone();
            async move {
                match (record.partition(), record.offset()) {
                    (0, 1) => Ok(Outcome::Retry {
                        after: Some(AN_HOUR),
                    }),
                    (1, 2) => {
                        others.of(0, 1).await;
                        Err(BoxError::from("broken"))
                    }
                    _ => Ok(Outcome::Ack),
                }
            }
        }));
        let error = running.end().await.expect_err("a failure");
        let ServeError::Unhandled {
            partition: 1,
            offset: 2,
            summary,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        let undone = [(0, 1, Undone::Waiting), (1, 2, Undone::Failed)];
        let undone = undone.map(|(one, offset, why)| (bed.topic.clone(), one, offset, why));
        assert_eq!(summary.undone, undone);
        assert_eq!(bed.committed().await, [(0, 1), (1, 2)].into());

        let next = Calls::default();
        let running = bed.serve(next.acking());
        next.reach(5).await;
        running.stop().await;
        assert_eq!(next.offsets(0), [1, 2, 3]);
        assert_eq!(next.offsets(1), [2, 3]);
        assert_eq!(
            (next.attempts(0, 1), next.attempts(1, 2)),
            (vec![2], vec![2])
        );
    });
}

#[test]
fn a_paused_partition_holds_up_no_other() {
    run(async {
        let bed = Bed::for_several(2).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let service = calls.service(async |record| {
            match (record.partition(), record.offset(), record.attempt()) {
                (0, 2, 1) => Err("broken".into()),
                _ => Ok(()),
            }
        });
        let settings = bed.settings().commit_interval(Duration::from_millis(20));
        let running = Running::start_with(settings, service, |serve| {
            serve.on_unhandled(OnUnhandled::pause_partition(AN_HOUR))
        });
        let expected = [(0, 2), (1, 10)].into();
        bed.committed_soon(&expected).await;
        // Each number is read by itself.
        let paused = |one: &PartitionStatus| one.paused && (one.waiting, one.in_flight) == (1, 0);
        running.status(0, "it is paused", paused).await;
        running.status(1, "it goes on", |one| !one.paused).await;
        assert_eq!(calls.offsets(0), [0, 1, 2]);
        // It is not paused by request, so nobody can resume it.
        let handle = &running.handle;
        handle.resume(&bed.topic, 0).await.expect("it is assigned");
        handle.pause(&bed.topic, 1).await.expect("it is assigned");
        running.status(1, "it is paused", |one| one.paused).await;
        assert!(handle.partitions()[0].paused);

        // Nor does it hold up the end.
        let summary = running.stop().await;
        let undone = (bed.topic.clone(), 0, 2, Undone::Waiting);
        assert_eq!(summary.undone, [undone]);
        assert_eq!(committed(&summary), expected);
        let next = Calls::default();
        let running = bed.serve(next.acking());
        next.reach(8).await;
        running.stop().await;
        assert_eq!(next.attempts(0, 2), [2]);
    });
}

#[test]
fn a_paused_partition_begins_again_with_its_failed_record() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(6).await;
        let calls = Calls::default();
        let service = calls.service(async |record| match (record.offset(), record.attempt()) {
            (2, 1 | 2) => panic!("broken"),
            (4, 1) => Ok(Outcome::DeadLetter {
                reason: "nowhere to go".into(),
            }),
            _ => Ok(Outcome::Ack),
        });
        let running = Running::start_with(bed.settings(), service, |serve| {
            serve.on_unhandled(OnUnhandled::pause_partition(Duration::from_millis(100)))
        });
        running
            .status(0, "all are handled", |one| one.lag == Some(0))
            .await;
        let goes_on = |one: &PartitionStatus| !one.paused && (one.waiting, one.in_flight) == (0, 0);
        running.status(0, "it goes on", goes_on).await;
        let summary = running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 2, 2, 2, 3, 4, 4, 5]);
        assert_eq!(calls.attempts(0, 2), [1, 2, 3]);
        assert_eq!(calls.attempts(0, 4), [1, 2]);
        assert_eq!((summary.acked, summary.skipped), (6, 0));
        assert_eq!(bed.committed().await, bed.all_at(6));
    });
}

#[test]
fn the_failed_record_comes_before_what_waited_beside_it() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(3).await;
        let calls = Calls::default();
        let service = calls.service(|record| {
            let answer = match (record.offset(), record.attempt()) {
                // Due while the partition is paused.
                (0, 1) => Ok(Outcome::Retry {
                    after: Some(Duration::from_millis(200)),
                }),
                (1, 1) => Err("broken".into()),
                _ => Ok(Outcome::Ack),
            };
            ready(answer)
        });
        let settings = bed.settings().ordering(Ordering::Unordered);
        let running = Running::start_with(settings, service, |serve| {
            serve.on_unhandled(OnUnhandled::pause_partition(Duration::from_millis(1000)))
        });
        calls.reach(5).await;
        running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 1, 0, 2]);
    });
}

#[test]
fn a_shutdown_finds_several_failures_in_a_paused_partition() {
    run(async {
        let bed = Bed::for_several(1).await;
        bed.fill(4).await;
        let calls = Calls::default();
        let seen = calls.clone();
        let service = calls.service(move |record| {
            let seen = seen.clone();
            async move {
                // All are running when the first of them fails.
                seen.reach(4).await;
                match record.offset() {
                    3 => pending().await,
                    _ => Err::<(), BoxError>("broken".into()),
                }
            }
        });
        let settings = bed.settings().ordering(Ordering::Unordered);
        let settings = settings.drain_timeout(Duration::from_millis(100));
        let running = Running::start_with(settings, service, |serve| {
            serve.on_unhandled(OnUnhandled::pause_partition(AN_HOUR))
        });
        running
            .status(0, "three wait", |one| {
                (one.waiting, one.in_flight) == (3, 1)
            })
            .await;
        let summary = running.stop().await;
        let why = |offset| match offset {
            3 => Undone::Cancelled,
            _ => Undone::Waiting,
        };
        let undone = (0..4).map(|offset| (bed.topic.clone(), 0, offset, why(offset)));
        assert_eq!(summary.undone, Vec::from_iter(undone));
        let next = Calls::default();
        let running = bed.serve(next.acking());
        next.reach(4).await;
        running.stop().await;
        assert!(next.all().iter().all(|call| call.attempt == 2), "{next:?}");
    });
}

#[test]
fn a_skipped_failure_is_counted_and_logged() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(6).await;
        let logs = logs();
        let calls = Calls::default();
        let service = calls.service(async |record| match record.offset() {
            1 => Err("out of stock".into()),
            2 => panic!("out of luck"),
            3 => Ok(Outcome::DeadLetter {
                reason: "out of order".into(),
            }),
            4 => Ok(Outcome::Skip),
            _ => Ok(Outcome::Ack),
        });
        let running = Running::start_with(bed.settings(), service, |serve| {
            serve.on_unhandled(OnUnhandled::Skip)
        });
        calls.reach(6).await;
        let summary = running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 2, 3, 4, 5]);
        assert_eq!((summary.acked, summary.skipped), (2, 4));
        assert_eq!(summary.undone, []);
        assert_eq!(bed.committed().await, bed.all_at(6));
        for cause in ["out of stock", "out of luck", "out of order"] {
            logs.line(&["ERROR", "it is skipped", &bed.topic, cause])
                .await;
        }
    });
}
