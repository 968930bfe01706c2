//! Orders are published, dispatched by a router through a tower stack, and accounted for.
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster.

use std::{sync::Arc, time::Duration};

use kafka_tower::{
    Backoff, BoxError, Consumer, Outcome, ProducerRecord, ProducerSettings, PublishExt, Publisher,
    Router,
    extract::Json,
    layers::{DeadLetter, ServiceBuilderExt},
    serve,
    testing::TestKafka,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u32,
    item: String,
}

/// The business end. What can't be read as an order doesn't come here: it becomes a dead letter.
async fn on_order(Json(order): Json<Order>) {
    println!("  handled: order {}, {}", order.id, order.item);
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kafka = TestKafka::from_env().await?;
    let orders = kafka.unique_topic("orders", 3).await?;
    let broken = kafka.unique_topic("orders.broken", 1).await?;
    let settings = ProducerSettings::high_reliability(kafka.bootstrap_servers());
    let publisher = Publisher::new(settings)?;

    println!("published to {orders}:");
    for (id, item) in (1..).zip(["tea", "coffee", "a broken one", "milk", "sugar"]) {
        let record = ProducerRecord::to(orders.as_str()).key(format!("customer-{id}"));
        let record = match item {
            "a broken one" => record.payload("{ this is no JSON"),
            item => record.json(&Order {
                id,
                item: item.to_owned(),
            })?,
        };
        let delivery = publisher.send(record).await?;
        println!(
            "  {item:<12} → partition {}, offset {:?}",
            delivery.partition, delivery.offset
        );
    }

    let handled = Arc::new(Semaphore::new(0));
    let done = Arc::clone(&handled);
    let stack = ServiceBuilder::new()
        .map_result(move |result: Result<Outcome, BoxError>| {
            if let Ok(Outcome::Moved { to }) = &result {
                println!("  moved:   to {}, offset {:?}", to.topic, to.offset);
            }
            done.add_permits(1);
            result
        })
        .dead_letter(DeadLetter::to(publisher.clone()).topic(broken.as_str()))
        .retry_with(Backoff::exponential(
            Duration::from_millis(100)..=Duration::from_secs(1),
        ))
        .timeout(Duration::from_secs(5))
        .catch_panic();
    let app = Router::new().topic(orders.as_str(), on_order).layer(stack);

    println!("consumed:");
    let consumer = Consumer::new(kafka.bootstrap_servers(), format!("{orders}-service"))?;
    let all_handled = async move {
        let _ = handled.acquire_many(5).await;
    };
    let summary = serve(consumer, app)
        .with_graceful_shutdown(all_handled)
        .await?;
    println!("{summary}");

    let flushed = publisher.close(Duration::from_secs(5)).await;
    assert!(flushed.undelivered.is_empty(), "everything was delivered");
    Ok(())
}
