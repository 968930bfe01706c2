//! Publishing as fast as it goes: 50 000 records in flight, every delivery awaited.
//!
//! Each record's payload is a fresh `Vec`, as a serializer would leave it.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use bytes::Bytes;
use kafka_tower::{
    DeliveryFuture, ProducerRecord, ProducerSettings, Publisher, testing::TestKafka,
};
use rdkafka::{
    ClientConfig, ClientContext,
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{
        BaseRecord, FutureProducer, FutureRecord, Producer, ProducerContext, ThreadedProducer,
    },
};
use tower::Service;
use uuid::Uuid;

use crate::report::{Clock, Report, Sample};

const IN_FLIGHT: usize = 50_000;
const PARTITIONS: i32 = 4;
const HEADER: &str = "message-id";

/// How many records are published, and awaited, before the clock starts.
const WARM_UP: usize = 1_000;

/// The subjects, each on a topic of its own, in an order that moves on with each round.
pub(crate) async fn round(kafka: &TestKafka, report: &mut Report, round: usize, load: &Load) {
    let mut samples = Vec::new();
    for turn in 0..3 {
        let topic = kafka.unique_topic("bench", PARTITIONS).await;
        let load = Load {
            brokers: kafka.bootstrap_servers().to_owned(),
            topic: topic.expect("a topic"),
            ..load.clone()
        };
        let subject = (turn + round) % 3;
        let sample = match subject {
            0 => {
                let sample = tokio::task::spawn_blocking(move || threaded(&load));
                sample.await.expect("the raw producer")
            }
            1 => future(&load).await,
            _ => ours(&load).await,
        };
        samples.push((subject, sample));
    }
    samples.sort_by_key(|(subject, _)| *subject);
    samples
        .into_iter()
        .for_each(|(_, sample)| report.add(sample));
}

#[derive(Clone)]
pub(crate) struct Load {
    brokers: String,
    topic: String,
    records: usize,
    payload: Vec<u8>,
    header: bool,
}

impl Load {
    pub(crate) fn new(records: usize, bytes: usize, header: bool) -> Self {
        Self {
            brokers: String::new(),
            topic: String::new(),
            records,
            payload: vec![b'x'; bytes],
            header,
        }
    }
}

/// The same for all: what [`ProducerSettings::high_reliability`] sets.
fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "5");
    config
}

fn header() -> OwnedHeaders {
    let id = Uuid::now_v7().to_string();
    OwnedHeaders::new_with_capacity(1).insert(Header {
        key: HEADER,
        value: Some(&id),
    })
}

struct Counter {
    outstanding: AtomicUsize,
    sender: Thread,
}

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "a delivery failed");
        // The sender waits at the limit, and for the end.
        if matches!(
            self.outstanding.fetch_sub(1, Ordering::AcqRel) - 1,
            IN_FLIGHT_LOW | 0
        ) {
            self.sender.unpark();
        }
    }
}

const IN_FLIGHT_LOW: usize = IN_FLIGHT * 9 / 10;

fn threaded(load: &Load) -> Sample {
    let counter = Counter {
        outstanding: AtomicUsize::new(0),
        sender: std::thread::current(),
    };
    let producer: ThreadedProducer<Counter> = config(&load.brokers)
        .create_with_context(counter)
        .expect("a producer");
    let counter = Arc::clone(producer.client().context());
    let wait_below = |limit: usize| {
        while counter.outstanding.load(Ordering::Acquire) > limit {
            std::thread::park();
        }
    };
    let send = || {
        let payload = load.payload.clone();
        let mut record = BaseRecord::<(), [u8]>::to(&load.topic).payload(&payload[..]);
        if load.header {
            record = record.headers(header());
        }
        counter.outstanding.fetch_add(1, Ordering::AcqRel);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("enqueued");
    };
    (0..WARM_UP).for_each(|_| send());
    wait_below(0);
    let clock = Clock::start();
    for _ in 0..load.records {
        if counter.outstanding.load(Ordering::Acquire) >= IN_FLIGHT {
            wait_below(IN_FLIGHT_LOW);
        }
        send();
    }
    wait_below(0);
    clock.sample("ThreadedProducer", load.records)
}

async fn future(load: &Load) -> Sample {
    let producer: FutureProducer = config(&load.brokers).create().expect("a producer");
    let send = || {
        let payload = load.payload.clone();
        let mut record = FutureRecord::<(), [u8]>::to(&load.topic).payload(&payload[..]);
        if load.header {
            record = record.headers(header());
        }
        producer
            .send_result(record)
            .map_err(|(error, _)| error)
            .expect("enqueued")
    };
    for delivery in (0..WARM_UP).map(|_| send()).collect::<Vec<_>>() {
        delivery.await.expect("not cancelled").expect("delivered");
    }
    let mut deliveries = VecDeque::with_capacity(IN_FLIGHT);
    let clock = Clock::start();
    for _ in 0..load.records {
        if deliveries.len() == IN_FLIGHT {
            let oldest: rdkafka::producer::DeliveryFuture =
                deliveries.pop_front().expect("not empty");
            oldest.await.expect("not cancelled").expect("delivered");
        }
        deliveries.push_back(send());
    }
    for delivery in deliveries {
        delivery.await.expect("not cancelled").expect("delivered");
    }
    let sample = clock.sample("FutureProducer", load.records);
    producer.flush(Duration::from_secs(5)).expect("flushed");
    sample
}

async fn ours(load: &Load) -> Sample {
    let mut settings = ProducerSettings::high_reliability(&load.brokers);
    settings = match load.header {
        true => settings.message_id_header(HEADER),
        false => settings.without_message_id_header(),
    };
    let mut publisher = Publisher::new(settings).expect("a publisher");
    let topic: Arc<str> = load.topic.as_str().into();
    let record =
        || ProducerRecord::to(Arc::clone(&topic)).payload(Bytes::from(load.payload.clone()));
    let mut warm_up = Vec::with_capacity(WARM_UP);
    for _ in 0..WARM_UP {
        poll_fn(|cx| publisher.poll_ready(cx)).await.expect("open");
        warm_up.push(publisher.call(record()));
    }
    for delivery in warm_up {
        delivery.await.expect("delivered");
    }
    let mut deliveries = VecDeque::with_capacity(IN_FLIGHT);
    let clock = Clock::start();
    for _ in 0..load.records {
        if deliveries.len() == IN_FLIGHT {
            let oldest: DeliveryFuture = deliveries.pop_front().expect("not empty");
            oldest.await.expect("delivered");
        }
        poll_fn(|cx| publisher.poll_ready(cx)).await.expect("open");
        deliveries.push_back(publisher.call(record()));
    }
    for delivery in deliveries {
        delivery.await.expect("delivered");
    }
    let sample = clock.sample("kafka-tower", load.records);
    let flushed = publisher.close(Duration::from_secs(5)).await;
    assert!(flushed.undelivered.is_empty());
    sample
}
