//! One record at a time, linger 0: how long one takes from the call to its delivery.

use std::{
    future::Future,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use kafka_tower::{ProducerRecord, ProducerSettings, PublishExt, Publisher, testing::TestKafka};
use rdkafka::{
    ClientConfig, ClientContext,
    message::DeliveryResult,
    producer::{BaseRecord, FutureProducer, FutureRecord, ProducerContext, ThreadedProducer},
};

use crate::report::{Clock, Report, Sample};

const WARM_UP: usize = 200;

pub(crate) async fn round(kafka: &TestKafka, report: &mut Report, records: usize) {
    let topic = kafka.unique_topic("bench", 4).await.expect("a topic");
    let brokers = kafka.bootstrap_servers();

    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("socket.nagle.disable", "true");

    let (raw_config, raw_topic) = (config.clone(), topic.clone());
    let raw = tokio::task::spawn_blocking(move || threaded(&raw_config, &raw_topic, records));
    report.add(raw.await.expect("the raw producer"));

    let producer: FutureProducer = config.create().expect("a producer");
    let send = || {
        let record = FutureRecord::<(), [u8]>::to(&topic).payload(&[b'x'; 100]);
        let delivery = producer.send_result(record).map_err(|(error, _)| error);
        async {
            delivery
                .expect("enqueued")
                .await
                .expect("not cancelled")
                .expect("delivered")
        }
    };
    report.add(measure("FutureProducer", records, send).await);

    let settings = ProducerSettings::low_latency(brokers);
    let publisher = Publisher::new(settings).expect("a publisher");
    let topic: Arc<str> = topic.as_str().into();
    let send = || {
        let record = ProducerRecord::to(Arc::clone(&topic)).payload(&[b'x'; 100]);
        let delivery = publisher.send(record);
        async { delivery.await.expect("delivered") }
    };
    report.add(measure("kafka-tower", records, send).await);
}

struct Signal(mpsc::SyncSender<()>);

impl ClientContext for Signal {}

impl ProducerContext for Signal {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "a delivery failed");
        self.0.send(()).expect("the sender waits");
    }
}

fn threaded(config: &ClientConfig, topic: &str, records: usize) -> Sample {
    let (signal, delivered) = mpsc::sync_channel(1);
    let producer: ThreadedProducer<Signal> = config
        .create_with_context(Signal(signal))
        .expect("a producer");
    let send = || {
        let record = BaseRecord::<(), [u8]>::to(topic).payload(&[b'x'; 100]);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("enqueued");
        delivered.recv().expect("a report");
    };
    (0..WARM_UP).for_each(|_| send());
    let mut times = Vec::with_capacity(records);
    let clock = Clock::start();
    for _ in 0..records {
        let start = Instant::now();
        send();
        times.push(start.elapsed());
    }
    clock
        .sample("ThreadedProducer", records)
        .with_latency(times)
}

async fn measure<F: Future>(subject: &'static str, records: usize, send: impl Fn() -> F) -> Sample {
    for _ in 0..WARM_UP {
        send().await;
    }
    let mut times: Vec<Duration> = Vec::with_capacity(records);
    let clock = Clock::start();
    for _ in 0..records {
        let start = Instant::now();
        send().await;
        times.push(start.elapsed());
    }
    clock.sample(subject, records).with_latency(times)
}
