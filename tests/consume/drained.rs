//! `drained`: it waits for everything that was published before, and for nothing else.

use std::{
    future::{IntoFuture, pending},
    time::Duration,
};

use futures_util::{FutureExt, future::join};
use kafka_tower::{
    BoxError, ConsumerEnded, ConsumerRecord, ConsumerSettings, OffsetReset, Ordering, Outcome,
    ProducerRecord, Router, StopReason, serve, testing::Request,
};
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, Producer},
    types::RDKafkaRespErr,
};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, Running, SOON, soon},
    capture::logs,
    support::run,
    topics::beside,
};

type Drained = JoinHandle<Result<(), ConsumerEnded>>;

fn drained(running: &Running) -> Drained {
    let handle = running.handle.clone();
    tokio::spawn(async move { handle.drained().await })
}

async fn soon_drained(drained: Drained) {
    let drained = soon("it is drained", drained).await;
    drained.expect("no panic").expect("it runs");
}

#[test]
fn it_waits_for_what_runs_and_for_what_waits_for_its_next_attempt() {
    run(async {
        let bed = Bed::new(3).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let handled = Calls::default();
        let gate = CancellationToken::new();
        let (note, opened) = (handled.clone(), gate.clone());
        let service = calls.service(move |record: ConsumerRecord| {
            let (note, opened) = (note.clone(), opened.clone());
            async move {
                match (record.partition(), record.offset()) {
                    (0, 9) => opened.cancelled().await,
                    (1, 9) if !opened.is_cancelled() => {
                        let after = Some(Duration::from_millis(20));
                        return Ok(Outcome::Retry { after });
                    }
                    _ => {}
                }
                note.note(&record);
                Ok(Outcome::Ack)
            }
        });
        let running = bed.serve(service);
        let drained = drained(&running);
        let nearly = [(0, 9), (1, 9), (2, 10)].into();
        bed.committed_soon(&nearly).await;
        assert!(!drained.is_finished());
        assert_eq!(handled.all().len(), 28);
        gate.cancel();
        soon_drained(drained).await;
        assert_eq!(handled.all().len(), 30);
        running.stop().await;
    });
}

#[test]
fn what_comes_later_is_not_waited_for() {
    run(async {
        let logs = logs();
        let bed = Bed::new(1).await;
        bed.publish(0, 1).await;
        let calls = Calls::default();
        let gate = CancellationToken::new();
        let opened = gate.clone();
        let service = calls.service(move |record: ConsumerRecord| {
            let opened = opened.clone();
            async move {
                match record.offset() {
                    0 => opened.cancelled().await,
                    _ => pending().await,
                }
                Ok(())
            }
        });
        let running = Running::start(bed.settings().ordering(Ordering::Unordered), service);
        let drained = drained(&running);
        logs.line(&["waiting until everything is handled", &bed.topic])
            .await;
        bed.publish(0, 1).await;
        calls.reach(2).await;
        assert!(!drained.is_finished());
        gate.cancel();
        soon_drained(drained).await;
        running.task.abort();
    });
}

#[test]
fn what_is_published_while_there_is_no_assignment_counts() {
    run(async {
        let bed = Bed::new(2).await;
        let calls = Calls::default();
        let serve = serve(bed.settings().build().expect("a consumer"), calls.acking());
        let handle = serve.handle();
        let drained = tokio::spawn(async move { handle.drained().await });
        bed.fill(3).await;
        let running = tokio::spawn(serve.into_future());
        soon_drained(drained).await;
        assert_eq!(calls.all().len(), 6);
        running.abort();
    });
}

#[test]
fn it_can_be_given_up_and_asked_for_again() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish(0, 1).await;
        let (calls, gate) = (Calls::default(), CancellationToken::new());
        let opened = gate.clone();
        let service =
            calls.service(move |_| opened.clone().cancelled_owned().map(Ok::<_, BoxError>));
        let running = bed.serve(service);
        running.runs(0).await;
        let handle = &running.handle;
        let given_up = timeout(Duration::from_millis(1), handle.drained()).await;
        given_up.expect_err("a record runs");
        let again = join(handle.drained(), handle.drained());
        gate.cancel();
        let (one, other) = soon("it is drained", again).await;
        one.and(other).expect("it runs");
        running.stop().await;
    });
}

#[test]
fn an_empty_topic_is_drained_once_it_is_assigned_and_read() {
    run(async {
        let bed = Bed::new(2).await;
        let calls = Calls::default();
        let settings = bed.settings().offset_reset(OffsetReset::Latest);
        let running = Running::start(settings, calls.acking());
        soon_drained(drained(&running)).await;
        // It began to read: what comes now is after the latest.
        bed.fill(1).await;
        soon_drained(drained(&running)).await;
        assert_eq!(calls.all().len(), 2);
        running.stop().await;
    });
}

