//! Every way to end: drained, cut off, before the start, dropped, without its runtime.

use std::{
    future::{IntoFuture, pending, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kafka_tower::{Outcome, ServeError, StopReason, Summary, Undone, serve};
use tokio::{
    runtime::Runtime,
    task::JoinHandle,
    time::{interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, OpensAtTheEnd, Running, SOON, committed, is_done, soon},
    capture::logs,
    support::run,
};

/// Far less than any time limit that a shutdown might wait out in vain.
const AT_ONCE: Duration = Duration::from_secs(20);
const AN_HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_running_record_is_drained() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let ended = Arc::new(AtomicBool::new(false));
        let (end, stops) = (Arc::clone(&ended), CancellationToken::new());
        let opens = OpensAtTheEnd(stops.clone());
        let service = calls.service(move |record| {
            let (end, stops) = (Arc::clone(&end), stops.clone());
            async move {
                if record.offset() == 4 {
                    stops.cancelled().await;
                    sleep(Duration::from_millis(700)).await;
                    end.store(true, Ordering::SeqCst);
                }
                Ok(())
            }
        });
        let running =
            Running::start_with(bed.settings(), service, |serve| serve.with_lifecycle(opens));
        calls.of(0, 4).await;
        let summary = running.stop().await;
        assert!(ended.load(Ordering::SeqCst));
        assert_eq!((summary.acked, summary.undone.len()), (5, 0));
        assert_eq!(calls.offsets(0), [0, 1, 2, 3, 4]);
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}

#[test]
fn what_never_ends_is_cut_off_and_delivered_again() {
    run(async {
        let bed = Bed::for_several(2).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let settings = bed.settings().drain_timeout(Duration::from_millis(300));
        let logs = logs();
        let running = Running::start(
            settings,
            calls.service(async |record| match (record.partition(), record.offset()) {
                (0, 5) => pending().await,
                _ => Ok(()),
            }),
        );
        calls.of(0, 5).await;
        running.status(1, "it is done", is_done).await;
        running
            .status(0, "it is running", |one| one.in_flight == 1)
            .await;
        let summary = running.stop().await;
        logs.line(&[
            "stopping: what is running has this time",
            "running=1",
            "300ms",
        ])
        .await;
        logs.line(&["records are cut off while running"]).await;
        let undone = (bed.topic.clone(), 0, 5, Undone::Cancelled);
        assert_eq!(summary.undone, [undone]);
        let expected = [(0, 5), (1, 10)].into();
        assert_eq!(committed(&summary), expected);
        assert_eq!(bed.committed().await, expected);

        let next = Calls::default();
        let running = bed.serve(next.acking());
        next.reach(5).await;
        assert_eq!(running.stop().await.acked, 5);
        assert_eq!(next.offsets(0), [5, 6, 7, 8, 9]);
        assert_eq!(bed.committed().await, bed.all_at(10));
    });
}

#[test]
fn what_does_not_let_itself_be_cancelled_does_not_hold_up_the_shutdown_for_ever() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(3).await;
        let calls = Calls::default();
        let settings = bed.settings().drain_timeout(Duration::from_millis(100));
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let running = Running::start(
            settings,
            calls.service(move |record| {
                if record.offset() == 1 {
                    // Blocks a thread of the runtime.
                    let _ = released.lock().expect("no panic").recv();
                }
                ready(Ok(()))
            }),
        );
        calls.of(0, 1).await;
        let summary = running.stop().await;
        drop(release);
        let undone = (bed.topic.clone(), 0, 1, Undone::Cancelled);
        assert_eq!(summary.undone, [undone]);
        assert_eq!(bed.committed().await, bed.all_at(1));
    });
}

#[test]
fn no_call_begins_once_it_is_told_to_stop_however_busy_it_is() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(1500).await;
        let calls = Calls::default();
        let without_lease = Arc::new(AtomicBool::new(false));
        let found = Arc::clone(&without_lease);
        let settings = bed.settings().dispatchers(1);
        let running = Running::start(
            settings.drain_timeout(Duration::from_millis(300)),
            calls.service(move |record| {
                found.fetch_or(!record.lease().is_held(), Ordering::SeqCst);
                // Ends at once as its dispatcher sees it, and takes long.
                std::thread::sleep(Duration::from_millis(5));
                ready(Ok(()))
            }),
        );
        calls.reach(5).await;
        let summary = running.stop().await;
        assert_eq!(summary.acked, calls.all().len() as u64);
        assert!(summary.acked < 1500, "it was stopped");
        assert_eq!(bed.committed().await, bed.all_at(summary.acked as i64));
        assert!(!without_lease.load(Ordering::SeqCst));
    });
}

