//! The publisher against a broker: what is published is delivered, whole, once and in order.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use kafka_tower::{
    Acks, BoxError, Compression, ConsumerRecord, ConsumerSettings, Delivery, DeliveryFuture,
    Headers, MessageId, Outcome, Partitioner, ProducerRecord, ProducerSettings, PublishError,
    PublishExt, Publisher, serve, testing::TestKafka,
};
use support::{Stored, has_room, log, run};
use tokio::sync::mpsc;
use tower::{Service, ServiceExt};
use uuid::Uuid;

const CLOSE: Duration = Duration::from_secs(30);
/// So long that only a flush sends what lingers.
const FOR_EVER: Duration = Duration::from_secs(100);

struct Setup {
    kafka: TestKafka,
    topic: Arc<str>,
}

async fn setup(partitions: i32) -> Setup {
    let kafka = TestKafka::from_env().await.expect("a cluster");
    let topic = kafka.unique_topic("publish", partitions).await;
    let topic = topic.expect("a topic").into();
    Setup { kafka, topic }
}

impl Setup {
    fn settings(&self) -> ProducerSettings {
        ProducerSettings::high_reliability(self.kafka.bootstrap_servers())
    }

    /// Without a header of their own, records go to librdkafka in batches.
    fn plain(&self) -> ProducerSettings {
        self.settings().without_message_id_header()
    }

    fn publisher(&self) -> Publisher {
        new(self.settings())
    }

    fn record(&self) -> ProducerRecord {
        ProducerRecord::to(Arc::clone(&self.topic))
    }

    /// The timestamp that a delivery tells of a record stored with this one.
    fn told(&self, timestamp: i64) -> Option<i64> {
        // librdkafka's mock cluster always answers that it wrote at 1234.
        let mock = self.kafka.embedded().is_some();
        Some(if mock { 1234 } else { timestamp })
    }

    async fn log(&self) -> Vec<Stored> {
        log(self.kafka.bootstrap_servers(), &self.topic).await
    }

    /// The first records of the only partition, by kafka-tower's own consumer.
    async fn consume(&self, count: usize) -> Vec<ConsumerRecord> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |record: ConsumerRecord| {
            let ended = record.offset() + 1 == i64::try_from(count).expect("a few");
            sender.send(record).expect("the test goes on");
            let outcome = if ended { Outcome::Stop } else { Outcome::Ack };
            std::future::ready(Ok::<_, BoxError>(outcome))
        });
        let settings = ConsumerSettings::new(self.kafka.bootstrap_servers(), &*self.topic);
        let consumer = settings.topics([&*self.topic]).build().expect("a consumer");
        serve(consumer, service).await.expect("nothing fails");
        let mut records = Vec::new();
        while let Some(record) = receiver.recv().await {
            records.push(record);
        }
        records
    }
}

fn new(settings: ProducerSettings) -> Publisher {
    Publisher::new(settings).expect("good settings")
}

/// Reserves room and calls, without waiting for the delivery.
async fn publish(publisher: &mut Publisher, record: ProducerRecord) -> DeliveryFuture {
    publisher.ready().await.expect("open").call(record)
}

fn presets(brokers: &str) -> [ProducerSettings; 3] {
    [
        ProducerSettings::high_reliability(brokers),
        ProducerSettings::high_throughput(brokers),
        ProducerSettings::low_latency(brokers),
    ]
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_millis()).expect("before the year 292 million")
}

type Pairs = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn pairs(headers: &Headers) -> Pairs {
    headers
        .iter()
        .map(|(key, value)| (key.to_vec(), value.map(Vec::from)))
        .collect()
}

#[test]
fn every_preset_delivers_a_whole_record_and_says_where() {
    run(async {
        let setup = setup(3).await;
        for (settings, partition) in presets(setup.kafka.bootstrap_servers())
            .into_iter()
            .zip(0..)
        {
            let timestamp = now() - 5000;
            let record = setup
                .record()
                .key("key")
                .payload("payload")
                .header("a", "1")
                .partition(partition)
                .timestamp(timestamp)
                .message_id("mine");
            let delivery = new(settings).send(record).await.unwrap();
            assert_eq!(delivery.topic, setup.topic);
            assert_eq!((delivery.partition, delivery.offset), (partition, Some(0)));
            assert_eq!(delivery.timestamp, setup.told(timestamp));
            assert_eq!(delivery.message_id, MessageId::from("mine"));
            assert_eq!(delivery.attempts, 1);
            let log = setup.log().await;
            let stored = log.last().unwrap();
            assert_eq!((stored.partition, stored.offset), (partition, 0));
            assert_eq!(stored.timestamp, Some(timestamp));
            assert_eq!(stored.key.as_deref(), Some(&b"key"[..]));
            assert_eq!(stored.payload.as_deref(), Some(&b"payload"[..]));
            assert_eq!(stored.header("a"), Some(&b"1"[..]));
        }
        assert_eq!(setup.log().await.len(), 3);
    });
}