#[test]
fn the_topics_of_a_prefix_are_waited_for_and_no_dead_letters() {
    run(async {
        let logs = logs();
        let bed = Bed::new(1).await;
        bed.publish(0, 1).await;
        let mut topics = vec![bed.topic.clone()];
        for suffix in [".first", ".second"] {
            topics.push(beside(&bed, suffix).await);
        }
        let letters = beside(&bed, ".first.dlq").await;
        for topic in topics[1..].iter().chain([&letters]) {
            let record = ProducerRecord::to(topic.as_str()).payload("");
            bed.send(record).await;
        }
        let gate = CancellationToken::new();
        let opened = gate.clone();
        let prefixed = async move || opened.cancelled().await;
        let router = Router::new()
            .topic(bed.topic.as_str(), async || {})
            .topic_prefix(format!("{}.", bed.topic), prefixed);
        let settings = match bed.mock() {
            Some(kafka) => kafka.settings(&bed.group),
            None => ConsumerSettings::new(bed.brokers(), &bed.group),
        };
        let running = Running::start(settings, router);
        let drained = drained(&running);
        let places = topics.iter().map(|topic| format!("(\"{topic}\", 0): 1"));
        let places = Vec::from_iter(places);
        let mut parts = vec!["waiting until everything is handled"];
        parts.extend(places.iter().map(String::as_str));
        logs.line(&parts).await;
        assert!(!drained.is_finished());
        gate.cancel();
        soon_drained(drained).await;
        assert_eq!(running.stop().await.acked, 3);
    });
}

#[test]
fn brokers_that_do_not_tell_where_partitions_end_are_asked_again() {
    const UNKNOWN_SERVER_ERROR: i32 = -1;
    run(async {
        let logs = logs();
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("it is embedded");
        bed.publish(0, 13).await;
        let (calls, gate) = (Calls::default(), CancellationToken::new());
        let opened = gate.clone();
        let service =
            calls.service(move |_| opened.clone().cancelled_owned().map(Ok::<_, BoxError>));
        let running = bed.serve(service);
        running.runs(0).await;
        kafka.fail_next(Request::ListOffsets, 3, UNKNOWN_SERVER_ERROR);
        let drained = drained(&running);
        logs.line(&["waiting until everything is handled", "0): 13"])
            .await;
        // What is the same each time is said once.
        let unknown = [
            "where partitions end isn't known yet",
            "Unknown broker error",
        ];
        assert_eq!(logs.count(&unknown), 1);
        assert!(!drained.is_finished());
        gate.cancel();
        soon_drained(drained).await;
        assert_eq!(calls.all().len(), 13);
        running.stop().await;
    });
}

#[test]
fn a_topic_that_does_not_exist_is_named() {
    run(async {
        let logs = logs();
        let mock = MockCluster::new(1).expect("a cluster");
        mock.create_topic("present", 1, 1).expect("a topic");
        let absent = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        mock.topic_error("absent", absent).expect("an error");
        let settings = ConsumerSettings::new(mock.bootstrap_servers(), "g");
        let running = Running::start(
            settings.topics(["present", "absent"]),
            Calls::default().acking(),
        );
        let drained = drained(&running);
        let unknown = "where partitions end isn't known yet";
        logs.line(&[unknown, "topic `absent`", "UnknownTopicOrPartition"])
            .await;
        assert!(!drained.is_finished());
        running.stop().await;
    });
}

#[test]
fn a_topic_that_does_not_exist_yet_is_not_drained() {
    run(async {
        let logs = logs();
        let bed = Bed::new(1).await;
        if bed.mock().is_some() {
            eprintln!("only on a real broker: the embedded one creates what it is asked for");
            return;
        }
        let settings = bed.settings().topics([format!("{}.later", bed.topic)]);
        let often = settings.set("topic.metadata.refresh.interval.ms", "200");
        let running = Running::start(often, Calls::default().acking());
        let drained = drained(&running);
        let later = format!("topic `{}.later`", bed.topic);
        logs.line(&["where partitions end isn't known yet", &later])
            .await;
        assert!(!drained.is_finished());
        beside(&bed, ".later").await;
        soon_drained(drained).await;
        running.stop().await;
    });
}

#[test]
fn an_empty_topic_is_not_drained_before_it_is_assigned() {
    const BROKEN: i32 = -195;
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("it is embedded");
        kafka.fail_next(Request::JoinGroup, 3, BROKEN);
        let running = bed.serve(Calls::default().acking());
        soon_drained(drained(&running)).await;
        assert_eq!(running.handle.partitions().len(), 1);
        running.stop().await;
    });
}

