//! Static members: a restart within the session is no rebalance.

use kafka_tower::ConsumerSettings;

use crate::{
    bed::{Bed, Calls, Running, is_done},
    capture::logs,
    support::run,
};

/// Two static members, one of which is restarted while records come.
fn restarts(settings: fn(&Bed) -> ConsumerSettings) {
    run(async {
        let bed = Bed::new(2).await;
        if bed.mock().is_some() {
            println!("skipped: it takes a real cluster in KAFKA_BOOTSTRAP_SERVERS");
            return;
        }
        let logs = logs();
        let member = |name: &str, calls: &Calls| {
            Running::start(settings(&bed).group_instance_id(name), calls.acking())
        };
        let (stays, leaves, comes) = (Calls::default(), Calls::default(), Calls::default());
        let first = member("first", &stays);
        let second = member("second", &leaves);
        bed.fill(5).await;
        // Each has one.
        let own = async |running: &Running| loop {
            if let [one] = &running.handle.partitions()[..] {
                break one.partition;
            }
            tokio::task::yield_now().await;
        };
        let kept = crate::bed::soon("the first has one", own(&first)).await;
        let moved = crate::bed::soon("the second has one", own(&second)).await;
        assert_ne!(kept, moved);
        first.status(kept, "it is done", is_done).await;
        second.status(moved, "it is done", is_done).await;
        let rebalances = || {
            let revoked = logs.count(&["revoked", &bed.topic]);
            (revoked, logs.count(&[" assigned", &bed.topic]))
        };
        let (revoked, assigned) = rebalances();

        second.stop().await;
        bed.fill(5).await;
        stays.of(kept, 9).await;
        let third = member("second", &comes);
        third.status(moved, "it is done", is_done).await;
        assert_eq!(comes.offsets(moved), [5, 6, 7, 8, 9]);
        assert_eq!(comes.offsets(kept), [0_i64; 0]);
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
    restarts(Bed::settings);
}

#[test]
fn a_static_member_that_restarts_gets_what_it_had_with_the_consumer_protocol() {
    restarts(|bed| bed.plain_settings().set("group.protocol", "consumer"));
}