#[test]
fn null_and_empty_keys_and_payloads_stay_what_they_are() {
    run(async {
        let setup = setup(1).await;
        let publisher = setup.publisher();
        let shapes = [None, Some(""), Some("x")];
        for key in shapes {
            for payload in shapes {
                let mut record = setup.record();
                record.key = key.map(Bytes::from);
                record.payload = payload.map(Bytes::from);
                publisher.send(record).await.unwrap();
            }
        }
        publisher
            .send(setup.record().payload("x").tombstone())
            .await
            .unwrap();

        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let expected: Vec<_> = shapes
            .iter()
            .flat_map(|key| shapes.map(|payload| (bytes(*key), bytes(payload))))
            .chain([(None, None)])
            .collect();
        let log = setup.log().await;
        let found: Vec<_> = log
            .into_iter()
            .map(|record| (record.key, record.payload))
            .collect();
        assert_eq!(found, expected);
        let consumed = setup.consume(expected.len()).await;
        let consumed: Vec<_> = consumed
            .iter()
            .map(|record| (record.key().map(Vec::from), record.payload().map(Vec::from)))
            .collect();
        assert_eq!(consumed, expected);
    });
}

#[test]
fn a_payload_of_every_byte_and_of_the_limits_size_survives() {
    run(async {
        let setup = setup(1).await;
        let publisher = new(setup.plain());
        let every: Vec<u8> = (0..=255).collect();
        // Of the limit of 1 000 000 bytes, librdkafka reckons some for the record's frame.
        let large = every.repeat(3900);
        for payload in [&every, &large] {
            let record = setup.record().key(&every[..]).payload(payload.clone());
            publisher.send(record).await.unwrap();
        }
        let log = setup.log().await;
        assert_eq!(log[0].key.as_ref(), Some(&every));
        assert_eq!(log[0].payload.as_ref(), Some(&every));
        assert_eq!(log[1].payload.as_ref(), Some(&large));
    });
}

#[test]
fn without_a_timestamp_it_is_the_time_of_publishing() {
    run(async {
        let setup = setup(1).await;
        let before = now();
        let delivery = setup.publisher().send(setup.record()).await.unwrap();
        let stored = setup.log().await[0].timestamp.unwrap();
        assert!((before..=now()).contains(&stored), "{stored}");
        assert_eq!(delivery.timestamp, setup.told(stored));
    });
}

#[test]
fn a_delivery_without_acknowledgement_knows_no_offset() {
    run(async {
        let setup = setup(1).await;
        let settings = setup.settings().idempotence(false).acks(Acks::None);
        let delivery = new(settings).send(setup.record()).await.unwrap();
        assert_eq!((delivery.partition, delivery.offset), (0, None));
        let settings = setup.settings().idempotence(false).acks(Acks::Leader);
        let delivery = new(settings).send(setup.record()).await.unwrap();
        assert_eq!(delivery.offset, Some(1));
    });
}

#[test]
fn every_header_that_kafka_allows_survives_in_order() {
    run(async {
        let setup = setup(1).await;
        let mut headers = Headers::new();
        headers.append("a", "1");
        headers.append_null("a");
        headers.append("b", "");
        headers.append("a", "1");
        headers.append("", "no key");
        headers.append(b"\xff\xfe", b"\x00\xff\xfe");
        headers.append("line\r\nbreak", "x\r\ny");
        headers.append("größe", "ü");
        let mut record = setup.record();
        record.headers = headers.clone();
        let publisher = new(setup.plain());
        publisher.send(record).await.unwrap();
        assert_eq!(pairs(setup.consume(1).await[0].headers()), pairs(&headers));
    });
}

