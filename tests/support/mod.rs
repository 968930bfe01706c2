//! What the integration tests share.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::{collections::BTreeMap, future::Future, thread::available_parallelism, time::Duration};

use kafka_tower::Publisher;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::Headers,
};
use tokio::{runtime::Builder, time::timeout};
use tower::ServiceExt;

const DEADLINE: Duration = Duration::from_secs(180);

/// Runs a test on a runtime of its own, for three minutes at the most. A handler that blocks a thread
/// leaves another one for the rest, however few cores the machine has.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let threads = available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime");
    let result = runtime.block_on(async { timeout(DEADLINE, test).await });
    // A hanging call in the background must not hide what went wrong.
    runtime.shutdown_background();
    result.expect("the test ends within its deadline");
}

/// A record as the brokers keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Stored {
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        let header = self.headers.iter().find(|(key, _)| key == name)?;
        header.1.as_deref()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.payload.as_deref().unwrap_or_default()).expect("text")
    }
}

/// All that a topic holds, partition by partition. Not for header keys that aren't UTF-8: rdkafka
/// panics.
pub(crate) async fn log(brokers: &str, topic: &str) -> Vec<Stored> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || read(&brokers, &topic))
        .await
        .expect("the log can be read")
}

fn read(brokers: &str, topic: &str) -> Vec<Stored> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "log")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let metadata = consumer
        .fetch_metadata(Some(topic), DEADLINE)
        .expect("metadata");
    let mut assignment = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for partition in metadata.topics()[0].partitions() {
        let partition = partition.id();
        let (start, end) = consumer
            .fetch_watermarks(topic, partition, DEADLINE)
            .expect("watermarks");
        if start < end {
            ends.insert(partition, end);
            assignment
                .add_partition_offset(topic, partition, Offset::Offset(start))
                .expect("an offset");
        }
    }
    consumer.assign(&assignment).expect("an assignment");
    let mut log = Vec::new();
    while !ends.is_empty() {
        let message = match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => message,
            // A connection that ended; the client makes another one.
            Some(Err(KafkaError::MessageConsumption(_))) | None => continue,
            Some(Err(error)) => panic!("the log can't be read: {error}"),
        };
        let (partition, offset) = (message.partition(), message.offset());
        log.push(Stored {
            partition,
            offset,
            timestamp: message.timestamp().to_millis(),
            key: message.key().map(Vec::from),
            payload: message.payload().map(Vec::from),
            headers: message.headers().map_or_else(Vec::new, |headers| {
                let headers = headers.iter();
                headers
                    .map(|header| (header.key.to_owned(), header.value.map(Vec::from)))
                    .collect()
            }),
        });
        ends.retain(|&at, &mut end| at != partition || offset + 1 < end);
    }
    log.sort_by_key(|record| (record.partition, record.offset));
    log
}

/// Whether there is room for a record right now; the room stays reserved.
pub(crate) fn has_room(publisher: &mut Publisher) -> bool {
    use futures_util::FutureExt;
    match publisher.ready().now_or_never() {
        Some(ready) => {
            ready.expect("the publisher is open");
            true
        }
        None => false,
    }
}
