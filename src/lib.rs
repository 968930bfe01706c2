//! Publish to and consume from Apache Kafka as `tower` services.
//!
//! * [`Publisher`] is a `tower::Service` that takes a [`ProducerRecord`] and resolves when Kafka's
//!   delivery report arrives. A failure gives the record back, classified.
//! * [`serve`] dispatches each [`ConsumerRecord`] to the handlers of a [`Router`], or to any service
//!   of yours, with whatever `tower::Layer`s stand around it, and commits only what is complete.
//! * A [`Topic`] binds a name to the types of its keys and values, for both sides.
//!
//! librdkafka, through the `rdkafka` crate, is the client underneath.
//!
//! # Example
//!
//! ```
//! use kafka_tower::{
//!     BoxError, ProducerRecord, PublishExt, Router, extract::Json, serve, testing::EmbeddedKafka,
//! };
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     item: String,
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! let kafka = EmbeddedKafka::start().await?;
//! let order = Order { item: "tea".to_owned() };
//! kafka.publisher().send(ProducerRecord::to("orders").key("42").json(&order)?).await?;
//!
//! let (handled, mut done) = tokio::sync::mpsc::channel(1);
//! let app = Router::new().topic("orders", async move |Json(order): Json<Order>| {
//!     handled.send(order.item).await
//! });
//! let summary = serve(kafka.consumer("order-service"), app)
//!     .with_graceful_shutdown(async move {
//!         assert_eq!(done.recv().await.as_deref(), Some("tea"));
//!     })
//!     .await?;
//! assert_eq!(summary.acked, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Cargo features
//!
//! * `json` (default): [`ProducerRecord::json`], [`extract::Json`] and [`JsonCodec`]
//! * `axum`: the module [`health`], with `/livez`, `/readyz` and `/metrics`
//! * `anyhow`: errors inside an `anyhow::Error` are classified by their own type
//! * `otel`: [`otel`] with metrics by OpenTelemetry's API, and its context in the headers of records,
//!   see [`layers::trace`]
//! * `otel-bound-instruments`: an experiment of OpenTelemetry's API, see [`otel`]
//! * `testing`: the module `testing`, with a mock publisher, chaos, and an embedded broker
//! * `ssl`, `ssl-vendored`, `sasl`, `zstd`, `cmake-build`: rdkafka's own, passed through

mod backoff;
mod client;
mod consume;
mod error;
#[cfg(feature = "axum")]
pub mod health;
pub mod layers;
pub mod otel;
mod publish;
mod record;
pub mod router;
mod sync;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod topic;

pub use self::backoff::{Backoff, Jitter};
pub use self::client::security::{Security, Tls};
#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub use self::consume::bench;
pub use self::consume::{
    App, AssignmentStrategy, Consumer, ConsumerEnded, ConsumerHandle, ConsumerSettings,
    ConsumerStats, Lifecycle, NotAssigned, OffsetReset, OnUnhandled, Ordering, PartitionStatus,
    Serve, ServeError, StopReason, Summary, Undone, serve,
};
#[cfg(feature = "json")]
pub use self::error::JsonError;
pub use self::error::{
    BoxError, Classified, Classifier, Classify, ConfigError, ErrorClass, Failure, GaveUp,
    PanicError, Persistence, PublishError, Rejection, RetryError, find_error,
};
pub use self::publish::{
    Acks, BoxPublisher, Compression, DeliveryFuture, Flushed, Partitioner, ProducerSettings,
    PublishExt, Publisher, SendFuture, SendQueue, TopicPublisher,
};
pub use self::record::{
    ConsumerRecord, ConsumerRecordBuilder, Delivery, Extensions, Headers, IntoBytes, Lease,
    MatchedRoute, MessageId, Outcome, ProducerRecord, Record, RecordService, RecordView, Side,
    Verdict,
};
pub use self::router::{Router, extract};
pub use self::topic::{Codec, JsonCodec, RecordKey, Topic};

/// Their examples are run as tests.
#[cfg(all(doctest, feature = "axum", feature = "otel", feature = "testing"))]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/layers.md")]
    struct Layers;
    #[doc = include_str!("../docs/observability.md")]
    struct Observability;
    #[doc = include_str!("../docs/security.md")]
    struct Security;
    #[doc = include_str!("../docs/guide.md")]
    struct Guide;
    #[doc = include_str!("../docs/guide/publish.md")]
    struct Publish;
    #[doc = include_str!("../docs/guide/consume.md")]
    struct Consume;
    #[doc = include_str!("../docs/guide/errors.md")]
    struct Errors;
    #[doc = include_str!("../docs/guide/ordering.md")]
    struct Ordering;
    #[doc = include_str!("../docs/guide/rebalances.md")]
    struct Rebalances;
    #[cfg(feature = "axum")]
    #[doc = include_str!("../docs/guide/shutdown.md")]
    struct Shutdown;
    #[doc = include_str!("../docs/guide/testing.md")]
    struct Testing;
    #[doc = include_str!("../docs/guide/operations.md")]
    struct Operations;
    #[doc = include_str!("../docs/from-rdkafka.md")]
    struct FromRdkafka;
}