#[test]
fn ten_thousand_headers_survive() {
    run(async {
        let setup = setup(1).await;
        let mut record = setup.record();
        for number in 0..10_000 {
            record = record.header(format!("key {number}"), format!("{number}"));
        }
        let expected = pairs(&record.headers);
        let publisher = new(setup.plain());
        publisher.send(record).await.unwrap();
        assert_eq!(pairs(setup.consume(1).await[0].headers()), expected);
    });
}

/// Header lists are used again for the next record of the same shape.
#[test]
fn no_record_gets_the_headers_of_another() {
    run(async {
        let setup = setup(1).await;
        let publishers = [
            setup.publisher(),
            new(setup
                .settings()
                .without_message_id_header()
                .linger(Duration::ZERO)),
        ];
        let mut expected = BTreeMap::new();
        for round in 0..300_u32 {
            let wave = (0..8_u32).map(|position| {
                let number = round * 8 + position;
                let mut record = setup.record().payload(number.to_string());
                let tag = format!("{number:08}");
                match (round / 2 + position * round) % 8 {
                    0 => {}
                    1 | 2 => record = record.header("tag", &tag),
                    3 => record = record.header("tag", format!("{tag}, longer")),
                    4 => record = record.header("gat", &tag),
                    5 => record = record.header("tag", "").header("tag", &tag),
                    6 => record.headers.append_null("tag"),
                    _ => {
                        record = record
                            .header("tag", &tag)
                            .header("b", "1")
                            .header("c", &tag)
                    }
                }
                let publisher = &publishers[number as usize % 2];
                let mut headers = pairs(&record.headers);
                if number.is_multiple_of(2) {
                    let id = format!("id {number}");
                    record = record.message_id(&*id);
                    headers.push((b"message-id".to_vec(), Some(id.into_bytes())));
                }
                expected.insert(number.to_string(), headers);
                publisher.send(record)
            });
            let wave: Vec<_> = wave.collect();
            // In the middle of each wave slots are freed in another order than they were taken.
            join_all(wave.into_iter().rev())
                .await
                .into_iter()
                .for_each(|sent| {
                    sent.unwrap();
                });
        }
        let log = setup.log().await;
        assert_eq!(log.len(), expected.len());
        for record in log {
            let found: Pairs = record
                .headers
                .iter()
                .map(|(key, value)| (key.clone().into_bytes(), value.clone()))
                .collect();
            assert_eq!(found, expected[record.text()], "record {}", record.text());
        }
    });
}

#[test]
fn a_generated_message_id_is_a_uuid_of_version_7_and_is_sent() {
    run(async {
        let setup = setup(1).await;
        let delivery = setup.publisher().send(setup.record()).await.unwrap();
        let id = delivery.message_id.as_uuid().unwrap();
        assert_eq!(id.get_version_num(), 7);
        let sent = setup.log().await[0].header("message-id").map(Vec::from);
        assert_eq!(sent, Some(id.to_string().into_bytes()));
    });
}

#[test]
fn the_callers_message_id_is_kept_and_its_header_has_the_name_that_was_set() {
    run(async {
        let setup = setup(1).await;
        let publisher = new(setup.settings().message_id_header("x-id"));
        let uuid = Uuid::from_u128(7);
        for id in [MessageId::from("Größe\n"), MessageId::from(uuid)] {
            let sent = publisher.send(setup.record().message_id(id.clone())).await;
            assert_eq!(sent.unwrap().message_id, id);
        }
        let log = setup.log().await;
        assert_eq!(log[0].header("x-id"), Some("Größe\n".as_bytes()));
        assert_eq!(log[1].header("x-id"), Some(uuid.to_string().as_bytes()));
        assert_eq!(log[0].headers.len(), 1);
    });
}

#[test]
fn only_high_reliability_sends_message_ids() {
    run(async {
        let setup = setup(1).await;
        let [reliable, fast, low] = presets(setup.kafka.bootstrap_servers());
        for settings in [reliable, fast.clone(), low, fast.message_id_header("id")] {
            let delivery = new(settings).send(setup.record()).await.unwrap();
            assert!(delivery.message_id.as_uuid().is_some());
        }
        let log = setup.log().await;
        let names = |record: &Stored| -> Vec<String> {
            record
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect()
        };
        let names: Vec<_> = log.iter().map(names).collect();
        assert_eq!(
            names,
            [
                vec!["message-id".to_owned()],
                vec![],
                vec![],
                vec!["id".to_owned()]
            ]
        );
    });
}

