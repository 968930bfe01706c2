//! Each record once, in order, and its offset committed when it is complete.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kafka_tower::{OffsetReset, StopReason, testing::Request};
use tokio::{
    sync::{Barrier, Mutex},
    task::yield_now,
    time::interval,
};

use crate::{
    bed::{Bed, Calls, Running, committed, soon},
    capture::logs,
    support::run,
};

#[test]
fn each_record_is_handled_once_and_in_order_and_committed() {
    run(async {
        let bed = Bed::new(3).await;
        bed.fill(200).await;
        let calls = Calls::default();
        let first = Arc::new(Barrier::new(3));
        let partitions: Arc<HashMap<i32, Mutex<()>>> = Arc::new(
            (0..3)
                .map(|partition| (partition, Mutex::new(())))
                .collect(),
        );
        let running = bed.serve(calls.service(move |record| {
            let (first, partitions) = (Arc::clone(&first), Arc::clone(&partitions));
            async move {
                let partition = &partitions[&record.partition()];
                let _alone = partition.try_lock().expect("one at a time");
                if record.offset() == 0 {
                    // Goes on only when every partition is here at the same time.
                    first.wait().await;
                }
                yield_now().await;
                Ok(())
            }
        }));
        calls.reach(600).await;
        let summary = running.stop().await;

        for partition in 0..3 {
            assert_eq!(calls.offsets(partition), Vec::from_iter(0..200));
        }
        assert_eq!(summary.acked, 600);
        assert_eq!(summary.undone, []);
        assert_eq!(summary.stop, Some(StopReason::Shutdown));
        assert_eq!(committed(&summary), bed.all_at(200));
        assert_eq!(bed.committed().await, bed.all_at(200));
    });
}

#[test]
fn the_next_consumer_of_the_group_goes_on_where_the_last_one_stopped() {
    run(async {
        let bed = Bed::for_several(2).await;
        for round in 0..3 {
            bed.fill(10).await;
            let calls = Calls::default();
            let running = bed.serve(calls.acking());
            calls.reach(20).await;
            let summary = running.stop().await;
            let range = round * 10..(round + 1) * 10;
            for partition in 0..2 {
                assert_eq!(calls.offsets(partition), Vec::from_iter(range.clone()));
            }
            assert_eq!(committed(&summary), bed.all_at(range.end));
            assert_eq!(bed.committed().await, bed.all_at(range.end));
        }
    });
}

#[test]
fn a_new_group_starts_at_the_latest_record_only_where_it_is_told_to() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let settings = bed.settings().offset_reset(OffsetReset::Latest);
        let running = Running::start(settings, calls.acking());
        let mut often = interval(Duration::from_millis(50));
        soon("a new record is handled", async {
            while calls.all().is_empty() {
                bed.publish(0, 1).await;
                often.tick().await;
            }
        })
        .await;
        running.stop().await;
        let first = calls.offsets(0)[0];
        assert!(first >= 10, "began at {first}");
    });
}

#[test]
fn what_is_complete_is_committed_while_it_runs() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let settings = bed.settings().commit_interval(Duration::from_millis(20));
        let running = Running::start(settings, calls.acking());
        bed.committed_soon(&bed.all_at(10)).await;
        bed.fill(5).await;
        bed.committed_soon(&bed.all_at(15)).await;
        running.stop().await;
        assert_eq!(calls.all().len(), 30);
    });
}

#[test]
fn nothing_is_committed_beyond_a_running_record() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let settings = bed
            .settings()
            .commit_interval(Duration::from_millis(20))
            .drain_timeout(Duration::from_millis(50));
        let running = Running::start(
            settings,
            calls.service(async |record| match record.offset() {
                4 => std::future::pending().await,
                _ => Ok(()),
            }),
        );
        bed.committed_soon(&bed.all_at(4)).await;
        assert_eq!(committed(&running.stop().await), bed.all_at(4));
        assert_eq!(bed.committed().await, bed.all_at(4));
    });
}

#[test]
fn a_commit_that_failed_is_tried_again() {
    // Request timed out (which the client itself tries three times), coordinator not available,
    // not coordinator, network exception.
    for (code, times) in [(7, 7), (15, 1), (16, 1), (13, 3)] {
        run(async {
            let bed = Bed::embedded(2).await;
            let kafka = bed.mock().expect("an embedded cluster");
            let calls = Calls::default();
            // Looking for the coordinator takes a second or two.
            let settings = bed.settings().session_timeout(Duration::from_secs(6));
            let running = Running::start(settings, calls.acking());
            bed.fill(10).await;
            calls.reach(20).await;
            kafka.fail_next(Request::OffsetCommit, times, code);
            let summary = running.stop().await;
            assert_eq!(committed(&summary), bed.all_at(10), "{code}");
            assert!(summary.commits >= 2, "{code}: {summary:?}");
            if code == 7 {
                // More often than the client tries by itself.
                assert!(summary.commits_refused > 0, "{summary:?}");
            }
            assert_eq!(bed.committed().await, bed.all_at(10), "{code}");
        });
    }
}

#[test]
fn no_commit_overtakes_one_that_the_client_tries_again() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        let logs = logs();
        let settings = bed
            .settings()
            .commit_interval(Duration::from_millis(1))
            .set("debug", "cgrp")
            .set("retry.backoff.ms", "1000");
        kafka.fail_next(Request::OffsetCommit, 1, 7);
        let running = Running::start(settings, Calls::default().acking());
        bed.fill(1).await;
        // The commit of 1 failed, and comes again after a second.
        logs.lines(1, &["OffsetCommit for", "Operation in progress"])
            .await;
        bed.fill(1).await;
        logs.lines(2, &["OffsetCommit for", "Success"]).await;
        assert_eq!(bed.committed().await, bed.all_at(2));
        assert_eq!(committed(&running.stop().await), bed.all_at(2));
    });
}

#[test]
fn many_partitions_are_many_lanes() {
    run(async {
        let bed = Bed::new(50).await;
        bed.fill(4).await;
        let calls = Calls::default();
        let first = Arc::new(Barrier::new(50));
        let running = bed.serve(calls.service(move |record| {
            let first = Arc::clone(&first);
            async move {
                if record.offset() == 0 {
                    first.wait().await;
                }
                Ok(())
            }
        }));
        calls.reach(200).await;
        let summary = running.stop().await;
        assert_eq!(summary.acked, 200);
        for partition in 0..50 {
            assert_eq!(calls.offsets(partition), [0, 1, 2, 3]);
        }
        assert_eq!(bed.committed().await, bed.all_at(4));
    });
}

#[test]
fn a_runtime_of_one_thread_is_enough() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let bed = Bed::new(2).await;
        bed.fill(500).await;
        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        calls.reach(1000).await;
        assert_eq!(running.stop().await.acked, 1000);
        assert_eq!(bed.committed().await, bed.all_at(500));
    });
}
