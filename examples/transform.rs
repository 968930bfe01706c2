//! Consume, transform, produce: a handler returns records, and what they were made of is committed when Kafka
//! has all of them. Where a publish fails, nothing is committed.
//!
//! ```text
//! cargo run --example transform
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It prints about this:
//!
//! ```text
//! a publisher for small records:
//!   stopped at baskets-…, offset 1: publishing to topic `orders-…` failed: …
//!   baskets are committed up to offset 1
//! a publisher for all:
//!   baskets are committed up to offset 3
//! invoices:
//!   42 owes 3
//!   42 owes 4
//!   42 owes 2000
//!   42 owes 5
//! ```

use kafka_tower::{
    BoxError, ConfigError, Consumer, ConsumerSettings, ProducerRecord, ProducerSettings,
    PublishError, PublishExt, Publisher, Router, ServeError, Summary, Topic, extract::State,
    router::transform, serve, testing::TestKafka,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    item: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Invoice {
    amount: usize,
}

/// What comes in, what goes on, and what goes out; each under the name of a customer.
#[derive(Clone)]
struct Topics {
    baskets: Topic<Vec<Order>>,
    orders: Topic<Order>,
    invoices: Topic<Invoice>,
}

impl Topics {
    async fn create(kafka: &TestKafka) -> Result<Self, BoxError> {
        Ok(Self {
            baskets: Topic::new("baskets").named(kafka.unique_topic("baskets", 1).await?),
            orders: Topic::new("orders").named(kafka.unique_topic("orders", 1).await?),
            invoices: Topic::new("invoices").named(kafka.unique_topic("invoices", 1).await?),
        })
    }
}

/// Several records of one. They are published side by side.
async fn split(
    State(topics): State<Topics>,
    (customer, basket): (String, Vec<Order>),
) -> Result<Vec<ProducerRecord>, PublishError> {
    let orders = basket.iter();
    orders
        .map(|order| topics.orders.record(customer.as_str(), order))
        .collect()
}

/// One of one.
async fn invoice(
    State(topics): State<Topics>,
    (customer, order): (String, Order),
) -> Result<ProducerRecord, PublishError> {
    let amount = order.item.len();
    topics.invoices.record(customer, &Invoice { amount })
}

/// In a service of yours there are layers around these; here a failure is to be seen as it is.
fn app(topics: &Topics, publisher: Publisher) -> Router {
    Router::new()
        .route(topics.baskets.handle(transform(publisher.clone(), split)))
        .route(topics.orders.handle(transform(publisher, invoice)))
        .with_state(topics.clone())
}

fn consumer(kafka: &TestKafka, group: &str) -> Result<Consumer, ConfigError> {
    let settings = match kafka.embedded() {
        // Without these a group that is joined again waits for a minute there.
        Some(embedded) => embedded.settings(group),
        None => ConsumerSettings::new(kafka.bootstrap_servers(), group),
    };
    Consumer::with_settings(settings)
}

/// Handles what there is, and ends.
async fn handle(consumer: Consumer, app: Router) -> Result<Summary, ServeError> {
    let serving = serve(consumer, app);
    let handle = serving.handle();
    serving
        .with_graceful_shutdown(async move {
            // Once all baskets are complete, all orders are there: they are asked for after that.
            for _ in 0..2 {
                handle.drained().await.unwrap_or_default();
            }
        })
        .await
}

/// Up to where a topic's one partition is committed.
fn committed(summary: &Summary, topic: &str) -> i64 {
    summary.committed[&(topic.to_owned(), 0)]
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kafka = TestKafka::from_env().await?;
    let topics = Topics::create(&kafka).await?;
    let group = format!("{}-service", topics.baskets.name());
    let settings = ProducerSettings::high_reliability(kafka.bootstrap_servers());

    let publisher = Publisher::new(settings.clone())?;
    let baskets = publisher.topic(&topics.baskets);
    for items in [&["tea", "milk"][..], &[&"long ".repeat(400)], &["sugar"]] {
        let orders = items.iter().map(|&item| Order {
            item: item.to_owned(),
        });
        baskets.send("42", &orders.collect()).await?;
    }

    println!("a publisher for small records:");
    let small = Publisher::new(settings.max_record_bytes(1000))?;
    let ended = handle(consumer(&kafka, &group)?, app(&topics, small)).await;
    let Err(ServeError::Unhandled {
        topic,
        offset,
        source,
        summary,
        ..
    }) = ended
    else {
        return Err("a basket that doesn't fail".into());
    };
    println!("  stopped at {topic}, offset {offset}: {source}");
    let until = committed(&summary, topics.baskets.name());
    println!("  baskets are committed up to offset {until}");
    assert_eq!(
        (topic.as_str(), offset, until),
        (topics.baskets.name(), 1, 1)
    );

    println!("a publisher for all:");
    let summary = handle(consumer(&kafka, &group)?, app(&topics, publisher)).await?;
    let until = committed(&summary, topics.baskets.name());
    println!("  baskets are committed up to offset {until}");
    assert_eq!(until, 3);

    println!("invoices:");
    let print = async |(customer, invoice): (String, Invoice)| {
        println!("  {customer} owes {}", invoice.amount);
    };
    let invoices = Router::new().route(topics.invoices.handle(print));
    let auditor = consumer(&kafka, &format!("{}-auditor", topics.invoices.name()))?;
    let summary = handle(auditor, invoices).await?;
    assert_eq!(summary.acked, 4);
    Ok(())
}
