//! Members that come and go: nothing is lost, and on a real cluster nothing is repeated.

#[path = "support/consume.rs"]
mod bed;
#[path = "support/capture.rs"]
mod capture;
mod support;

use std::{
    collections::BTreeSet,
    future::pending,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use bed::{Bed, Calls, Running, committed, soon};
use capture::logs;
use kafka_tower::{
    AssignmentStrategy, ConsumerRecord, ConsumerSettings, Lifecycle, Outcome, Undone,
    testing::Request,
};
use support::run;
use tokio::{
    task::JoinHandle,
    time::{interval, sleep},
};
use tokio_util::sync::CancellationToken;

/// How the group agrees on who gets what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Cooperative,
    Range,
    /// KIP-848.
    Consumer,
}

impl Protocol {
    fn settings(self, bed: &Bed) -> ConsumerSettings {
        let fast = |settings: ConsumerSettings| settings.set("fetch.wait.max.ms", "20");
        match self {
            Self::Cooperative => bed.classic_settings(),
            Self::Range => bed
                .classic_settings()
                .assignment_strategy(AssignmentStrategy::Range),
            Self::Consumer => fast(bed.plain_settings()).set("group.protocol", "consumer"),
        }
    }
}

/// What a member was given and gave up, in order.
#[derive(Debug, Clone, Default)]
struct Moves(Arc<Mutex<Vec<Move>>>);

#[derive(Debug)]
enum Move {
    Given(i32),
    GivenUp(i32),
    Lost(i32),
}

impl Moves {
    fn add(&self, partitions: &[(String, i32)], one: fn(i32) -> Move) {
        let mut moves = self.0.lock().expect("no panic");
        moves.extend(partitions.iter().map(|(_, partition)| one(*partition)));
    }

    fn lost(&self) -> Vec<i32> {
        let moves = self.0.lock().expect("no panic");
        let lost = moves.iter().filter_map(|one| match one {
            Move::Lost(partition) => Some(*partition),
            Move::Given(_) | Move::GivenUp(_) => None,
        });
        lost.collect()
    }

    /// How many partitions were given, each before it was given up or lost, and none twice.
    fn each_given_is_given_up(&self) -> usize {
        let moves = self.0.lock().expect("no panic");
        let (mut held, mut given) = (BTreeSet::new(), 0);
        for one in &*moves {
            match one {
                Move::Given(partition) => {
                    given += 1;
                    assert!(held.insert(*partition), "{moves:?}");
                }
                Move::GivenUp(partition) | Move::Lost(partition) => {
                    assert!(held.remove(partition), "{moves:?}")
                }
            }
        }
        assert_eq!(held, BTreeSet::new());
        given
    }
}

impl Lifecycle for Moves {
    fn assigned(&mut self, partitions: &[(String, i32)]) {
        self.add(partitions, Move::Given);
    }

    fn revoked(&mut self, partitions: &[(String, i32)]) {
        self.add(partitions, Move::GivenUp);
    }

    fn lost(&mut self, partitions: &[(String, i32)]) {
        self.add(partitions, Move::Lost);
    }
}

/// Publishes to all four partitions without a pause until it is told to stop; then says how many
/// records each has.
fn load(bed: Arc<Bed>, stop: CancellationToken) -> JoinHandle<i64> {
    tokio::spawn(async move {
        let mut each = 0;
        let mut pace = interval(Duration::from_millis(20));
        while !stop.is_cancelled() {
            pace.tick().await;
            bed.fill(5).await;
            each += 5;
        }
        each
    })
}

