//! One record at a time, linger 0: how long one takes from the call to its delivery.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use kafka_tower::{ProducerRecord, ProducerSettings, PublishExt, Publisher, testing::TestKafka};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};

use crate::report::{Clock, Report, Sample};

const WARM_UP: usize = 200;

pub async fn round(kafka: &TestKafka, report: &mut Report, records: usize) {
    let topic = kafka.unique_topic("bench", 4).await.expect("a topic");
    let brokers = kafka.bootstrap_servers();

    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("socket.nagle.disable", "true")
        .create()
        .expect("a producer");
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
    let mut sample = clock.sample(subject, records);
    times.sort_unstable();
    sample.latency = Some((times[records / 2], times[records * 99 / 100]));
    sample
}
