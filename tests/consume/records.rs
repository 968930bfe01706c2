//! A record arrives as it was published.

use std::{
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use kafka_tower::{
    BoxError, Compression, ConsumerRecord, Headers, Outcome, ProducerRecord, ProducerSettings,
    PublishExt, Publisher,
};
use tower::service_fn;

use crate::{bed::Bed, support::run};

/// The first `count` records of the partition as the handler got them.
async fn receive(bed: &Bed, count: i64) -> Vec<ConsumerRecord> {
    let got = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&got);
    let running = bed.serve(service_fn(move |record: ConsumerRecord| {
        let is_last = record.offset() + 1 == count;
        all.lock().expect("no panic").push(record);
        async move {
            Ok::<_, BoxError>(match is_last {
                true => Outcome::Stop,
                false => Outcome::Ack,
            })
        }
    }));
    running.end().await.expect("a stop");
    let got = got.lock().expect("no panic");
    got.clone()
}

#[test]
fn keys_and_payloads_are_equal_byte_for_byte_and_null_is_not_empty() {
    run(async {
        let bed = Bed::new(1).await;
        let big = vec![7; 900_000];
        let parts: [(Option<&[u8]>, Option<&[u8]>); 7] = [
            (None, None),
            (None, Some(b"")),
            (Some(b""), None),
            (Some(b""), Some(b"")),
            (Some(b"\xff\x00\xfe"), Some(b"\x00\xc3\x28")),
            (Some(b"key"), Some(&big)),
            (Some(b"key"), None),
        ];
        for (key, payload) in parts {
            let mut record = ProducerRecord::to(bed.topic.as_str());
            if let Some(key) = key {
                record = record.key(key);
            }
            if let Some(payload) = payload {
                record = record.payload(payload);
            }
            bed.send(record).await;
        }
        let got = receive(&bed, 7).await;
        for (offset, (record, (key, payload))) in got.iter().zip(parts).enumerate() {
            assert!(record.key() == key, "the key at {offset}");
            assert!(record.payload() == payload, "the payload at {offset}");
            assert_eq!(record.topic(), bed.topic);
            assert_eq!((record.partition(), record.offset()), (0, offset as i64));
            assert_eq!((record.attempt(), record.headers().len()), (1, 0));
        }
        assert_eq!(got.len(), parts.len());
    });
}

#[test]
fn headers_keep_their_order_their_nulls_and_their_bytes() {
    run(async {
        let bed = Bed::new(1).await;
        let mut headers = Headers::new();
        headers.append("repeated", "first");
        headers.append_null("null");
        headers.append("empty", "");
        headers.append("repeated", b"\xff\x00");
        headers.append(b"\xff\xfe", "a key that isn't UTF-8");
        headers.append("", "an empty key");
        headers.append_null("repeated");
        let mut record = ProducerRecord::to(bed.topic.as_str());
        record.headers = headers.clone();
        bed.send(record).await;
        let got = receive(&bed, 1).await;
        let all = |headers: &Headers| {
            let pair = |(key, value): (&[u8], Option<&[u8]>)| (key.to_vec(), value.map(Vec::from));
            headers.iter().map(pair).collect::<Vec<_>>()
        };
        assert_eq!(all(got[0].headers()), all(&headers));
    });
}

#[test]
fn a_record_may_have_ten_thousand_headers() {
    run(async {
        let bed = Bed::new(1).await;
        let pairs = || (0..10_000_u32).map(|n| (format!("h{}", n % 100), n.to_be_bytes()));
        let mut record = ProducerRecord::to(bed.topic.as_str()).payload("x");
        for (key, value) in pairs() {
            record = record.header(key, value.to_vec());
        }
        bed.send(record).await;
        bed.send(ProducerRecord::to(bed.topic.as_str()).payload("y"))
            .await;
        let got = receive(&bed, 2).await;
        let headers = got[0].headers();
        assert_eq!(headers.len(), 10_000);
        let expected = pairs();
        assert!(
            headers
                .iter()
                .zip(expected)
                .all(|((key, value), (k, v))| { key == k.as_bytes() && value == Some(&v[..]) })
        );
        assert_eq!(headers.get_all("h7").count(), 100);
        assert_eq!(headers.get("h7"), Some(&9907_u32.to_be_bytes()[..]));
        assert!(got[1].headers().is_empty());
    });
}

#[test]
fn records_with_headers_and_without_may_take_turns() {
    run(async {
        let bed = Bed::new(1).await;
        let headers_of = |number: usize| number % 3;
        // In batches, compressed and not, and one by one.
        for compression in [Compression::None, Compression::Lz4, Compression::Gzip] {
            let settings = ProducerSettings::high_throughput(bed.brokers());
            let publisher = Publisher::new(settings.compression(compression));
            let publisher = publisher.expect("a publisher");
            for number in 0..30 {
                let mut record = ProducerRecord::to(bed.topic.as_str()).partition(0);
                if number % 2 == 0 {
                    record = record.payload("x".repeat(number));
                }
                for header in 0..headers_of(number) {
                    record = record.header(header.to_string(), "value");
                }
                publisher.send(record).await.expect("a delivery");
            }
        }
        for record in receive(&bed, 90).await {
            let number = usize::try_from(record.offset()).expect("an offset") % 30;
            let names: Vec<_> = record.headers().iter().map(|(name, _)| name).collect();
            let expected = [&b"0"[..], b"1"];
            assert_eq!(names, expected[..headers_of(number)], "{record:?}");
        }
    });
}

#[test]
fn a_timestamp_is_the_publishers_or_the_time_of_publishing() {
    run(async {
        let bed = Bed::new(1).await;
        let record = || ProducerRecord::to(bed.topic.as_str());
        let now = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("now")
                .as_millis() as i64
        };
        let before = now();
        bed.send(record()).await;
        let after = now();
        bed.send(record().timestamp(1_234_567_890_123)).await;
        let got = receive(&bed, 2).await;
        let timestamp = got[0].timestamp().expect("a timestamp");
        assert!((before..=after).contains(&timestamp), "{timestamp}");
        assert_eq!(got[1].timestamp(), Some(1_234_567_890_123));
    });
}
