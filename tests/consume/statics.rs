//! Static members: a restart within the session is no rebalance.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use kafka_tower::ConsumerSettings;
use tokio::task::yield_now;

use crate::{
    bed::{Bed, Calls, Running, is_done, soon},
    capture::logs,
    support::run,
};

/// Two static members, one of which is restarted while records come. That takes the group no
/// generation on, but a member may be `late` by some when it is assigned.
fn restarts(settings: fn(&Bed) -> ConsumerSettings, late: i64) {
    run(async {
        let bed = Bed::new(2).await;
        if bed.mock().is_some() {
            println!("skipped: it takes a real cluster in KAFKA_BOOTSTRAP_SERVERS");
            return;
        }
        let logs = logs();
        // Of the last record's assignment.
        let generation = Arc::new(AtomicI64::new(-1));
        let member = |name: &str, calls: &Calls| {
            let (is_second, generation) = (name == "second", Arc::clone(&generation));
            let service = calls.service(move |record| {
                if is_second {
                    generation.store(record.lease().fencing_number(), SeqCst);
                }
                ready(Ok(()))
            });
            Running::start(settings(&bed).group_instance_id(name), service)
        };
        let (stays, leaves, comes) = (Calls::default(), Calls::default(), Calls::default());
        // Else the second may keep its partition from before the first has joined, with the generation of
        // that time.
        let first = member("first", &stays);
        let has_both = async {
            while first.handle.partitions().len() < 2 {
                yield_now().await;
            }
        };
        soon("the first has both", has_both).await;
        let second = member("second", &leaves);
        // One alone is also seen while the other is being opened.
        let each_has_one = async {
            loop {
                let both = [&first, &second].map(|one| one.handle.partitions());
                if let [[kept], [moved]] = both.each_ref().map(|partitions| &partitions[..]) {
                    break (kept.partition, moved.partition);
                }
                yield_now().await;
            }
        };
        let (kept, moved) = soon("each has one", each_has_one).await;
        assert_ne!(kept, moved);
        bed.fill(5).await;
        leaves.of(moved, 4).await;
        first.status(kept, "it is done", is_done).await;
        second.status(moved, "it is done", is_done).await;
        let rebalances = || {
            let revoked = logs.count(&["revoked", &bed.topic]);
            (revoked, logs.count(&[" assigned", &bed.topic]))
        };
        let (revoked, assigned) = rebalances();
        let before = generation.load(SeqCst);

        second.stop().await;
        bed.fill(5).await;
        stays.of(kept, 9).await;
        let third = member("second", &comes);
        third.status(moved, "it is done", is_done).await;
        assert_eq!(comes.offsets(moved), [5, 6, 7, 8, 9]);
        assert_eq!(comes.offsets(kept), [0_i64; 0]);
        let after = generation.load(SeqCst);
        assert!(
            (before..=before + late).contains(&after),
            "{after} after {before}"
        );
        // One member was assigned what it had before, and no other noticed.
        assert_eq!(rebalances(), (revoked, assigned + 1));
        bed.fill(5).await;
        stays.of(kept, 14).await;
        comes.of(moved, 14).await;
        first.stop().await;
        third.stop().await;
        assert_eq!(bed.committed().await, bed.all_at(15));
    });
}

#[test]
fn a_static_member_that_restarts_gets_what_it_had() {
    restarts(Bed::settings, 0);
}

#[test]
fn a_static_member_that_restarts_gets_what_it_had_with_the_consumer_protocol() {
    // It may learn of its partition before it learns of the last epoch; one that leaves and one that
    // joins make two.
    restarts(
        |bed| bed.plain_settings().set("group.protocol", "consumer"),
        1,
    );
}
