//! What a consumer counts, and how it is.

use std::{future::pending, time::Duration};

use kafka_tower::{
    BoxError, Consumer, ConsumerRecord, ConsumerSettings, ConsumerStats, Delivery, Ordering,
    Outcome, ServeError, serve, testing::Request,
};
use tokio::time::interval;
use tower::service_fn;

use crate::{
    bed::{Bed, Calls, Running, soon},
    support::run,
};

/// Waits until the numbers are as wanted, and gives them.
async fn stats(
    running: &Running,
    what: &str,
    wanted: impl Fn(&ConsumerStats) -> bool,
) -> ConsumerStats {
    let mut often = interval(Duration::from_millis(10));
    soon(what, async {
        loop {
            let stats = running.handle.stats();
            if wanted(&stats) {
                return stats;
            }
            often.tick().await;
        }
    })
    .await
}

#[test]
fn outcomes_are_counted_while_it_runs_and_stay_afterwards() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish(0, 6).await;
        let calls = Calls::default();
        let service = calls.service(async |record| {
            Ok(match (record.offset(), record.attempt()) {
                (1, _) => Outcome::Skip,
                (2 | 3, 1) => Outcome::Retry { after: None },
                (4, _) => Delivery::new("u", 0, 0, "1".into()).into(),
                _ => Outcome::Ack,
            })
        });
        let running = Running::start(bed.settings(), service);
        let handle = running.handle.clone();
        let seen = stats(&running, "all are done", |stats| {
            stats.commits > 0 && stats.acked == 4
        });
        let seen = seen.await;
        assert_eq!((seen.skipped, seen.moved, seen.retried), (1, 1, 2));
        assert_eq!((seen.deferred, seen.stale_completions), (0, 0));
        assert_eq!((seen.rebalances, seen.members), (1, 1));
        let summary = running.stop().await;
        let after = handle.stats();
        assert_eq!(after.acked, summary.acked);
        assert_eq!(after.commits, summary.commits);
        assert_eq!(after.commits_refused, summary.commits_refused);
        assert_eq!((after.members, after.since_poll), (0, None));
        assert_eq!((after.bytes_held, after.brokers_reachable), (0, None));
    });
}

#[test]
fn deferrals_and_what_hangs_at_the_end_are_counted() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish_keys(0, &[Some("a"), Some("b"), Some("c")])
            .await;
        let calls = Calls::default();
        let service = calls.service(async |record| match record.offset() {
            0 => Ok(Outcome::Defer {
                after: Duration::from_secs(3600),
            }),
            1 => pending().await,
            _ => Ok(Outcome::Ack),
        });
        let settings = bed.settings().ordering(Ordering::Key);
        let settings = settings.drain_timeout(Duration::from_millis(20));
        let running = Running::start(settings, service);
        calls.of(0, 1).await;
        running.runs(0).await;
        let seen = stats(&running, "one was put off", |stats| stats.deferred == 1).await;
        assert!(seen.bytes_held > 0);
        assert_eq!(seen.stale_completions, 0);
        let handle = running.handle.clone();
        running.stop().await;
        assert_eq!(handle.stats().stale_completions, 1);
    });
}

#[test]
fn refused_commits_and_lost_brokers_are_seen() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        bed.publish(0, 1).await;
        // It timed out, more often than the client tries by itself.
        kafka.fail_next(Request::OffsetCommit, 7, 7);
        let calls = Calls::default();
        let running = Running::start_with(bed.settings(), calls.acking(), |serve| {
            assert_eq!(serve.handle().stats().brokers_reachable, None);
            serve
        });
        let seen = stats(&running, "it is committed at last", |stats| {
            stats.commits > 0
        })
        .await;
        assert!(seen.commits_refused > 0);
        let reaches =
            |reaches| move |stats: &ConsumerStats| stats.brokers_reachable == Some(reaches);
        stats(&running, "the broker is there", reaches(true)).await;
        kafka.broker_down(1).expect("a broker");
        let seen = stats(&running, "it is gone", reaches(false)).await;
        assert!(seen.since_poll.is_some());
        kafka.broker_up(1).expect("a broker");
        stats(&running, "it is back", reaches(true)).await;
        let handle = running.handle.clone();
        let summary = running.stop().await;
        assert_eq!(handle.stats().commits_refused, summary.commits_refused);
    });
}

#[test]
fn members_are_added_up_and_so_are_rebalances() {
    run(async {
        let bed = Bed::for_several(2).await;
        bed.fill(3).await;
        let calls = Calls::default();
        let running = Running::start_with(bed.settings(), calls.acking(), |serve| serve.members(2));
        let seen = stats(&running, "both are there", |stats| {
            stats.members == 2 && stats.rebalances >= 2 && stats.acked >= 6
        });
        assert!(seen.await.since_poll.is_some());
        running.stop().await;
    });
}

#[test]
fn who_can_not_even_begin_has_failed() {
    run(async {
        let settings = ConsumerSettings::new("127.0.0.1:1", "shop");
        let consumer = Consumer::with_settings(settings).expect("fine settings");
        let service = service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(()));
        let serve = serve(consumer, service);
        let handle = serve.handle();
        assert!(!handle.stats().failed);
        let error = serve.await.expect_err("there is nothing to subscribe to");
        assert!(matches!(error, ServeError::NoTopics), "{error}");
        assert!(handle.stats().failed);
    });
}
