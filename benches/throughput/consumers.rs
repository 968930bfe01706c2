//! The consumers that are compared. Each reads a topic from its beginning, as the only member of a
//! new group.

use std::{
    future::{Future, IntoFuture},
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use kafka_tower::{App, ConsumerSettings, serve};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer, StreamConsumer},
    message::BorrowedMessage,
};
use uuid::Uuid;

use crate::run::{DEADLINE, Run};

pub(crate) const BASE: &str = "BaseConsumer";
pub(crate) const STREAM: &str = "StreamConsumer";
pub(crate) const TOWER: &str = "kafka-tower";

const POLL: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct Reader {
    brokers: String,
    topic: String,
    properties: Vec<(String, String)>,
}

impl Reader {
    pub(crate) fn new(run: &Run, topic: &str) -> Self {
        let mut reader = Self {
            brokers: run.kafka.bootstrap_servers().to_owned(),
            topic: topic.to_owned(),
            properties: run.properties.clone(),
        };
        if run.kafka.embedded().is_some() {
            // It lets a group wait for nearly a session at each rebalance.
            reader.set("session.timeout.ms", "1500");
            reader.set("heartbeat.interval.ms", "100");
        }
        reader
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.properties.push((name.to_owned(), value.to_owned()));
    }

    /// What raw users run: commits in the background, of all that was polled.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", Uuid::now_v7().to_string())
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "true")
            // As often as kafka-tower does: each commit costs the broker, and so the records beside it.
            .set("auto.commit.interval.ms", "500")
            // 1 s without: a queue whose being full has stopped the fetching runs dry.
            .set("fetch.queue.backoff.ms", "10");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    pub(crate) fn settings(&self) -> ConsumerSettings {
        let group = Uuid::now_v7().to_string();
        let mut settings = ConsumerSettings::new(&self.brokers, group).topics([&self.topic]);
        for (name, value) in &self.properties {
            settings = settings.set(name, value);
        }
        settings
    }

    /// A raw consumer that is polled on a thread of its own, by `work`.
    pub(crate) async fn base<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BaseConsumer) -> T + Send + 'static,
    ) -> T {
        let consumer: BaseConsumer = self.config().create().expect("a consumer");
        consumer.subscribe(&[&self.topic]).expect("subscribed");
        let work = tokio::task::spawn_blocking(move || work(&consumer));
        work.await.expect("the raw consumer")
    }

    /// Reads until `last` says that a record was the last one.
    pub(crate) async fn stream(
        &self,
        mut last: impl FnMut(&BorrowedMessage<'_>) -> bool + Send + 'static,
    ) {
        let consumer: StreamConsumer = self.config().create().expect("a consumer");
        consumer.subscribe(&[&self.topic]).expect("subscribed");
        let work = tokio::spawn(async move {
            let mut records = consumer.stream();
            while let Some(record) = records.next().await {
                match record {
                    Ok(record) if last(&record) => break,
                    Ok(_) => {}
                    Err(error) => eprintln!("{STREAM}: {error}"),
                }
            }
        });
        work.await.expect("the stream consumer");
    }
}

/// Polls until `last` says that a record was the last one.
pub(crate) fn poll(consumer: &BaseConsumer, mut last: impl FnMut(&BorrowedMessage<'_>) -> bool) {
    let start = Instant::now();
    loop {
        match consumer.poll(POLL) {
            Some(Ok(record)) if last(&record) => break,
            Some(Ok(_)) => {}
            Some(Err(error)) => eprintln!("{BASE}: {error}"),
            // The runtime waits for this thread whatever happens.
            None => assert!(start.elapsed() < DEADLINE, "records are missing"),
        }
    }
}

/// Serves until `end`, on the runtime's own threads.
pub(crate) async fn tower<A>(settings: ConsumerSettings, app: A, end: impl Future<Output = ()>)
where
    A: App + Send + Sync + 'static,
{
    let consumer = settings.build().expect("sound settings");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = serve(consumer, app).with_graceful_shutdown(async move {
        let _ = stopped.await;
    });
    let mut serving = pin!(tokio::spawn(serving.into_future()));
    tokio::select! {
        result = &mut serving => panic!("ended early: {result:?}"),
        () = end => {}
    }
    drop(stop);
    let summary = serving.await.expect("no panic").expect("no error");
    assert!(summary.undone.is_empty(), "{summary}");
}
