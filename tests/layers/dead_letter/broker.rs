//! Dead letters on a broker: what is committed, and when.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use kafka_tower::{
    Backoff, BoxError, Classified, ConsumerRecord, ErrorClass, Persistence, ProducerRecord,
    ProducerSettings, PublishError, PublishExt, Publisher, ServeError,
    layers::{CatchPanicLayer, DeadLetter, RetryLayer, dead_letter::header},
};
use tokio::{sync::watch, task::spawn_blocking};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    bed::{Bed, Calls, soon},
    support::{log, run},
    topics::beside,
};

fn quick() -> Backoff {
    Backoff::constant(Duration::from_millis(2))
}

#[test]
fn poison_is_moved_at_once_and_what_goes_on_failing_after_its_attempts() {
    run(async {
        let bed = Bed::new(1).await;
        let dlq = beside(&bed, ".dlq").await;
        let record = |payload: &[u8]| {
            let record = ProducerRecord::to(bed.topic.as_str()).payload(payload);
            record.partition(0).key(b"\xfe\x00").header("h", b"\xff")
        };
        for payload in [&b"good"[..], b"\xff poison", b"failing", b"panics", b"good"] {
            bed.send(record(payload)).await;
        }
        let calls = Calls::default();
        let handler = calls.service(async |record| {
            match std::str::from_utf8(record.payload().unwrap_or_default())? {
                "failing" => Err("the database is locked".into()),
                "panics" => panic!("oh no"),
                _ => Ok(()),
            }
        });
        let stack = ServiceBuilder::new()
            .layer(DeadLetter::to(bed.publisher.clone()).group(&*bed.group))
            .layer(RetryLayer::new(quick()))
            .layer(CatchPanicLayer::new())
            .service(handler);
        let running = bed.serve(stack);
        bed.committed_soon(&bed.all_at(5)).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.moved), (2, 3));
        let mut attempts = BTreeMap::<i64, u32>::new();
        for call in calls.all() {
            *attempts.entry(call.offset).or_default() += 1;
        }
        assert_eq!(attempts, [(0, 1), (1, 1), (2, 4), (3, 4), (4, 1)].into());

        let mut letters = log(bed.brokers(), &dlq).await;
        letters.sort_by_key(|letter| letter.header(header::OFFSET).map(Vec::from));
        let payloads: Vec<_> = letters.iter().map(|one| one.payload.as_deref()).collect();
        assert_eq!(
            payloads,
            [&b"\xff poison"[..], b"failing", b"panics"].map(Some)
        );
        for letter in &letters {
            assert_eq!(letter.key.as_deref(), Some(&b"\xfe\x00"[..]));
            assert_eq!(letter.header("h"), Some(&b"\xff"[..]));
            assert_eq!(letter.header(header::TOPIC), Some(bed.topic.as_bytes()));
            assert_eq!(letter.header(header::GROUP), Some(bed.group.as_bytes()));
        }
        let of = |name| {
            letters
                .iter()
                .map(move |letter| letter.header(name).expect("a header"))
        };
        assert!(of(header::ATTEMPTS).eq([&b"1"[..], b"4", b"4"]));
        let classes = [&b"non-retriable"[..], b"retriable", b"retriable"];
        assert!(of(header::CLASS).eq(classes));
    });
}

#[test]
fn a_missing_right_stops_the_consumer_and_moves_nothing() {
    run(async {
        let bed = Bed::new(1).await;
        let dlq = beside(&bed, ".dlq").await;
        bed.fill(3).await;
        let calls = Calls::default();
        let handler = calls.service(async |record| match record.offset() {
            1 => Err(Classified::fatal("may not write to the database").into()),
            _ => Ok(()),
        });
        let stack = ServiceBuilder::new()
            .layer(DeadLetter::to(bed.publisher.clone()))
            .layer(RetryLayer::new(quick()))
            .service(handler);
        let error = bed.serve(stack).end().await.unwrap_err();
        let ServeError::Unhandled { offset: 1, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(
            calls.all().iter().filter(|call| call.offset == 1).count(),
            1
        );
        assert_eq!(bed.committed().await, bed.all_at(1));
        assert!(log(bed.brokers(), &dlq).await.is_empty());
    });
}

#[test]
fn nothing_is_committed_past_a_dead_letter_that_is_not_written_yet() {
    run(async {
        let bed = Bed::new(1).await;
        let dlq = beside(&bed, ".dlq").await;
        bed.fill(6).await;
        let calls = Calls::default();
        let handler = calls.service(async |record| match record.offset() {
            2 => Err::<(), BoxError>(Classified::non_retriable("poison").into()),
            _ => Ok(()),
        });
        // The dead-letter topic's leader is away, and comes back.
        let is_up = Arc::new(AtomicBool::new(false));
        let tries = Arc::new(watch::Sender::new(0));
        let (up, count) = (Arc::clone(&is_up), Arc::clone(&tries));
        let publisher = bed.publisher.clone();
        let writer = service_fn(move |record: ProducerRecord| {
            count.send_modify(|count| *count += 1);
            if up.load(Ordering::SeqCst) {
                return publisher.clone().oneshot(record).boxed();
            }
            let down = PublishError::new(
                ErrorClass::Retriable,
                Persistence::PossiblyPersisted,
                "no leader",
            );
            async { Err(down.with_record(record)) }.boxed()
        });
        let layer = DeadLetter::to(writer).write_backoff(quick().unlimited_attempts());
        let running = bed.serve(layer.layer(handler));
        let mut tried = tries.subscribe();
        soon("the write is repeated", async {
            drop(tried.wait_for(|count| *count > 20).await.expect("a sender"));
        })
        .await;
        bed.committed_soon(&bed.all_at(2)).await;
        is_up.store(true, Ordering::SeqCst);
        bed.committed_soon(&bed.all_at(6)).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.moved), (5, 1));
        let mut handled = calls.offsets(0);
        handled.sort_unstable();
        assert_eq!(handled, [0, 1, 2, 3, 4, 5]);
        assert_eq!(log(bed.brokers(), &dlq).await.len(), 1);
    });
}

