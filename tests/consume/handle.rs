//! The handle: what it shows, and what it does.

use std::{future::IntoFuture, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use kafka_tower::{ConsumerRecord, Outcome, StopReason, serve};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, OpensAtTheEnd, Running, committed, is_at, is_done, soon},
    support::run,
};

const AN_HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_empty_partition_is_not_behind() {
    run(async {
        let bed = Bed::new(2).await;
        bed.publish(0, 3).await;
        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        running
            .status(1, "the empty one is at its end", |one| one.lag == Some(0))
            .await;
        running
            .status(0, "the other is done", |one| one.lag == Some(0))
            .await;
        running.stop().await;
        // Nothing was committed for what there was nothing to read from.
        assert_eq!(bed.committed().await, [(0, 3)].into());
    });
}

#[test]
fn it_shows_how_far_each_partition_is() {
    run(async {
        let bed = Bed::new(3).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let gate = CancellationToken::new();
        let held = |record: &ConsumerRecord| is_at(record, 0, 3);
        let service = calls.gated(&gate, held, |record| {
            Ok(match record.attempt() {
                1 if is_at(record, 1, 4) => Outcome::Retry {
                    after: Some(AN_HOUR),
                },
                _ => Outcome::Ack,
            })
        });
        let settings = bed.settings().commit_interval(Duration::from_millis(20));
        let running = Running::start(settings, service);
        let seen = running.status(0, "it runs", |one| {
            one.in_flight == 1 && one.end.is_some() && one.committed == Some(3)
        });
        let seen = seen.await;
        assert_eq!((seen.lag, seen.waiting, seen.paused), (Some(7), 0, false));
        assert_eq!((&seen.topic, seen.end), (&bed.topic, Some(10)));
        assert!(seen.last_progress.is_some_and(|ago| ago < AN_HOUR));
        let seen = running.status(1, "it waits", |one| {
            (one.waiting, one.in_flight) == (1, 0) && one.end.is_some() && one.committed == Some(4)
        });
        seen.await;
        running.status(2, "it is done", is_done).await;
        let all = running.handle.partitions();
        let places = all.iter().map(|one| (one.topic.as_str(), one.partition));
        assert_eq!(
            Vec::from_iter(places),
            [0, 1, 2].map(|one| (&*bed.topic, one))
        );

        gate.cancel();
        let seen = running.status(0, "it is done", is_done).await;
        assert_eq!((seen.in_flight, seen.committed), (0, Some(10)));
        running.stop().await;
    });
}

#[test]
fn it_works_before_and_after_the_run() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let calls = Calls::default();
        let consumer = bed.settings().build().expect("settings that can work");
        let served = serve(consumer, calls.acking());
        let handle = served.handle();
        assert_eq!(handle.partitions(), []);
        let refused = handle.pause(&bed.topic, 0).await.expect_err("not yet");
        assert!(refused.to_string().contains("not assigned"), "{refused}");
        let running = tokio::spawn(served.into_future());
        calls.reach(1).await;
        assert_eq!(handle.resume(&bed.topic, 0).await, Ok(()));
        assert!(handle.pause(&bed.topic, 1).await.is_err());
        assert!(handle.seek("elsewhere", 0, 1).await.is_err());
        handle.clone().stop();
        let ended = soon("it ends", running).await.expect("no panic");
        let summary = ended.expect("no error");
        assert_eq!(summary.stop, Some(StopReason::Shutdown));
        assert_eq!(committed(&summary), bed.all_at(1));
        assert_eq!(handle.partitions(), []);
        assert!(handle.seek(&bed.topic, 0, 0).await.is_err());
        handle.stop();
    });
}

#[test]
fn a_stop_before_the_start_counts() {
    run(async {
        let bed = Bed::new(1).await;
        let consumer = bed.settings().build().expect("settings that can work");
        let calls = Calls::default();
        let served = serve(consumer, calls.acking());
        served.handle().stop();
        let summary = soon("it ends", served.into_future()).await;
        assert_eq!(summary.expect("no error").stop, Some(StopReason::Shutdown));
    });
}

#[test]
fn a_stop_drains() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(5).await;
        let (calls, gate) = (Calls::default(), CancellationToken::new());
        let opens = OpensAtTheEnd(gate.clone());
        let service = calls.held_at(2, &gate);
        let running =
            Running::start_with(bed.settings(), service, |serve| serve.with_lifecycle(opens));
        calls.of(0, 2).await;
        running.runs(0).await;
        calls.of(1, 4).await;
        running.handle.stop();
        let summary = running.end().await.expect("no error");
        assert_eq!((summary.acked, summary.undone.len()), (8, 0));
        assert_eq!(bed.committed().await, [(0, 3), (1, 5)].into());
    });
}

#[test]
fn a_paused_partition_waits_and_the_others_go_on() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(5).await;
        let (calls, gate) = (Calls::default(), CancellationToken::new());
        let running = Running::start(bed.settings(), calls.held_at(2, &gate));
        calls.of(0, 2).await;
        running.runs(0).await;
        let paused = running.handle.pause(&bed.topic, 0).await;
        paused.expect("it is assigned");
        running.status(0, "it is paused", |one| one.paused).await;
        // What runs goes on.
        gate.cancel();
        running
            .status(0, "it is committed", |one| one.committed == Some(3))
            .await;
        bed.publish(0, 5).await;
        bed.publish(1, 5).await;
        calls.all_below(1, 10).await;
        let status = running.status(1, "it goes on", |one| !one.paused).await;
        assert_eq!(status.waiting, 0);
        assert_eq!(calls.offsets(0), [0, 1, 2]);

        let resumed = running.handle.resume(&bed.topic, 0).await;
        resumed.expect("it is assigned");
        running.status(0, "it is done", is_done).await;
        assert!(running.handle.partitions().iter().all(|one| !one.paused));
        running.stop().await;
        assert_eq!(calls.offsets(0), Vec::from_iter(0..10));
        assert_eq!(bed.committed().await, bed.all_at(10));
    });
}

#[test]
fn every_request_is_answered_also_at_the_end() {
    run(async {
        let bed = Bed::new(1).await;
        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        running.status(0, "it is assigned", |_| true).await;
        let (handle, topic) = (running.handle.clone(), bed.topic.clone());
        // Asks without a pause, until there is nobody to ask.
        let asker = spawn_blocking(move || {
            let mut asked = FuturesUnordered::new();
            loop {
                let (handle, topic) = (handle.clone(), topic.clone());
                let mut request = Box::pin(async move { handle.resume(&topic, 0).await });
                match request.as_mut().now_or_never() {
                    Some(Err(_)) => return asked,
                    Some(Ok(())) => {}
                    None => asked.push(request),
                }
                while let Some(Some(_)) = asked.next().now_or_never() {}
            }
        });
        running.stop().await;
        let asked = asker.await.expect("no panic");
        let answers: Vec<_> = soon("each gets an answer", asked.collect()).await;
        drop(answers);
    });
}