#[test]
fn a_record_with_an_id_header_keeps_it_and_has_that_id() {
    run(async {
        let setup = setup(1).await;
        let publisher = setup.publisher();
        let id = "message-id";
        let twice = setup.record().header(id, "first").header(id, "second");
        assert_eq!(
            publisher.send(twice).await.unwrap().message_id,
            "second".into()
        );
        let mut null = setup.record();
        null.headers.append_null(id);
        assert!(
            publisher
                .send(null)
                .await
                .unwrap()
                .message_id
                .as_uuid()
                .is_some()
        );
        let binary = setup.record().header(id, b"\xff");
        assert!(
            publisher
                .send(binary)
                .await
                .unwrap()
                .message_id
                .as_uuid()
                .is_some()
        );
        let both = setup.record().header(id, "theirs").message_id("mine");
        assert_eq!(
            publisher.send(both).await.unwrap().message_id,
            "mine".into()
        );

        let sent: Vec<_> = setup
            .log()
            .await
            .into_iter()
            .map(|record| record.headers)
            .collect();
        let header = |value: &[u8]| (id.to_owned(), Some(value.to_vec()));
        assert_eq!(
            sent,
            [
                vec![header(b"first"), header(b"second")],
                vec![(id.to_owned(), None)],
                vec![header(b"\xff")],
                vec![header(b"theirs")],
            ]
        );
    });
}

#[test]
fn every_compression_delivers() {
    run(async {
        let setup = setup(1).await;
        let codecs = [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            #[cfg(feature = "zstd")]
            Compression::Zstd,
        ];
        for codec in codecs {
            let publisher = new(setup.settings().compression(codec));
            let payload = format!("{codec:?} ").repeat(1000);
            let sends = (0..20).map(|_| publisher.send(setup.record().payload(&payload)));
            try_join_all(sends).await.unwrap();
        }
        let log = setup.log().await;
        assert_eq!(log.len(), 20 * codecs.len());
        for (records, codec) in log.chunks(20).zip(codecs) {
            let payload = format!("{codec:?} ").repeat(1000);
            assert!(
                records.iter().all(|record| record.text() == payload),
                "{codec:?}"
            );
        }
    });
}

async fn partition_of(publisher: &Publisher, setup: &Setup, key: &str) -> i32 {
    publisher
        .send(setup.record().key(key))
        .await
        .unwrap()
        .partition
}

#[test]
fn murmur2_puts_keys_where_the_java_client_does() {
    run(async {
        let setup = setup(7).await;
        // The hashes are those of Kafka's own UtilsTest.
        let hashes: [(&str, i32); 4] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("abc", 479_470_107),
        ];
        for partitioner in [Partitioner::Murmur2Random, Partitioner::Murmur2] {
            let publisher = new(setup.settings().partitioner(partitioner));
            for (key, hash) in hashes {
                let java = (hash & i32::MAX) % 7;
                assert_eq!(partition_of(&publisher, &setup, key).await, java, "{key}");
            }
        }
    });
}

#[test]
fn without_a_choice_a_keys_partition_is_that_of_its_crc_32() {
    run(async {
        let setup = setup(7).await;
        let publisher = setup.publisher();
        // The check value of CRC-32 (zlib's).
        let expected = i32::try_from(0xCBF4_3926_u32 % 7).unwrap();
        assert_eq!(
            partition_of(&publisher, &setup, "123456789").await,
            expected
        );
        let mut used = BTreeSet::new();
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            let first = partition_of(&publisher, &setup, key).await;
            assert_eq!(partition_of(&setup.publisher(), &setup, key).await, first);
            used.insert(first);
        }
        assert!(used.len() > 1, "all keys went to {used:?}");
    });
}

fn assert_contiguous(deliveries: &[Delivery], partitions: usize) {
    let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for delivery in deliveries {
        let offset = delivery.offset.expect("an offset");
        offsets.entry(delivery.partition).or_default().push(offset);
    }
    assert_eq!(offsets.len(), partitions);
    for (partition, mut offsets) in offsets {
        offsets.sort_unstable();
        let count = i64::try_from(offsets.len()).unwrap();
        assert!(offsets.into_iter().eq(0..count), "partition {partition}");
    }
}

