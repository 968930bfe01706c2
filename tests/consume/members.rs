//! Several members of a group in one consumer.

use std::{collections::BTreeMap, time::Duration};

use kafka_tower::{ConsumerRecord, ConsumerSettings, Outcome, ServeError, StopReason};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio::{
    task::{spawn_blocking, yield_now},
    time::interval,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, Level, Running, SOON, committed, is_at, is_done, soon},
    support::run,
};

/// What is cut off while the members share the partitions out comes again soon.
fn settings(bed: &Bed) -> ConsumerSettings {
    bed.settings().drain_timeout(Duration::from_millis(100))
}

#[test]
fn each_member_takes_part_in_the_work() {
    run(async {
        let bed = Bed::for_several(6).await;
        bed.fill(20).await;
        let calls = Calls::default();
        let (level, gate) = (Level::default(), CancellationToken::new());
        let (inside, opened) = (level.clone(), gate.clone());
        let service = calls.service(move |_| {
            let (inside, opened) = (inside.clone(), opened.clone());
            async move {
                let _entered = inside.enter();
                opened.cancelled().await;
                yield_now().await;
                Ok(())
            }
        });
        let settings = settings(&bed).max_in_flight(1);
        let running = Running::start_with(settings, service, |serve| serve.members(3));
        // One of each member.
        level.reach(3).await;
        gate.cancel();
        for partition in 0..6 {
            running.status(partition, "it is done", is_done).await;
        }
        let summary = running.stop().await;
        assert_eq!(level.most(), 3);
        for partition in 0..6 {
            calls.all_below(partition, 20).await;
        }
        assert_eq!(summary.undone, []);
        assert_eq!(summary.stop, Some(StopReason::Shutdown));
        assert_eq!(committed(&summary), bed.all_at(20));
        assert_eq!(bed.committed().await, bed.all_at(20));
    });
}

#[test]
fn a_member_that_fails_ends_them_all() {
    run(async {
        let bed = Bed::for_several(6).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let gate = CancellationToken::new();
        let fails = |record: &ConsumerRecord| is_at(record, 3, 7);
        let service = calls.gated(&gate, fails, move |record| match fails(record) {
            true => Err("out of stock".into()),
            false => Ok(Outcome::Ack),
        });
        let running = Running::start_with(settings(&bed), service, |serve| serve.members(3));
        for partition in [0, 1, 2, 4, 5] {
            running.status(partition, "it is done", is_done).await;
        }
        running
            .status(3, "it is at the record", |one| one.committed == Some(7))
            .await;
        gate.cancel();
        let error = running.end().await.expect_err("a failure");
        let ServeError::Unhandled {
            partition: 3,
            offset: 7,
            source,
            summary,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(source.to_string(), "out of stock");
        let expected: BTreeMap<i32, i64> = (0..6)
            .map(|one| (one, if one == 3 { 7 } else { 10 }))
            .collect();
        assert_eq!(committed(&summary), expected);
        assert_eq!(bed.committed().await, expected);
        assert_eq!(summary.stop, None);
    });
}

#[test]
fn static_members_get_a_number_each() {
    run(async {
        let bed = Bed::for_several(6).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let settings = settings(&bed).group_instance_id("worker");
        let running = Running::start_with(settings, calls.acking(), |serve| serve.members(3));
        for partition in 0..6 {
            running.status(partition, "it is done", is_done).await;
        }
        if bed.mock().is_none() {
            // One that comes late finds nothing left to do.
            let ids = members(&bed, 3).await;
            for number in 0..3 {
                let prefix = format!("worker-{number}-");
                let of_number = ids.iter().filter(|id| id.starts_with(&prefix));
                assert_eq!(of_number.count(), 1, "{ids:?}");
            }
        } else {
            eprintln!("the embedded broker doesn't tell who is in a group");
        }
        let summary = running.stop().await;
        assert_eq!(committed(&summary), bed.all_at(10));
    });
}

/// The ids of the group's members; those of static members begin with their names.
async fn member_ids(bed: &Bed) -> Vec<String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bed.brokers());
    let group = bed.group.clone();
    let read = spawn_blocking(move || {
        let client: BaseConsumer = config.create().expect("a client");
        let list = client.fetch_group_list(Some(&group), SOON);
        let list = list.expect("the group");
        let members = list.groups().iter().flat_map(|group| group.members());
        members.map(|member| member.id().to_owned()).collect()
    });
    read.await.expect("the members")
}

/// The same, once there are so many of them.
async fn members(bed: &Bed, count: usize) -> Vec<String> {
    let mut often = interval(Duration::from_millis(20));
    soon(&format!("{count} are in the group"), async {
        loop {
            let ids = member_ids(bed).await;
            if ids.len() == count {
                return ids;
            }
            often.tick().await;
        }
    })
    .await
}

#[test]
fn a_member_without_partitions_leaves_as_well() {
    run(async {
        let bed = Bed::for_several(1).await;
        if bed.mock().is_some() {
            eprintln!("the embedded broker doesn't tell who is in a group");
            return;
        }
        let calls = Calls::default();
        // That a session ends is too late.
        let settings = bed.plain_settings().session_timeout(2 * SOON);
        let owner = Running::start(settings.clone(), calls.acking());
        owner.status(0, "it is owned", |_| true).await;
        let idle = Running::start(settings, calls.acking());
        let joined = soon("it has its part, which is none", idle.handle.drained()).await;
        joined.expect("it runs");
        assert_eq!(idle.handle.partitions(), []);
        assert_eq!(member_ids(&bed).await.len(), 2);
        idle.stop().await;
        members(&bed, 1).await;
        owner.stop().await;
    });
}
