//! Topics with types: name, key, value and codec in one constant, for those who publish and for those who
//! consume. One topic holds JSON, the other has a codec of its own. What doesn't decode becomes a dead
//! letter that says where in the payload it went wrong.
//!
//! ```text
//! cargo run --example typed_topics
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It prints about this:
//!
//! ```text
//! handled:
//!   order 42: 2 of tea
//!   order 42 is cancelled
//!   the kitchen has 21.5 °C
//! dead letters:
//!   the payload of the record can't be read: … at line 1 column 29, in `amount`
//!   the payload of the record can't be read: no number at byte 8
//! ```

use bytes::Bytes;
use kafka_tower::{
    BoxError, Codec, Consumer, ProducerRecord, ProducerSettings, PublishExt, Publisher, Router,
    Summary, Topic,
    extract::{FromHeader, Header, State},
    layers::{DeadLetter, ServiceBuilderExt, dead_letter::header::MESSAGE},
    serve,
    testing::TestKafka,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tower::ServiceBuilder;

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    item: String,
    amount: u32,
}

struct Reading {
    room: String,
    celsius: f32,
}

/// Readings as text: `kitchen 21.5`.
#[derive(Clone)]
struct Line;

impl Codec<Reading> for Line {
    fn encode(&self, Reading { room, celsius }: &Reading) -> Result<Bytes, BoxError> {
        match room.contains(' ') {
            true => Err("the name of a room has no space".into()),
            false => Ok(format!("{room} {celsius}").into()),
        }
    }

    /// Its errors say where, and nothing of what is there: they come into logs and dead letters.
    fn decode(&self, payload: &[u8]) -> Result<Reading, BoxError> {
        let text = std::str::from_utf8(payload)?;
        let (room, number) = text.split_once(' ').ok_or("no space")?;
        let celsius = number.parse();
        Ok(Reading {
            room: room.to_owned(),
            celsius: celsius.map_err(|_| format!("no number at byte {}", room.len() + 1))?,
        })
    }
}

/// Values are JSON and keys are text, unless something else is said.
const ORDERS: Topic<Order> = Topic::new("orders");
/// Without keys.
const READINGS: Topic<Reading, Line, ()> = Topic::with_codec("readings", Line);

/// Key and value. A tombstone is `None`.
async fn on_order((id, order): (String, Option<Order>)) {
    match order {
        Some(order) => println!("  order {id}: {} of {}", order.amount, order.item),
        None => println!("  order {id} is cancelled"),
    }
}

async fn on_reading(reading: Reading) {
    println!("  the {} has {} °C", reading.room, reading.celsius);
}

/// Why a record died: headers have types as well.
struct Reason(String);

impl FromHeader for Reason {
    const NAME: &'static str = MESSAGE;

    fn from_header(value: &[u8]) -> Result<Self, BoxError> {
        Ok(Self(std::str::from_utf8(value)?.to_owned()))
    }
}

async fn on_dead_letter(
    State(reasons): State<UnboundedSender<String>>,
    Header(Reason(reason)): Header<Reason>,
) -> Result<(), BoxError> {
    println!("  {reason}");
    Ok(reasons.send(reason)?)
}

/// Handles what there is, and ends.
async fn handle(consumer: Consumer, app: Router) -> Result<Summary, BoxError> {
    let serving = serve(consumer, app);
    let handle = serving.handle();
    let all = async move { handle.drained().await.unwrap_or_default() };
    Ok(serving.with_graceful_shutdown(all).await?)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let kafka = TestKafka::from_env().await?;
    let brokers = kafka.bootstrap_servers();
    // Mostly the names of the constants are the topics' own; here each run has new ones.
    let orders = ORDERS.named(kafka.unique_topic(ORDERS.name(), 1).await?);
    let readings = READINGS.named(kafka.unique_topic(READINGS.name(), 1).await?);
    let dead = kafka.unique_topic("dead", 1).await?;

    let publisher = Publisher::new(ProducerSettings::high_reliability(brokers))?;
    let order = Order {
        item: "tea".to_owned(),
        amount: 2,
    };
    publisher.topic(&orders).send("42", &order).await?;
    publisher.topic(&orders).send_tombstone("42").await?;
    let reading = Reading {
        room: "kitchen".to_owned(),
        celsius: 21.5,
    };
    publisher.topic(&readings).send((), &reading).await?;
    // Somebody else, who doesn't know the types.
    for (topic, payload) in [
        (orders.name(), r#"{"item":"coffee","amount":"a"}"#),
        (readings.name(), "kitchen warm"),
    ] {
        publisher
            .send(ProducerRecord::to(topic).key("43").payload(payload))
            .await?;
    }

    println!("handled:");
    let app = Router::new()
        .route(orders.handle(on_order))
        .route(readings.handle(on_reading))
        .layer(ServiceBuilder::new().dead_letter(DeadLetter::to(publisher).topic(dead.as_str())));
    let group = format!("{}-service", orders.name());
    let summary = handle(Consumer::new(brokers, group)?, app).await?;
    assert_eq!((summary.acked, summary.moved), (3, 2));

    println!("dead letters:");
    let (reasons, mut received) = unbounded_channel();
    let app = Router::new()
        .topic(dead.as_str(), on_dead_letter)
        .with_state(reasons);
    let summary = handle(Consumer::new(brokers, format!("{dead}-service"))?, app).await?;
    assert_eq!(summary.acked, 2);
    let mut reasons = Vec::new();
    received.recv_many(&mut reasons, 2).await;
    reasons.sort();
    assert!(reasons[0].ends_with("no number at byte 8"));
    assert!(reasons[1].ends_with("at line 1 column 29, in `amount`"));
    Ok(())
}