/// A second member joins and leaves while records keep coming.
fn joins_and_leaves(protocol: Protocol) {
    run(async {
        let bed = Arc::new(Bed::new(4).await);
        let stop = CancellationToken::new();
        let load = load(Arc::clone(&bed), stop.clone());
        let all = Calls::default();
        let member = || {
            let (own, all) = (Calls::default(), all.clone());
            let service = own.service(move |record| {
                all.note(&record);
                async {
                    sleep(Duration::from_millis(1)).await;
                    Ok(())
                }
            });
            let moves = Moves::default();
            let running = Running::start_with(protocol.settings(&bed), service, |serve| {
                serve.with_lifecycle(moves.clone())
            });
            (own, moves, running)
        };

        let (first, moved, running) = member();
        first.reach(100).await;
        let (second, came, joined) = member();
        second.reach(100).await;
        let left = joined.stop().await;
        // The partitions that the second gave up are consumed again.
        let ends = bed.committed().await;
        for (partition, end) in ends {
            first.of(partition, end + 20).await;
        }
        stop.cancel();
        let each = soon("publishing ends", load).await.expect("no panic");
        for partition in 0..4 {
            all.all_below(partition, each).await;
        }
        let stayed = running.stop().await;
        assert!(moved.each_given_is_given_up() > 4, "{moved:?}");
        assert!(came.each_given_is_given_up() > 0, "{came:?}");

        let mut repeated = 0;
        for partition in 0..4 {
            let offsets = all.offsets(partition);
            repeated += offsets.len() - usize::try_from(each).expect("a count");
            assert_eq!(first_seen(&offsets), Vec::from_iter(0..each), "{partition}");
        }
        // The mock cluster refuses every commit while a classic group rebalances; what was refused is
        // handled again by the next owner, which may be stopped before it got so far.
        if bed.mock().is_none() || protocol == Protocol::Consumer {
            assert_eq!(bed.committed().await, bed.all_at(each));
            assert_eq!(stayed.undone, []);
            assert_eq!(left.undone, []);
        }
        if bed.mock().is_none() {
            assert_eq!(repeated, 0, "{protocol:?}: handled again");
            // The mock cluster may take a partition away from a member that is late: what was
            // running there counts for nobody.
            let acked = (stayed.acked + left.acked) as usize;
            assert_eq!(acked, all.all().len(), "all were drained");
        }
    });
}

/// The offsets in the order in which each was seen first.
fn first_seen(offsets: &[i64]) -> Vec<i64> {
    let mut seen = Vec::new();
    for &offset in offsets {
        if seen.last().is_none_or(|last| *last < offset) {
            seen.push(offset);
        }
    }
    seen
}

#[test]
fn a_member_joins_and_leaves_cooperatively() {
    joins_and_leaves(Protocol::Cooperative);
}

#[test]
fn a_member_joins_and_leaves_eagerly() {
    joins_and_leaves(Protocol::Range);
}

#[test]
fn a_member_joins_and_leaves_with_the_consumer_protocol() {
    joins_and_leaves(Protocol::Consumer);
}

#[test]
fn a_revoked_partition_is_drained_and_committed_before_it_is_given_up() {
    for protocol in [Protocol::Consumer, Protocol::Cooperative, Protocol::Range] {
        run(async {
            let bed = Bed::new(2).await;
            if bed.mock().is_some() && protocol != Protocol::Consumer {
                // It refuses every commit while a classic group rebalances.
                return;
            }
            bed.fill(10).await;
            let logs = logs();
            let gate = CancellationToken::new();
            let calls = Calls::default();
            let held = |record: &ConsumerRecord| record.offset() == 3;
            let service = calls.gated(&gate, held, |_| Ok(Outcome::Ack));
            let first = Running::start(protocol.settings(&bed), service);
            calls.reach(8).await;

            let next = Calls::default();
            let second = Running::start(protocol.settings(&bed), next.acking());
            // Nothing more is dispatched from here on.
            logs.line(&["revoked", &bed.topic]).await;
            assert_eq!(next.all(), []);
            gate.cancel();
            next.reach(1).await;
            bed.committed_soon(&bed.all_at(10)).await;
            first.stop().await;
            second.stop().await;

            let moved = next.all()[0].partition;
            // The second begins behind the record that was running.
            assert_eq!(calls.offsets(moved), [0, 1, 2, 3], "{protocol:?}");
            assert_eq!(next.offsets(moved), [4, 5, 6, 7, 8, 9], "{protocol:?}");
            assert_eq!(calls.all().len() + next.all().len(), 20, "{protocol:?}");
        });
    }
}

