//! What a summary names as left undone.

use std::{
    future::{pending, ready},
    time::Duration,
};

use kafka_tower::{Ordering, Outcome, Undone};

use crate::{
    bed::{Bed, Calls, Running, is_done},
    support::run,
};

const AN_HOUR: Duration = Duration::from_secs(3600);

#[test]
fn no_more_than_ten_thousand_are_named() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(10_050).await;
        let service = Calls::default().service(|_| {
            ready(Ok(Outcome::Retry {
                after: Some(AN_HOUR),
            }))
        });
        let settings = bed.settings().ordering(Ordering::Unordered);
        let running = Running::start(settings.max_waiting(20_000), service);
        running
            .status(0, "all wait", |one| one.waiting == 10_050)
            .await;
        let summary = running.stop().await;
        let first = (0..10_000).map(|offset| (bed.topic.clone(), 0, offset, Undone::Waiting));
        assert!(summary.undone.into_iter().eq(first));
    });
}

#[test]
fn what_another_member_has_done_meanwhile_is_not_named() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(5).await;
        let settings = || {
            let settings = bed.plain_settings().set("fetch.wait.max.ms", "20");
            // KIP-848: the embedded broker takes commits while a group of it rebalances.
            settings.set("group.protocol", "consumer")
        };
        let calls = Calls::default();
        let service = calls.service(async |record| match record.offset() {
            3 => pending().await,
            _ => Ok(()),
        });
        let short = settings().drain_timeout(Duration::from_millis(50));
        let first = Running::start(short, service);
        calls.reach(8).await;
        let next = Calls::default();
        let second = Running::start(settings(), next.acking());
        next.reach(2).await;
        let moved = next.all()[0].partition;
        second.stop().await;
        first.status(moved, "it is back, and done", is_done).await;
        let summary = first.stop().await;
        let undone = (bed.topic.clone(), 1 - moved, 3, Undone::Cancelled);
        assert_eq!(summary.undone, [undone]);
    });
}