#[test]
fn a_waiting_retry_does_not_hold_up_the_shutdown() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let running = bed.serve(calls.service(async |record| {
            Ok(match (record.partition(), record.offset()) {
                (0, 3) => Outcome::Retry {
                    after: Some(AN_HOUR),
                },
                (1, 7) => Outcome::Defer { after: AN_HOUR },
                _ => Outcome::Ack,
            })
        }));
        calls.of(0, 3).await;
        calls.of(1, 7).await;
        let stopped = Instant::now();
        let summary = running.stop().await;
        assert!(stopped.elapsed() < AT_ONCE, "{:?}", stopped.elapsed());
        let undone = [(0, 3), (1, 7)]
            .map(|(partition, offset)| (bed.topic.clone(), partition, offset, Undone::Waiting));
        assert_eq!(summary.undone, undone);
        assert_eq!(bed.committed().await, [(0, 3), (1, 7)].into());
    });
}

#[test]
fn a_shutdown_may_come_before_the_assignment() {
    run(async {
        let bed = Bed::for_several(1).await;
        bed.fill(10).await;
        for _ in 0..5 {
            let consumer = bed.settings().build().expect("settings that can work");
            let calls = Calls::default();
            let served = serve(consumer, calls.acking()).with_graceful_shutdown(ready(()));
            let started = Instant::now();
            let summary = served.await.expect("no error");
            assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
            assert_eq!(summary.stop, Some(StopReason::Shutdown));
            assert_eq!(summary.undone, []);
        }
    });
}

/// Serves a partition of ten records, the sixth of which never ends; `dropped` is cancelled when it
/// is dropped.
fn spawn_endless(
    bed: &Bed,
    calls: &Calls,
    dropped: &CancellationToken,
) -> JoinHandle<Result<Summary, ServeError>> {
    // A member that doesn't leave holds the partition for longer than anything is waited for.
    let settings = match bed.mock() {
        Some(_) => bed.settings(),
        None => bed.plain_settings().session_timeout(2 * SOON),
    };
    let dropped = dropped.clone();
    let service = calls.service(move |record| {
        let guard = (record.offset() == 5).then(|| dropped.clone().drop_guard());
        async move {
            match &guard {
                Some(_) => pending().await,
                None => Ok(()),
            }
        }
    });
    let consumer = settings.build().expect("settings that can work");
    tokio::spawn(serve(consumer, service).into_future())
}

/// What was complete is committed, and the next consumer gets the rest soon.
async fn assert_left(bed: &Bed) {
    bed.committed_soon(&bed.all_at(5)).await;
    let next = Calls::default();
    let running = bed.serve(next.acking());
    next.reach(5).await;
    running.stop().await;
    assert_eq!(next.offsets(0), [5, 6, 7, 8, 9]);
}

#[test]
fn dropping_the_future_commits_and_leaves() {
    run(async {
        let bed = Bed::for_several(1).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let dropped = CancellationToken::new();
        let task = spawn_endless(&bed, &calls, &dropped);
        calls.of(0, 5).await;
        task.abort();
        soon("the running call is dropped", dropped.cancelled()).await;
        assert_left(&bed).await;
    });
}

#[test]
fn where_nothing_runs_nothing_is_said_to_be_cut_off() {
    run(async {
        let logs = logs();
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let running = bed.serve(Calls::default().acking());
        running.status(0, "it is done", is_done).await;
        running.task.abort();
        let mut often = interval(Duration::from_millis(10));
        let closed = async {
            while !running.handle.partitions().is_empty() {
                often.tick().await;
            }
        };
        soon("the consumer is closed", closed).await;
        assert_eq!(logs.count(&["records are cut off", "running=0"]), 0);
    });
}

#[test]
fn the_runtime_may_be_dropped_first() {
    let runtime = Runtime::new().expect("a runtime");
    let calls = Calls::default();
    let dropped = CancellationToken::new();
    let bed = runtime.block_on(async {
        let bed = Bed::for_several(1).await;
        bed.fill(10).await;
        spawn_endless(&bed, &calls, &dropped);
        calls.of(0, 5).await;
        bed
    });
    drop(runtime);
    assert!(dropped.is_cancelled());
    run(assert_left(&bed));
}
