//! A consumer from the inside: its lifecycle, two members in one process, a handle that looks at it,
//! pauses and resumes, the end by a signal, and the summary.
//!
//! ```text
//! cargo run --example consumer
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It prints about this:
//!
//! ```text
//! two members:
//!   [creating]
//!   …
//!   [given [0]]
//!   …
//!   [received 1/0]
//!   handled 1/0
//!   …
//!   [partition 1 is read up to its end, 2]
//!   [stopping]
//!   [gave up [0]]
//!   …
//!   [stopped, 4 acked]
//! 4 acked, 0 skipped, 0 moved, 0 retried, 0 deferred
//! committed: orders-…/0 to 2, orders-…/1 to 2
//! stopped: shutdown
//! one member, paused and resumed:
//!   handled 1/2
//!   handled 1/3
//!   partition 0: lag Some(2), paused: true, last progress: None
//!   partition 1: lag Some(0), paused: false, last progress: Some(167ms)
//!   handled 0/2
//!   handled 0/3
//!   …
//! ```

use std::time::Duration;

use kafka_tower::{
    BoxError, Consumer, ConsumerHandle, ConsumerRecord, ConsumerSettings, Lifecycle,
    PartitionStatus, ProducerRecord, ProducerSettings, PublishExt, Publisher, Summary, serve,
    testing::TestKafka,
};
use tokio::{select, signal::ctrl_c, time::sleep};
use tower::service_fn;

const PARTITIONS: usize = 2;

async fn on_order(record: ConsumerRecord) -> Result<(), BoxError> {
    println!("  handled {}/{}", record.partition(), record.offset());
    Ok(())
}

/// Hooks do nothing unless they are written; these are all.
struct Print;

impl Lifecycle for Print {
    fn creating(&mut self) {
        println!("  [creating]");
    }

    fn created(&mut self) {
        println!("  [created]");
    }

    fn subscribed(&mut self, topics: &[String]) {
        println!("  [subscribed to {} topic]", topics.len());
    }

    fn assigned(&mut self, partitions: &[(String, i32)]) {
        println!("  [given {:?}]", numbers(partitions));
    }

    fn revoked(&mut self, partitions: &[(String, i32)]) {
        println!("  [gave up {:?}]", numbers(partitions));
    }

    fn record_received(&mut self, record: &ConsumerRecord) {
        println!("  [received {}/{}]", record.partition(), record.offset());
    }

    fn partition_eof(&mut self, _topic: &str, partition: i32, offset: i64) {
        println!("  [partition {partition} is read up to its end, {offset}]");
    }

    fn error(&mut self, error: &str) {
        println!("  [error: {error}]");
    }

    fn stopping(&mut self) {
        println!("  [stopping]");
    }

    fn stopped(&mut self, summary: &Summary) {
        println!("  [stopped, {} acked]", summary.acked);
    }
}

fn numbers(partitions: &[(String, i32)]) -> Vec<i32> {
    partitions.iter().map(|(_, number)| *number).collect()
}

/// Waits until each partition ends at an offset and has its lag.
async fn until(handle: &ConsumerHandle, end: i64, lag: impl Fn(&PartitionStatus) -> u64) {
    let is = |one: &PartitionStatus| one.end == Some(end) && one.lag == Some(lag(one));
    while handle.partitions().iter().filter(|one| is(one)).count() < PARTITIONS {
        sleep(Duration::from_millis(20)).await;
    }
}

fn show(handle: &ConsumerHandle) {
    for one in handle.partitions() {
        println!(
            "  partition {}: lag {:?}, paused: {}, last progress: {:.0?}",
            one.partition, one.lag, one.paused, one.last_progress
        );
    }
}

/// Two members share the partitions. Each calls the hooks, and the summary is that of both.
async fn two_members(settings: ConsumerSettings) -> Result<(), BoxError> {
    println!("two members:");
    let serving = serve(Consumer::with_settings(settings)?, service_fn(on_order))
        .members(2)
        .with_lifecycle(Print);
    let handle = serving.handle();
    let summary = serving
        .with_graceful_shutdown(async move {
            select! {
                () = until(&handle, 2, |_| 0) => {}
                _ = ctrl_c() => {}
            }
        })
        .await?;
    println!("{summary}");
    // More where a partition moved from member to member before it could be committed.
    assert!(summary.acked >= 4);
    Ok(())
}

/// A handle can be cloned and sent: to an operator's endpoint, or into the signal of the end.
async fn paused(
    settings: ConsumerSettings,
    publisher: Publisher,
    topic: String,
) -> Result<(), BoxError> {
    println!("one member, paused and resumed:");
    let serving = serve(Consumer::with_settings(settings)?, service_fn(on_order));
    let handle = serving.handle();
    let pause = async move {
        until(&handle, 2, |_| 0).await;
        handle.pause(&topic, 0).await?;
        publish(&publisher, &topic).await?;
        // Partition 0 has two records now and leaves them alone; partition 1 goes on.
        until(&handle, 4, |one| if one.paused { 2 } else { 0 }).await;
        show(&handle);
        handle.resume(&topic, 0).await?;
        until(&handle, 4, |_| 0).await;
        show(&handle);
        Ok::<_, BoxError>(())
    };
    let summary = serving
        .with_graceful_shutdown(async {
            select! {
                result = pause => result.expect("a partition that stays, and a publish"),
                _ = ctrl_c() => {}
            }
        })
        .await?;
    println!("{summary}");
    assert!(summary.acked >= 4);
    Ok(())
}

/// Publishes two orders to each partition.
async fn publish(publisher: &Publisher, topic: &str) -> Result<(), BoxError> {
    for partition in [0, 1, 0, 1] {
        let record = ProducerRecord::to(topic).payload("tea");
        publisher.send(record.partition(partition)).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kafka = TestKafka::from_env().await?;
    let topic = kafka.unique_topic("orders", PARTITIONS as i32).await?;
    let publisher = Publisher::new(ProducerSettings::low_latency(kafka.bootstrap_servers()))?;
    publish(&publisher, &topic).await?;

    let group = format!("{topic}-service");
    let settings = kafka.settings(&group).topics([&topic]);
    two_members(settings.clone()).await?;
    // The same group: it goes on where those two have stopped.
    paused(settings, publisher, topic).await
}
