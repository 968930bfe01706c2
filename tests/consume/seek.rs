//! Going on at another offset.

use std::time::Duration;

use futures_util::{StreamExt, future::join_all, join, stream::FuturesUnordered};
use kafka_tower::{ConsumerRecord, OffsetReset, Outcome, ProducerRecord, Undone};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use tokio::{select, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{
    attempts::{commit_of_nobody, send},
    bed::{Bed, Calls, Running, SOON, is_at, is_done},
    support::run,
};

const AN_HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_seek_goes_back_and_the_committed_offset_goes_along() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(10).await;
        let (calls, gate) = (Calls::default(), CancellationToken::new());
        let seen = calls.clone();
        let again =
            move |record: &ConsumerRecord| is_at(record, 0, 5) && seen.attempts(0, 5).len() > 1;
        let service = calls.gated(&gate, again, |_| Ok(Outcome::Ack));
        let running = Running::start(bed.settings(), service);
        running.status(0, "it is done", is_done).await;
        let sought = running.handle.seek(&bed.topic, 0, 3).await;
        sought.expect("it is assigned");
        running
            .status(0, "it begins anew", |one| one.committed == Some(5))
            .await;
        bed.committed_soon(&[(0, 5), (1, 10)].into()).await;
        gate.cancel();
        running.status(0, "it is done", is_done).await;
        let summary = running.stop().await;
        assert_eq!(calls.offsets(0), Vec::from_iter((0..10).chain(3..10)));
        assert_eq!(calls.offsets(1), Vec::from_iter(0..10));
        assert!(calls.all().iter().all(|call| call.attempt == 1));
        assert_eq!(summary.acked, 27);
        assert_eq!(bed.committed().await, bed.all_at(10));
    });
}

#[test]
fn a_seek_lets_what_runs_finish_and_drops_what_waits() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let gate = CancellationToken::new();
        let held = |record: &ConsumerRecord| is_at(record, 0, 2);
        let service = calls.gated(&gate, held, |record| {
            Ok(match is_at(record, 1, 2) {
                true => Outcome::Retry {
                    after: Some(AN_HOUR),
                },
                false => Outcome::Ack,
            })
        });
        let running = Running::start(bed.settings(), service);
        calls.of(0, 2).await;
        running.runs(0).await;
        running.status(1, "one waits", |one| one.waiting == 1).await;
        let waits = running.handle.seek(&bed.topic, 0, 7);
        let does_not = async {
            let sought = running.handle.seek(&bed.topic, 1, 7).await;
            sought.expect("it is assigned");
            calls.of(1, 9).await;
            assert_eq!(calls.offsets(0), [0, 1, 2]);
            gate.cancel();
        };
        assert_eq!(join!(waits, does_not).0, Ok(()));
        calls.of(0, 9).await;
        let summary = running.stop().await;
        for partition in 0..2 {
            assert_eq!(calls.offsets(partition), [0, 1, 2, 7, 8, 9]);
        }
        assert_eq!((summary.acked, summary.undone.len()), (11, 0));
        assert_eq!(bed.committed().await, bed.all_at(10));
    });
}

#[test]
fn a_seek_cuts_off_what_never_ends() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(10).await;
        let (calls, never) = (Calls::default(), CancellationToken::new());
        let settings = bed.settings().drain_timeout(Duration::from_millis(100));
        let running = Running::start(settings, calls.held_at(5, &never));
        calls.of(0, 5).await;
        assert_eq!(running.handle.seek(&bed.topic, 0, 4).await, Ok(()));
        calls.reach(8).await;
        assert_eq!(calls.offsets(0), [0, 1, 2, 3, 4, 5, 4, 5]);
        let summary = running.stop().await;
        let undone = (bed.topic.clone(), 0, 5, Undone::Cancelled);
        assert_eq!(summary.undone, [undone]);
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}