#[test]
fn a_send_can_be_spawned_as_it_is() {
    run(async {
        let setup = setup(1).await;
        let sends: Vec<_> = (0..10)
            .map(|_| {
                let publisher = setup.publisher();
                tokio::spawn(publisher.send(setup.record()))
            })
            .collect();
        for send in sends {
            send.await.expect("no panic").expect("a delivery");
        }
        assert_eq!(setup.log().await.len(), 10);
    });
}

#[test]
fn a_thousand_tasks_lose_and_duplicate_nothing() {
    run(async {
        let setup = setup(4).await;
        let publisher = new(setup.plain().max_in_flight_records(500));
        let tasks = (0..1000).map(|task| {
            let (publisher, record) = (publisher.clone(), setup.record());
            tokio::spawn(async move {
                let mut deliveries = Vec::new();
                for number in 0..20 {
                    let text = &format!("{task} {number}");
                    let record = record.clone().key(text).payload(text);
                    deliveries.push(publisher.send(record).await.unwrap());
                }
                deliveries
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let deliveries = try_join_all(tasks).await.unwrap().concat();
        assert_eq!(deliveries.len(), 20_000);
        assert_contiguous(&deliveries, 4);
        let log = setup.log().await;
        let payloads: BTreeSet<_> = log.iter().map(Stored::text).collect();
        assert_eq!((log.len(), payloads.len()), (20_000, 20_000));
    });
}

#[test]
fn ten_threads_without_a_runtime_lose_and_duplicate_nothing() {
    run(async {
        let setup = setup(4).await;
        let publisher = new(setup.plain().max_in_flight_records(3000));
        let threads = (0..10).map(|thread| {
            let (mut publisher, record) = (publisher.clone(), setup.record());
            tokio::task::spawn_blocking(move || {
                let futures: Vec<_> = (0..2000)
                    .map(|number| {
                        let text = &format!("{thread} {number}");
                        let record = record.clone().key(text).payload(text);
                        park_on(publish(&mut publisher, record))
                    })
                    .collect();
                park_on(try_join_all(futures)).unwrap()
            })
        });
        let threads: Vec<_> = threads.collect();
        let deliveries = try_join_all(threads).await.unwrap().concat();
        assert_eq!(deliveries.len(), 20_000);
        assert_contiguous(&deliveries, 4);
        let log = setup.log().await;
        let payloads: BTreeSet<_> = log.iter().map(Stored::text).collect();
        assert_eq!((log.len(), payloads.len()), (20_000, 20_000));
    });
}

/// Blocks on a future by parking the thread: no tokio.
fn park_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

async fn assert_keeps_order(settings: fn(&Setup) -> ProducerSettings, mixed: bool) {
    let setup = setup(4).await;
    let mut publisher = new(settings(&setup).linger(Duration::ZERO));
    let mut futures = Vec::new();
    for number in 0..5000 {
        let key = format!("key {}", number % 10);
        let mut record = setup.record().key(key).payload(number.to_string());
        match number % 7 {
            3 if mixed => record = record.header("a", "1"),
            4 if mixed => record = record.timestamp(now()),
            _ => {}
        }
        futures.push(publish(&mut publisher, record).await);
    }
    try_join_all(futures).await.unwrap();
    let log = setup.log().await;
    let mut last = BTreeMap::new();
    for record in &log {
        let number: u32 = record.text().parse().unwrap();
        let before = last.insert(record.key.clone(), number);
        let in_order = before.is_none_or(|before| before < number);
        assert!(in_order, "{number} after {before:?}");
    }
    assert_eq!((last.len(), log.len()), (10, 5000));
}

#[test]
fn a_keys_records_are_in_the_log_in_the_order_of_their_calls() {
    run(assert_keeps_order(Setup::settings, false));
}

#[test]
fn a_keys_plain_records_are_in_the_log_in_the_order_of_their_calls() {
    run(assert_keeps_order(Setup::plain, false));
}

#[test]
fn plain_records_and_others_are_in_the_log_in_the_order_of_their_calls() {
    run(assert_keeps_order(Setup::plain, true));
}

#[test]
fn a_record_whose_future_nobody_polls_is_delivered() {
    run(async {
        let setup = setup(1).await;
        let mut publisher = new(setup.plain());
        let future = publish(&mut publisher, setup.record().payload("a")).await;
        while setup.log().await.is_empty() {}
        future.await.unwrap();
    });
}

#[test]
fn records_for_several_topics_by_turns_land_each_in_its_own() {
    run(async {
        let setup = setup(1).await;
        let other = setup.kafka.unique_topic("other", 1).await.unwrap();
        let topics: [Arc<str>; 2] = [Arc::clone(&setup.topic), other.into()];
        let mut publisher = new(setup.plain());
        let mut futures = Vec::new();
        for number in 0..300 {
            // The turns change, so that batches of every length come to be.
            let topic = &topics[usize::from(number % 7 < 3)];
            let record = ProducerRecord::to(Arc::clone(topic)).payload(topic.to_string());
            futures.push(publish(&mut publisher, record).await);
        }
        try_join_all(futures).await.unwrap();
        let mut count = 0;
        for topic in &topics {
            let log = log(setup.kafka.bootstrap_servers(), topic).await;
            assert!(log.iter().all(|record| record.text() == &**topic));
            count += log.len();
        }
        assert_eq!(count, 300);
    });
}

#[test]
fn a_flush_sends_what_lingers_and_counts_what_it_delivered() {
    run(async {
        let setup = setup(2).await;
        let mut publisher = new(setup.plain().linger(FOR_EVER));
        let mut futures = Vec::new();
        for number in 0..100 {
            let record = setup.record().payload(number.to_string());
            futures.push(publish(&mut publisher, record).await);
        }
        let flushed = publisher.flush(CLOSE).await;
        assert_eq!(flushed.delivered, 100);
        assert!(flushed.failed.is_empty() && flushed.undelivered.is_empty());
        try_join_all(futures).await.unwrap();
        assert_eq!(setup.log().await.len(), 100);
        assert_eq!(publisher.flush(CLOSE).await.delivered, 0);
        let open = publisher.ready().await.is_ok();
        assert!(open, "a flushed publisher goes on");
    });
}

#[test]
fn concurrent_flushes_all_end() {
    run(async {
        let setup = setup(1).await;
        let mut publisher = new(setup.settings().linger(FOR_EVER));
        let mut futures = Vec::new();
        for _ in 0..10 {
            futures.push(publish(&mut publisher, setup.record()).await);
        }
        let flushed = join_all((0..5).map(|_| publisher.flush(CLOSE))).await;
        assert!(flushed.iter().all(|flushed| flushed.undelivered.is_empty()));
        try_join_all(futures).await.unwrap();
    });
}

#[test]
fn a_time_without_end_is_a_good_deadline() {
    run(async {
        let setup = setup(1).await;
        let publisher = setup.publisher();
        publisher.send(setup.record()).await.unwrap();
        assert!(publisher.flush(Duration::MAX).await.undelivered.is_empty());
        assert!(publisher.close(Duration::MAX).await.undelivered.is_empty());
    });
}

fn assert_closed(error: &PublishError) {
    assert_eq!(error.class(), kafka_tower::ErrorClass::Fatal);
    assert_eq!(error.persistence(), kafka_tower::Persistence::NotPersisted);
    assert!(error.to_string().contains("was closed"), "{error}");
}

#[test]
fn a_closed_publisher_has_delivered_everything_and_gives_later_records_back() {
    run(async {
        let setup = setup(1).await;
        let mut publisher = new(setup.settings().linger(FOR_EVER));
        let mut clone = publisher.clone();
        let mut reserved = publisher.clone();
        assert!(has_room(&mut reserved));
        let future = publish(&mut publisher, setup.record().payload("in time")).await;
        let closed = publisher.close(CLOSE).await;
        assert_eq!((closed.delivered, closed.undelivered.len()), (1, 0));
        future.await.unwrap();

        for publisher in [&publisher, &clone, &clone.clone()] {
            let error = publisher
                .send(setup.record().payload("late"))
                .await
                .unwrap_err();
            assert_closed(&error);
            let record = error.into_record().unwrap();
            assert_eq!(record.payload.as_deref(), Some(&b"late"[..]));
        }
        let ready = clone.ready().await.map(|_| ());
        assert_closed(&ready.unwrap_err());
        // Room that was reserved before is no way around it.
        let error = reserved
            .call(setup.record().payload("late"))
            .await
            .unwrap_err();
        assert_closed(&error);
        assert!(error.into_record().is_some());

        let again = clone.close(CLOSE).await;
        assert_eq!(
            (again.delivered, again.failed.len(), again.undelivered.len()),
            (0, 0, 0)
        );
        assert_eq!(clone.flush(CLOSE).await.delivered, 0);
        assert_eq!(setup.log().await.len(), 1);
    });
}

#[test]
fn a_close_whose_future_was_dropped_has_closed() {
    run(async {
        use futures_util::FutureExt;
        let setup = setup(1).await;
        let mut publisher = new(setup.plain().linger(FOR_EVER));
        let future = publish(&mut publisher, setup.record()).await;
        let _ = publisher.close(CLOSE).now_or_never();
        assert_closed(&publisher.send(setup.record()).await.unwrap_err());
        future.await.unwrap();
    });
}

#[test]
fn dropping_the_last_clone_delivers_what_nobody_waits_for() {
    run(async {
        let setup = setup(1).await;
        let mut publisher = new(setup.plain().linger(FOR_EVER));
        for number in 0..100 {
            let record = setup.record().payload(number.to_string());
            drop(publish(&mut publisher, record).await);
        }
        let clone = publisher.clone();
        let awaited = publish(&mut publisher, setup.record().payload("awaited")).await;
        drop(publisher);
        drop(clone);
        // The last record of the only partition: with it all others are delivered.
        assert_eq!(awaited.await.unwrap().offset, Some(100));
        assert_eq!(setup.log().await.len(), 101);
    });
}

#[test]
fn a_record_whose_future_was_dropped_is_delivered() {
    run(async {
        let setup = setup(1).await;
        let mut publisher = setup.publisher();
        drop(publish(&mut publisher, setup.record().payload("dropped")).await);
        let mut polled = publish(&mut publisher, setup.record().payload("polled")).await;
        assert!(futures_util::poll!(&mut polled).is_pending());
        drop(polled);
        assert!(publisher.flush(CLOSE).await.undelivered.is_empty());
        let log = setup.log().await;
        let payloads: Vec<_> = log.iter().map(Stored::text).collect();
        assert_eq!(payloads, ["dropped", "polled"]);
    });
}

#[test]
fn a_publisher_outlives_its_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (setup, publisher, future) = runtime.block_on(async {
        let setup = setup(1).await;
        let mut publisher = new(setup.plain().linger(FOR_EVER));
        let future = publish(&mut publisher, setup.record()).await;
        let (record, clone) = (setup.record(), publisher.clone());
        // A task that waits for its delivery ends with its runtime.
        tokio::spawn(async move { clone.send(record).await });
        tokio::task::yield_now().await;
        (setup, publisher, future)
    });
    drop(runtime);
    run(async move {
        let closed = publisher.close(CLOSE).await;
        assert!(closed.undelivered.is_empty() && closed.failed.is_empty());
        future.await.unwrap();
        let stored = setup.log().await.len();
        assert_eq!(u64::try_from(stored).unwrap(), closed.delivered);
    });
}

#[tokio::test(flavor = "current_thread")]
async fn a_current_thread_runtime_is_enough() {
    let test = async {
        let setup = setup(1).await;
        let publisher = new(setup.settings().max_in_flight_records(2));
        let sends = (0..100).map(|_| publisher.send(setup.record()));
        try_join_all(sends).await.unwrap();
        let closed = publisher.close(CLOSE).await;
        assert!(closed.undelivered.is_empty());
        assert_eq!(setup.log().await.len(), 100);
    };
    tokio::time::timeout(Duration::from_secs(60), test)
        .await
        .unwrap();
}

#[test]
#[should_panic(expected = "`poll_ready` must be called first")]
fn a_call_without_room_reserved_panics() {
    let mut publisher = new(ProducerSettings::high_reliability("127.0.0.1:1"));
    drop(publisher.call(ProducerRecord::to("orders")));
}

#[test]
#[should_panic(expected = "`poll_ready` must be called first")]
fn a_clone_does_not_have_the_room_that_its_original_reserved() {
    let mut publisher = new(ProducerSettings::high_reliability("127.0.0.1:1"));
    assert!(has_room(&mut publisher));
    drop(publisher.clone().call(ProducerRecord::to("orders")));
}