#[test]
fn a_dependency_that_is_down_is_waited_for() {
    run(async {
        let bed = Bed::new(1).await;
        let dlq = beside(&bed, ".dlq").await;
        bed.fill(3).await;
        let calls = Calls::default();
        let times = Arc::new(AtomicUsize::new(0));
        let handler = calls.service(move |_| {
            let is_down = times.fetch_add(1, Ordering::SeqCst) < 50;
            async move {
                match is_down {
                    true => Err(Classified::unavailable("the database is down").into()),
                    false => Ok(()),
                }
            }
        });
        let stack = ServiceBuilder::new()
            .layer(DeadLetter::to(bed.publisher.clone()))
            .layer(RetryLayer::new(quick()))
            .service(handler);
        let running = bed.serve(stack);
        bed.committed_soon(&bed.all_at(3)).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, summary.moved, summary.deferred), (3, 0, 50));
        assert!(calls.all().iter().all(|call| call.attempt == 1));
        assert!(log(bed.brokers(), &dlq).await.is_empty());
    });
}

#[test]
fn a_publish_that_can_never_succeed_is_moved() {
    run(async {
        let bed = Bed::new(1).await;
        let dlq = beside(&bed, ".dlq").await;
        let publisher = DeadLetter::to(bed.publisher.clone()).layer(bed.publisher.clone());
        let record = ProducerRecord::to(bed.topic.as_str()).payload("tea");
        // There is no such partition.
        let error = publisher.send(record.partition(-7)).await.unwrap_err();
        let to = error.dead_letter().expect("a dead letter");
        assert_eq!((&*to.topic, to.offset), (&*dlq, Some(0)));
        let [letter] = &log(bed.brokers(), &dlq).await[..] else {
            panic!("one dead letter");
        };
        assert_eq!(letter.text(), "tea");
        assert_eq!(
            letter.header(header::PERSISTENCE),
            Some(&b"not-persisted"[..])
        );
        assert!(log(bed.brokers(), &bed.topic).await.is_empty());
    });
}

#[test]
fn a_dead_letter_over_the_publishers_limit_points_to_its_record() {
    run(async {
        let bed = Bed::new(1).await;
        let dlq = beside(&bed, ".dlq").await;
        let large = ProducerRecord::to(bed.topic.as_str()).key("42");
        bed.send(large.payload("x".repeat(5000))).await;
        let calls = Calls::default();
        let handler = calls
            .service(async |_| Err::<(), BoxError>(Classified::non_retriable("poison").into()));
        let settings = ProducerSettings::high_reliability(bed.brokers()).max_record_bytes(2000);
        let publisher = Publisher::new(settings).expect("settings that can work");
        let running = bed.serve(DeadLetter::to(publisher).layer(handler));
        bed.committed_soon(&bed.all_at(1)).await;
        assert_eq!(running.stop().await.moved, 1);
        let [pointer] = &log(bed.brokers(), &dlq).await[..] else {
            panic!("one dead letter");
        };
        assert_eq!(
            (pointer.key.as_deref(), &pointer.payload),
            (Some(&b"42"[..]), &None)
        );
        assert_eq!(pointer.header(header::POINTER), Some(&b"true"[..]));
        assert_eq!(pointer.header(header::TOPIC), Some(bed.topic.as_bytes()));
        assert_eq!(pointer.header(header::OFFSET), Some(&b"0"[..]));
    });
}

/// What Kafka's own console consumer shows of a topic: headers, key and payload of each record.
async fn console(brokers: &str, topic: &str, records: usize) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
    let mut command = Command::new("timeout");
    command.args(["120", script, "tool", "console-consumer"]);
    command.args(["--bootstrap-server", brokers, "--topic", topic]);
    command.args(["--from-beginning", "--max-messages", &records.to_string()]);
    for show in ["print.headers=true", "print.key=true"] {
        command.args(["--formatter-property", show]);
    }
    let output = spawn_blocking(move || command.output().expect("a script"));
    let output = output.await.expect("no panic");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn kafkas_own_tools_read_a_dead_letter_as_it_was() {
    run(async {
        let bed = Bed::new(1).await;
        if bed.mock().is_some() {
            println!("skipped: the tools are of a real cluster, see scripts/kafka");
            return;
        }
        let dlq = beside(&bed, ".dlq").await;
        let record = ProducerRecord::to(bed.topic.as_str()).key("schlüssel");
        bed.send(
            record
                .payload("{\"id\": broken\u{1f4a5}")
                .header("trace", "a=b"),
        )
        .await;
        let handler = service_fn(async |_: ConsumerRecord| {
            Err::<(), BoxError>(Classified::non_retriable("poison").into())
        });
        let running = bed.serve(DeadLetter::to(bed.publisher.clone()).layer(handler));
        bed.committed_soon(&bed.all_at(1)).await;
        assert_eq!(running.stop().await.moved, 1);
        let shown = console(bed.brokers(), &dlq, 1).await;
        let [headers, key, payload] = shown.trim_end().split('\t').collect::<Vec<_>>()[..] else {
            panic!("{shown:?}");
        };
        assert_eq!((key, payload), ("schlüssel", "{\"id\": broken\u{1f4a5}"));
        let headers: Vec<_> = headers.split(',').collect();
        assert_eq!(headers[0], "trace:a=b");
        let topic = format!("{}:{}", header::TOPIC, bed.topic);
        assert!(headers.contains(&topic.as_str()), "{headers:?}");
    });
}