#[test]
fn a_paused_partition_stays_paused_when_it_goes_elsewhere() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        calls.reach(20).await;
        let topic = &bed.topic;
        assert_eq!(running.handle.pause(topic, 0).await, Ok(()));
        assert_eq!(running.handle.seek(topic, 0, 5).await, Ok(()));
        running.status(0, "it is paused", |one| one.paused).await;
        bed.publish(1, 50).await;
        calls.all_below(1, 60).await;
        assert_eq!(calls.offsets(0), Vec::from_iter(0..10));
        assert_eq!(running.handle.resume(topic, 0).await, Ok(()));
        calls.reach(75).await;
        assert_eq!(calls.offsets(0), Vec::from_iter((0..10).chain(5..10)));
        running.stop().await;
        assert_eq!(bed.committed().await, [(0, 10), (1, 60)].into());
    });
}

#[test]
fn a_seek_follows_another_that_is_under_way() {
    run(async {
        let bed = Bed::new(2).await;
        bed.publish(0, 10).await;
        let (calls, gate) = (Calls::default(), CancellationToken::new());
        let running = Running::start(bed.settings(), calls.held_at(3, &gate));
        calls.of(0, 3).await;
        running.runs(0).await;
        let handle = &running.handle;
        let seeks = join_all([6, 8].map(|offset| handle.seek(&bed.topic, 0, offset)));
        let served = async {
            // Requests are served in turn.
            let resumed = handle.resume(&bed.topic, 1).await;
            resumed.expect("it is assigned");
            gate.cancel();
        };
        assert_eq!(join!(seeks, served).0, [Ok(()), Ok(())]);
        calls.of(0, 9).await;
        running.stop().await;
        assert_eq!(bed.committed().await, [(0, 10)].into());
        let offsets = calls.offsets(0);
        assert_eq!(offsets[offsets.len() - 2..], [8, 9], "the last counts");
        assert!(!offsets.contains(&4), "{offsets:?}");
    });
}

#[test]
fn a_seek_before_the_start_is_one_to_the_start() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(3).await;
        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        calls.reach(3).await;
        assert_eq!(running.handle.seek(&bed.topic, 0, -5).await, Ok(()));
        calls.reach(6).await;
        running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 2, 0, 1, 2]);
    });
}

#[test]
fn a_seek_may_come_before_the_first_record() {
    run(async {
        for _ in 0..3 {
            let bed = Bed::new(1).await;
            bed.fill(10).await;
            let calls = Calls::default();
            let running = Running::start(bed.settings(), calls.acking());
            running.status(0, "it is assigned", |_| true).await;
            let sought = running.handle.seek(&bed.topic, 0, 5).await;
            sought.expect("it is assigned");
            running.status(0, "it is done", is_done).await;
            running.stop().await;
            let offsets = calls.offsets(0);
            assert!(offsets.ends_with(&[5, 6, 7, 8, 9]), "{offsets:?}");
            assert_eq!(bed.committed().await, bed.all_at(10));
        }
    });
}

#[test]
fn only_a_seek_moves_a_group_that_runs() {
    run(async {
        let bed = Bed::new(1).await;
        if bed.mock().is_some() {
            println!("skipped: it takes a real cluster in KAFKA_BOOTSTRAP_SERVERS");
            return;
        }
        bed.fill(5).await;
        let calls = Calls::default();
        let running = Running::start(bed.settings(), calls.acking());
        running.status(0, "it is done", is_done).await;
        // What Kafka's own tools send to reset a group.
        let request = commit_of_nobody(&bed, 1, b"");
        for broker in bed.brokers().split(',') {
            let code = i16::from_be_bytes(send(broker, &request).await.expect("an answer"));
            // Not the coordinator, or not a member.
            assert!([16, 25].contains(&code), "{code}");
        }
        assert_eq!(bed.committed().await, bed.all_at(5));
        let sought = running.handle.seek(&bed.topic, 0, 1).await;
        sought.expect("it is assigned");
        calls.reach(9).await;
        running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 2, 3, 4, 1, 2, 3, 4]);
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}

