//! Static members: a restart within the session is no rebalance.

use std::{
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use kafka_tower::{
    App, BoxError, ConsumerRecord, ConsumerSettings, Lease, Lifecycle, ServeError, Undone,
    testing::Request,
};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::yield_now,
};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

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
        // The fencing number of the last record.
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
        assert!(after > before, "{after} after {before}");
        // Of which a generation has a million.
        let [before, after] = [before, after].map(|number| number / 1_000_000);
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

/// What became of a member's partitions.
#[derive(Clone, Default)]
struct Lost(Arc<Mutex<Vec<(String, i32)>>>);

impl Lifecycle for Lost {
    fn revoked(&mut self, partitions: &[(String, i32)]) {
        panic!("{partitions:?} were taken away");
    }

    fn lost(&mut self, partitions: &[(String, i32)]) {
        self.0
            .lock()
            .expect("no panic")
            .extend_from_slice(partitions);
    }
}

/// A handler that hands its lease on and never ends.
fn endless(leases: &UnboundedSender<Lease>, dropped: &CancellationToken) -> impl App + use<> {
    let (leases, dropped) = (leases.clone(), dropped.clone());
    service_fn(move |record: ConsumerRecord| {
        let sent = leases.send(record.lease().clone());
        sent.expect("somebody waits for it");
        let guard = dropped.clone().drop_guard();
        async move {
            let _guard = guard;
            pending::<Result<(), BoxError>>().await
        }
    })
}

async fn is_fenced(running: Running, lease: &Lease, dropped: &CancellationToken, lost: &Lost) {
    soon("its lease ends", lease.lost()).await;
    soon("its call is dropped", dropped.cancelled()).await;
    let error = running.end().await.expect_err("it is fenced");
    let ServeError::Client { code, summary, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(code, Some(82), "fenced instance id");
    let undone = Vec::from_iter(
        summary
            .undone
            .iter()
            .map(|(.., offset, why)| (*offset, *why)),
    );
    assert_eq!(undone, [(0, Undone::Lost)]);
    let lost = lost.0.lock().expect("no panic");
    assert_eq!(lost.len(), 1, "{lost:?}");
}

#[test]
fn who_is_fenced_has_lost_its_partitions() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        bed.fill(1).await;
        let (leases, mut leased) = unbounded_channel();
        let (dropped, lost) = (CancellationToken::new(), Lost::default());
        let settings = bed.settings().group_instance_id("one");
        let service = endless(&leases, &dropped);
        let running = Running::start_with(settings, service, |serve| {
            serve.with_lifecycle(lost.clone())
        });
        let lease = leased.recv().await.expect("a record");
        kafka.fail_next(Request::Heartbeat, 1, 82);
        is_fenced(running, &lease, &dropped, &lost).await;
    });
}

#[test]
fn who_takes_the_place_of_its_former_self_has_a_higher_number() {
    run(async {
        let bed = Bed::for_several(1).await;
        if bed.mock().is_some() {
            println!("skipped: it takes a real cluster in KAFKA_BOOTSTRAP_SERVERS");
            return;
        }
        bed.fill(1).await;
        let (leases, mut leased) = unbounded_channel();
        let settings = || bed.settings().group_instance_id("one");
        let mut before: Option<(Running, Lease, CancellationToken, Lost)> = None;
        for _ in 0..3 {
            let (dropped, lost) = (CancellationToken::new(), Lost::default());
            let service = endless(&leases, &dropped);
            let running = Running::start_with(settings(), service, |serve| {
                serve.with_lifecycle(lost.clone())
            });
            let lease = soon("a record", leased.recv()).await.expect("a record");
            if let Some((running, former, dropped, lost)) = before {
                is_fenced(running, &former, &dropped, &lost).await;
                let numbers = (former.fencing_number(), lease.fencing_number());
                assert!(numbers.0 < numbers.1, "{numbers:?}");
                assert!(lease.is_held());
            }
            before = Some((running, lease, dropped, lost));
        }
        drop(before);
    });
}