/// Handles what there is with so many members, and stops; the result is how many were handled.
async fn job(bed: &Bed, members: usize) -> u64 {
    bed.fill(50).await;
    let calls = Calls::default();
    let consumer = bed.settings().build().expect("a consumer");
    let serve = serve(consumer, calls.acking()).members(members);
    let handle = serve.handle();
    let job = serve.with_graceful_shutdown(async move { handle.drained().await.expect("it runs") });
    let summary = soon("it ends", job.into_future()).await.expect("no error");
    assert_eq!(summary.stop, Some(StopReason::Shutdown));
    assert_eq!(bed.committed().await, bed.all_at(50));
    summary.acked
}

#[test]
fn a_job_handles_what_there_is_and_stops() {
    run(async {
        let bed = Bed::new(2).await;
        assert_eq!(job(&bed, 1).await, 100);
    });
}

#[test]
fn a_job_of_several_members_waits_for_all() {
    run(async {
        // What a member commits while they are still sharing out may be refused, and comes again.
        assert!(job(&Bed::for_several(2).await, 2).await >= 100);
    });
}

#[test]
fn a_paused_partition_is_not_drained() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish(0, 1).await;
        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        soon_drained(drained(&running)).await;
        running.handle.pause(&bed.topic, 0).await.expect("assigned");
        bed.publish(0, 1).await;
        let drained = drained(&running);
        running
            .status(0, "more is there", |one| one.end == Some(2))
            .await;
        assert!(!drained.is_finished());
        running
            .handle
            .resume(&bed.topic, 0)
            .await
            .expect("assigned");
        soon_drained(drained).await;
        assert_eq!(calls.offsets(0), [0, 1]);
        running.stop().await;
    });
}

#[test]
fn what_other_members_have_counts_as_they_commit_it() {
    run(async {
        let logs = logs();
        let bed = Bed::for_several(4).await;
        bed.fill(5).await;
        let gate = CancellationToken::new();
        let (first, second) = (Calls::default(), Calls::default());
        // The second runs the last record of each partition while the gate is shut.
        let opened = gate.clone();
        let one = Running::start(
            bed.settings().client_id("one"),
            first.service(async |_| Ok(())),
        );
        soon_drained(drained(&one)).await;
        let two = Running::start(
            bed.settings().client_id("two"),
            second.service(move |record: ConsumerRecord| {
                let opened = opened.clone();
                async move {
                    if record.offset() == 9 {
                        opened.cancelled().await;
                    }
                    Ok(())
                }
            }),
        );
        let shared = async {
            let mut often = interval(Duration::from_millis(10));
            while one.handle.partitions().len() != 2 || two.handle.partitions().len() != 2 {
                often.tick().await;
            }
        };
        soon("both have partitions", shared).await;
        bed.fill(5).await;
        let drained = drained(&one);
        let mut expected = bed.all_at(10);
        for partition in two.handle.partitions() {
            expected.insert(partition.partition, 9);
        }
        bed.committed_soon(&expected).await;
        // One that asks only now, and says so when it has an answer.
        let later = self::drained(&one);
        let line = ["other members of the group have not committed", &bed.topic];
        logs.lines(2, &line).await;
        assert!(!drained.is_finished() && !later.is_finished());
        gate.cancel();
        soon_drained(drained).await;
        soon_drained(later).await;
        bed.committed_soon(&bed.all_at(10)).await;
        two.stop().await;
        one.stop().await;
    });
}

#[test]
fn the_end_of_a_partition_lies_behind_the_marks_of_transactions() {
    run(async {
        let bed = Bed::new(1).await;
        let (brokers, topic) = (bed.brokers().to_owned(), bed.topic.clone());
        let write = spawn_blocking(move || {
            let producer: BaseProducer = ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .set("transactional.id", &topic)
                .create()
                .expect("a producer");
            producer.init_transactions(SOON).expect("a producer's id");
            producer.begin_transaction().expect("a transaction");
            let record = BaseRecord::<(), str>::to(&topic).payload("1");
            producer.send(record).expect("room");
            producer.commit_transaction(SOON).expect("a commit");
        });
        write.await.expect("no panic");
        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        soon_drained(drained(&running)).await;
        assert_eq!(calls.offsets(0), [0]);
        running.stop().await;
    });
}

#[test]
fn who_waits_is_told_of_the_end() {
    run(async {
        let bed = Bed::new(1).await;
        bed.publish(0, 1).await;
        let calls = Calls::default();
        let running = bed.serve(calls.service(async |_| Err::<(), BoxError>("no".into())));
        let waiting = drained(&running);
        let handle = running.handle.clone();
        running.end().await.expect_err("an unhandled failure");
        let told = soon("it is told", waiting).await.expect("no panic");
        told.expect_err("an end");
        soon("later ones too", handle.drained())
            .await
            .expect_err("an end");

        // Never run.
        let consumer = bed.settings().build().expect("a consumer");
        let serve = serve(consumer, calls.acking());
        let handle = serve.handle();
        drop(serve);
        soon("it is told", handle.drained())
            .await
            .expect_err("an end");
    });
}