#[test]
fn a_seek_may_go_anywhere() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let running = Running::start(bed.settings(), calls.acking());
        running.status(0, "it is done", is_done).await;
        // Wherever `auto.offset.reset` would go, which is the beginning here.
        let sought = running.handle.seek(&bed.topic, 0, i64::MAX).await;
        sought.expect("it is assigned");
        bed.fill(2).await;
        calls.reach(12).await;
        let sought = running.handle.seek(&bed.topic, 0, i64::MIN).await;
        sought.expect("it is assigned");
        calls.reach(24).await;
        running.stop().await;
        assert_eq!(calls.offsets(0), Vec::from_iter((0..12).chain(0..12)));
    });
}

#[test]
fn a_seek_to_what_is_gone_goes_to_the_first_record_that_is_there() {
    run(async {
        // It keeps 5 MB of a partition.
        let bed = Bed::embedded(1).await;
        for _ in 0..8 {
            let record = ProducerRecord::to(bed.topic.as_str()).payload(vec![0; 900_000]);
            bed.send(record).await;
        }
        let calls = Calls::default();
        let settings = bed.settings().offset_reset(OffsetReset::Latest);
        let running = Running::start(settings, calls.acking());
        running
            .status(0, "it is at the end", |one| one.end == Some(8))
            .await;
        let sought = running.handle.seek(&bed.topic, 0, 0).await;
        sought.expect("it is assigned");
        calls.of(0, 7).await;
        running.stop().await;
        let offsets = calls.offsets(0);
        assert_eq!(offsets, Vec::from_iter(offsets[0]..8));
        assert!(offsets[0] > 0, "nothing was gone");
    });
}

#[test]
fn seeks_whose_leader_is_away_hold_up_nobody_else() {
    run(async {
        let bed = Bed::embedded(5).await;
        bed.fill(3).await;
        let settings = bed.settings().session_timeout(Duration::from_secs(60));
        let running = Running::start(settings, Calls::default().acking());
        for partition in 0..5 {
            running.status(partition, "it is done", is_done).await;
        }
        let kafka = bed.mock().expect("an embedded cluster");
        kafka.broker_down(1).expect("it is up");
        let handle = &running.handle;
        let seek = async |partition| {
            let sought = handle.seek(&bed.topic, partition, 1).await;
            sought.expect("it is assigned");
        };
        let mut seeks = FuturesUnordered::from_iter((0..4).map(seek));
        for _ in 0..2 {
            seeks.next().await.expect("a seek");
        }
        let paused = async {
            let paused = handle.pause(&bed.topic, 4).await;
            paused.expect("it is assigned");
        };
        select! {
            biased;
            () = seeks.by_ref().collect() => panic!("all seeks were served before the pause"),
            () = paused => {}
        }
        kafka.broker_up(1).expect("it is down");
        seeks.collect::<()>().await;
        running.stop().await;
    });
}

#[test]
fn a_seek_may_go_into_a_transaction_that_is_open() {
    run(async {
        let bed = Bed::new(1).await;
        if bed.mock().is_some() {
            println!("skipped: it takes a real cluster in KAFKA_BOOTSTRAP_SERVERS");
            return;
        }
        bed.fill(5).await;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bed.brokers());
        config.set("transactional.id", &bed.group);
        let topic = bed.topic.clone();
        let begun = spawn_blocking(move || {
            let producer: BaseProducer = config.create().expect("a client");
            producer.init_transactions(SOON).expect("an id");
            producer.begin_transaction().expect("a transaction");
            for _ in 0..3 {
                let record = BaseRecord::<(), _>::to(&topic).partition(0).payload("open");
                producer.send(record).expect("there is room");
            }
            producer.flush(SOON).expect("they are written");
            producer
        });
        let producer = begun.await.expect("no panic");
        let calls = Calls::default();
        let running = Running::start(bed.settings(), calls.acking());
        calls.reach(5).await;
        running
            .status(0, "all of it is known", |one| one.end == Some(8))
            .await;
        let sought = running.handle.seek(&bed.topic, 0, 7).await;
        sought.expect("it is assigned");
        let ended = spawn_blocking(move || producer.commit_transaction(SOON));
        ended.await.expect("no panic").expect("a commit");
        calls.of(0, 7).await;
        running.stop().await;
        assert_eq!(calls.offsets(0), [0, 1, 2, 3, 4, 7]);
    });
}