#[test]
fn what_does_not_end_is_cut_off_when_its_partition_is_revoked() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(5).await;
        let calls = Calls::default();
        let service = calls.service(async |record| match record.offset() {
            3 => pending().await,
            _ => Ok(()),
        });
        let settings = Protocol::Consumer.settings(&bed);
        let settings = settings.drain_timeout(Duration::from_millis(200));
        let first = Running::start(settings.clone(), service);
        calls.reach(8).await;

        let (next, its) = (Calls::default(), Arc::new(OnceLock::new()));
        // It may be given the other one too, when the first leaves, and does nothing there.
        let service = next.service(move |record| {
            let is_its = *its.get_or_init(|| record.partition()) == record.partition();
            async move {
                match is_its {
                    true => Ok(()),
                    false => pending().await,
                }
            }
        });
        let second = Running::start(settings, service);
        next.reach(2).await;
        let moved = next.all()[0].partition;
        let (first, second) = (first.stop().await, second.stop().await);

        assert_eq!(next.offsets(moved), [3, 4]);
        let undone = (0..2).map(|one| (bed.topic.clone(), one, 3, Undone::Cancelled));
        assert_eq!(first.undone, Vec::from_iter(undone));
        assert_eq!(committed(&first), bed.all_at(3));
        assert_eq!(committed(&second)[&moved], 5);
        assert_eq!(bed.committed().await, [(1 - moved, 3), (moved, 5)].into());
    });
}

#[test]
fn a_lost_partition_is_left_at_once_and_taken_up_again() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        bed.fill(6).await;
        let logs = logs();
        let dropped = CancellationToken::new();
        let guard = dropped.clone();
        let calls = Calls::default();
        let seen = calls.clone();
        let settings = bed
            .classic_settings()
            .commit_interval(Duration::from_millis(1));
        let moves = Moves::default();
        let running = Running::start_with(
            settings,
            calls.service(move |record| {
                let is_first = seen.offsets(0) == [0, 1, 2, 3];
                let guard = (record.offset() == 3 && is_first).then(|| guard.clone().drop_guard());
                async move {
                    match &guard {
                        Some(_) => pending().await,
                        None => Ok(()),
                    }
                }
            }),
            |serve| serve.with_lifecycle(moves.clone()),
        );
        bed.committed_soon(&bed.all_at(3)).await;
        // The member is unknown to its group.
        kafka.fail_next(Request::Heartbeat, 1, 25);
        soon("the running call is dropped", dropped.cancelled()).await;
        logs.line(&["lost: the group goes on", &bed.topic]).await;
        assert_eq!(logs.count(&["revoked", &bed.topic]), 0);
        calls.of(0, 5).await;
        let summary = running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 2, 3, 3, 4, 5]);
        assert_eq!(moves.each_given_is_given_up(), 2);
        assert_eq!(moves.lost(), [0]);
        // It was made good.
        assert_eq!(summary.undone, []);
        assert_eq!(bed.committed().await, bed.all_at(6));
    });
}

#[test]
fn a_handler_may_be_slower_than_the_poll_interval() {
    run(async {
        let bed = Bed::embedded(1).await;
        bed.fill(3).await;
        let calls = Calls::default();
        let interval = Duration::from_secs(6);
        let settings = bed.settings().session_timeout(interval);
        let running = Running::start(
            settings.max_poll_interval(interval),
            calls.service(async |record| {
                if record.offset() == 1 {
                    sleep(Duration::from_secs(8)).await;
                }
                Ok(())
            }),
        );
        calls.reach(3).await;
        let summary = running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 2]);
        assert_eq!(summary.acked, 3);
        assert_eq!(bed.committed().await, bed.all_at(3));
    });
}
