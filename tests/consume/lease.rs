//! Leases: whose a partition is.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kafka_tower::{App, BoxError, ConsumerRecord, ConsumerSettings, Lease, testing::Request};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use crate::{
    bed::{Bed, Calls, Running, soon},
    support::run,
};

/// The leases of the records that came, by partition.
#[derive(Clone, Default)]
struct Leases(Arc<watch::Sender<HashMap<i32, Vec<Lease>>>>);

impl Leases {
    fn app(&self) -> impl App + use<> {
        let leases = self.clone();
        service_fn(move |record: ConsumerRecord| {
            let lease = record.lease().clone();
            assert!(lease.is_held());
            leases
                .0
                .send_modify(|all| all.entry(record.partition()).or_default().push(lease));
            async { Ok::<_, BoxError>(()) }
        })
    }

    /// That of a partition's record of this number, from 0.
    async fn of(&self, partition: i32, number: usize) -> Lease {
        let mut leases = self.0.subscribe();
        soon(&format!("{partition} has a record {number}"), async {
            let there = |all: &HashMap<_, Vec<_>>| {
                all.get(&partition).is_some_and(|all| all.len() > number)
            };
            let all = leases.wait_for(there).await.expect("the sender is here");
            all[&partition][number].clone()
        })
        .await
    }
}

/// The classic protocol and KIP-848.
fn protocols(bed: &Bed) -> [ConsumerSettings; 2] {
    let classic = bed.classic_settings();
    let new = bed.plain_settings().set("group.protocol", "consumer");
    [classic, new.set("fetch.wait.max.ms", "20")]
}

#[test]
fn a_lease_is_held_until_the_end() {
    run(async {
        let bed = Bed::new(1).await;
        for settings in protocols(&bed) {
            bed.publish(0, 1).await;
            let leases = Leases::default();
            let running = Running::start(settings, leases.app());
            let lease = leases.of(0, 0).await;
            assert!(lease.is_held());
            assert!(lease.fencing_number() > 0, "{lease:?}");
            let waits = lease.clone();
            let lost = tokio::spawn(async move { waits.lost().await });
            running
                .status(0, "it is done", |one| one.lag == Some(0))
                .await;
            assert!(!lost.is_finished());
            running.stop().await;
            assert!(!lease.is_held());
            soon("it is told", lost).await.expect("no panic");
        }
    });
}

#[test]
fn a_lease_is_lost_with_its_partition_and_the_next_owner_has_a_higher_number() {
    for which in 0..2 {
        run(async {
            let bed = Bed::new(2).await;
            bed.fill(1).await;
            let settings = protocols(&bed)[which].clone();
            let leases = Leases::default();
            let first = Running::start(settings.clone(), leases.app());
            let before = [leases.of(0, 0).await, leases.of(1, 0).await];
            assert!(before.iter().all(Lease::is_held));

            let next = Leases::default();
            let second = Running::start(settings, next.app());
            let lost = async {
                tokio::select! {
                    () = before[0].lost() => 0,
                    () = before[1].lost() => 1,
                }
            };
            let moved = soon("one is lost", lost).await;
            let kept = 1 - moved;
            assert!(before[kept].is_held(), "cooperative: it stays");

            let partition = i32::try_from(moved).expect("a partition");
            second.status(partition, "it has moved", |_| true).await;
            bed.publish(partition, 1).await;
            let after = next.of(partition, 0).await;
            assert!(after.is_held());
            let numbers = (before[moved].fencing_number(), after.fencing_number());
            assert!(numbers.0 < numbers.1, "{numbers:?}");

            first.stop().await;
            assert!(!before[kept].is_held());
            second.stop().await;
            assert!(!after.is_held());
        });
    }
}

#[test]
fn what_a_handler_handed_on_learns_of_the_loss() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let (calls, told) = (Calls::default(), CancellationToken::new());
        let tell = told.clone();
        let running = bed.serve(calls.service(move |record| {
            let tell = tell.clone();
            async move {
                tokio::spawn(async move {
                    record.lease().lost().await;
                    tell.cancel();
                });
                Ok(())
            }
        }));
        calls.reach(1).await;
        assert!(!told.is_cancelled());
        running.stop().await;
        soon("it is told", told.cancelled()).await;
    });
}

#[test]
fn a_seek_ends_a_lease_and_begins_another() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let leases = Leases::default();
        let running = bed.serve(leases.app());
        let before = leases.of(0, 0).await;
        let sought = running.handle.seek(&bed.topic, 0, 0).await;
        sought.expect("it is assigned");
        let after = leases.of(0, 1).await;
        assert!(!before.is_held() && after.is_held());
        assert!(before.fencing_number() <= after.fencing_number());
        running.stop().await;
    });
}

#[test]
fn a_number_that_the_group_refuses_is_not_used_at_once() {
    run(async {
        let bed = Bed::embedded(1).await;
        bed.fill(1).await;
        // Rebalance in progress: for all that the member knows another one has the partition.
        let kafka = bed.mock().expect("an embedded cluster");
        kafka.fail_next(Request::OffsetCommit, 1, 27);
        let leases = Leases::default();
        let settings = bed.settings().commit_interval(Duration::from_millis(50));
        let running = Running::start(settings, leases.app());
        leases.of(0, 0).await;
        let stats = running.handle.stats();
        assert_eq!(stats.commits_refused, 1);
        assert!(
            stats.commits > 0,
            "dispatched before its number was written"
        );
        running.stop().await;
    });
}

#[test]
fn who_was_not_told_of_its_predecessors_has_no_number_of_theirs() {
    run(async {
        let bed = Bed::embedded(1).await;
        bed.fill(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        // Refused to the consumer; librdkafka asks once more.
        kafka.fail_next(Request::OffsetFetch, 1, 30);
        let leases = Leases::default();
        let running = Running::start(bed.settings(), leases.app());
        let number = leases.of(0, 0).await.fencing_number();
        assert_eq!(number % 1_000_000, 500_000, "{number}");
        running.stop().await;
    });
}
