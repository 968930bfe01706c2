//! Attempts at records that aren't complete: they travel with the committed offset, so that the
//! next owner of a partition goes on counting.

use std::{
    future::{pending, ready},
    io,
    time::Duration,
};

use kafka_tower::{Ordering, Outcome, Undone};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{spawn_blocking, yield_now},
    time::interval,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bed::{Bed, Calls, Running, SOON, soon},
    support::run,
};

const AN_HOUR: Duration = Duration::from_secs(3600);

/// What the group has committed for partition 0, with its metadata but for the owner's number.
async fn written(bed: &Bed) -> (i64, String) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bed.brokers());
    config.set("group.id", &bed.group);
    let mut list = TopicPartitionList::new();
    list.add_partition(&bed.topic, 0);
    let read = spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().expect("a client");
        let list = consumer.committed_offsets(list, SOON).expect("offsets");
        let one = &list.elements()[0];
        let offset = one.offset().to_raw().expect("an offset");
        let fields = one.metadata().split(';');
        let fields = fields.filter(|field| !field.starts_with('o'));
        (offset, Vec::from_iter(fields).join(";"))
    });
    read.await.expect("what was committed")
}

/// Commits an offset of partition 0 with any bytes as metadata.
async fn write(bed: &Bed, offset: i64, metadata: &[u8]) {
    let request = commit_of_nobody(bed, offset, metadata);
    // Any broker may be the group's coordinator, and a new group's may not be there yet.
    let mut brokers = bed.brokers().split(',').cycle();
    let mut often = interval(Duration::from_millis(50));
    soon("a commit is taken", async {
        while let Some(broker) = brokers.next()
            && send(broker, &request).await.expect("an answer") != [0, 0]
        {
            often.tick().await;
        }
    })
    .await;
}

/// A commit of partition 0 by somebody who is no member: a request of version 2, since no client
/// sends metadata that isn't text.
pub(crate) fn commit_of_nobody(bed: &Bed, offset: i64, metadata: &[u8]) -> Vec<u8> {
    let text = |text: &[u8]| {
        let length = i16::try_from(text.len()).expect("a short text");
        [&length.to_be_bytes(), text].concat()
    };
    let one = 1_i32.to_be_bytes();
    [
        &[0, 8, 0, 2, 0, 0, 0, 7][..],
        &text(b"test"),
        &text(bed.group.as_bytes()),
        &(-1_i32).to_be_bytes(),
        &text(b""),
        &(-1_i64).to_be_bytes(),
        &one,
        &text(bed.topic.as_bytes()),
        &one,
        &0_i32.to_be_bytes(),
        &offset.to_be_bytes(),
        &text(metadata),
    ]
    .concat()
}

/// Gives the error code of the answer, its last two bytes.
pub(crate) async fn send(broker: &str, request: &[u8]) -> io::Result<[u8; 2]> {
    let mut broker = TcpStream::connect(broker).await?;
    let length = u32::try_from(request.len()).expect("a short request");
    broker.write_u32(length).await?;
    broker.write_all(request).await?;
    let mut answer = vec![0; broker.read_u32().await? as usize];
    broker.read_exact(&mut answer).await?;
    Ok(*answer.last_chunk().expect("an error code"))
}

#[test]
fn the_next_consumer_goes_on_counting() {
    run(async {
        let bed = Bed::for_several(1).await;
        bed.fill(5).await;
        let calls = Calls::default();
        let service = calls.service(|record| {
            let after = match record.attempt() {
                1 => Duration::ZERO,
                _ => AN_HOUR,
            };
            ready(Ok(match record.offset() {
                2 => Outcome::Retry { after: Some(after) },
                _ => Outcome::Ack,
            }))
        });
        let running = bed.serve(service);
        running
            .status(0, "it waits after two attempts", |one| {
                one.waiting == 1 && calls.attempts(0, 2) == [1, 2]
            })
            .await;
        running.stop().await;
        assert_eq!(written(&bed).await, (2, "kt1;a0x2".to_owned()));

        let next = Calls::default();
        let running = bed.serve(next.acking());
        next.reach(3).await;
        running
            .status(0, "it is done", |one| one.lag == Some(0))
            .await;
        // The record is complete, and its attempts are forgotten.
        assert_eq!(running.handle.seek(&bed.topic, 0, 2).await, Ok(()));
        next.reach(6).await;
        running.stop().await;
        assert_eq!(next.offsets(0), [2, 3, 4, 2, 3, 4]);
        assert_eq!(next.attempts(0, 2), [3, 1]);
        assert_eq!(
            (next.attempts(0, 3), next.attempts(0, 4)),
            (vec![1, 1], vec![1, 1])
        );
        assert_eq!(written(&bed).await, (5, "kt1".to_owned()));
    });
}

#[test]
fn what_was_cut_off_was_an_attempt() {
    run(async {
        let bed = Bed::for_several(1).await;
        bed.fill(6).await;
        let settings = || {
            let settings = bed.settings().drain_timeout(Duration::from_millis(100));
            settings.ordering(Ordering::Unordered)
        };
        for attempt in 1..3 {
            let calls = Calls::default();
            let service = calls.service(async |record| match record.offset() {
                1 | 4 => pending().await,
                3 if record.attempt() == 1 => Ok(Outcome::Retry { after: None }),
                _ => Ok(Outcome::Ack),
            });
            let running = Running::start(settings(), service);
            running
                .status(0, "two run", |one| {
                    one.in_flight == 2 && calls.offsets(0).len() == 8 - attempt as usize
                })
                .await;
            let summary = running.stop().await;
            let undone = [1, 4].map(|offset| (bed.topic.clone(), 0, offset, Undone::Cancelled));
            assert_eq!(summary.undone, undone);
            assert_eq!(calls.attempts(0, 4), [attempt]);
            // Complete, and so forgotten, although it is handled again.
            assert_eq!(calls.attempts(0, 3), [1, 2]);
            assert_eq!(calls.attempts(0, 5), [1]);
            let expected = format!("kt1;a0x{attempt},3x{attempt}");
            assert_eq!(written(&bed).await, (1, expected));
        }
        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        calls.reach(5).await;
        running.stop().await;
        assert_eq!(
            (calls.attempts(0, 1), calls.attempts(0, 4)),
            (vec![3], vec![3])
        );
        assert_eq!(written(&bed).await, (6, "kt1".to_owned()));
    });
}

#[test]
fn what_killed_its_process_is_tried_alone_and_counted() {
    run(async {
        let mut bed = Bed::new(1).await;
        bed.fill(200).await;
        // 10 to 90 may have been running; 13 was tried alone for the second time.
        let mut left = (10, "kt1;r80;t3+1;a3x2".to_owned());
        for attempt in 3..5 {
            // The mock cluster takes no commits from outside once a group has had members.
            bed.group = format!("{}-{attempt}", bed.group);
            write(&bed, left.0, left.1.as_bytes()).await;
            let (calls, gate) = (Calls::default(), CancellationToken::new());
            let opened = gate.clone();
            let service = calls.service(move |record| {
                let opened = opened.clone();
                async move {
                    match record.offset() {
                        13 => opened.cancelled().await,
                        _ => yield_now().await,
                    }
                    Ok(())
                }
            });
            let settings = bed.settings().ordering(Ordering::Unordered);
            let running = Running::start(settings, service);
            let begun = left.0;
            calls.of(0, 13).await;
            // What the next one would find if the process died right now. A broker that takes longer than
            // a second to commit it isn't waited for.
            left = written(&bed).await;
            let mut often = interval(Duration::from_millis(50));
            while bed.mock().is_none() && left.0 != 13 {
                often.tick().await;
                left = written(&bed).await;
            }
            assert_eq!(left.0, 13, "{left:?}");
            assert!(left.1.contains(";t0+1;"), "{left:?}");
            assert!(left.1.ends_with(&format!(";a0x{attempt}")), "{left:?}");
            assert_eq!(calls.offsets(0), Vec::from_iter(begun..14), "alone");
            gate.cancel();
            calls.all_of(0, begun..200).await;
            running.stop().await;
            assert_eq!(calls.attempts(0, 13), [attempt]);
            let others = calls.all().into_iter().filter(|call| call.offset != 13);
            assert!(others.map(|call| call.attempt).all(|attempt| attempt == 1));
            let each = Vec::from_iter(begun..200);
            assert_eq!(calls.offsets(0), each, "each once");
            assert_eq!(written(&bed).await, (200, "kt1".to_owned()));
        }
    });
}

#[test]
fn what_is_not_understood_does_no_harm() {
    let noise: [&[u8]; 14] = [
        b"",
        b"someone else's notes",
        b"\xff\xfe;r1;\x00",
        b"kt2;r80;a0x9",
        b"kt1;r",
        b"kt1;r-5;t-3+2;a-1x2",
        b"kt1;r99999999999999999999;a0x9",
        b"kt1;r9223372036854775807",
        b"kt1;t5+9223372036854775807;r3",
        b"kt1;a0x0,1x4294967295",
        b"kt1;z1;;r2",
        b"kt1;o-9223372036854775808",
        b"kt1;o99999999999999999999;a0x3",
        b"kt1;r0;t0+0;a",
    ];
    run(async {
        let mut bed = Bed::new(1).await;
        let group = bed.group.clone();
        let mut end = 0;
        for metadata in noise {
            bed.group = format!("{group}-{end}");
            bed.publish(0, 5).await;
            write(&bed, end, metadata).await;
            let calls = Calls::default();
            let running = bed.serve(calls.acking());
            calls.reach(5).await;
            running.stop().await;
            let range = Vec::from_iter(end..end + 5);
            assert_eq!(calls.offsets(0), range, "{}", metadata.escape_ascii());
            end += 5;
            assert_eq!(bed.committed().await, bed.all_at(end));
        }
    });
}
