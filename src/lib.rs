//! Publish to and consume from Apache Kafka as `tower` services.
//!
//! * [`Publisher`] is a `tower::Service` that takes a [`ProducerRecord`] and resolves when Kafka's
//!   delivery report arrives. A failure gives the record back, classified.
//! * [`serve`] dispatches each [`ConsumerRecord`] through a service of yours, with whatever
//!   `tower::Layer`s stand around it, and commits only what is complete.
//!
//! librdkafka, through the `rdkafka` crate, is the client underneath.
//!
//! # Example
//!
//! ```
//! use kafka_tower::{
//!     BoxError, ConsumerRecord, ProducerRecord, PublishExt, serve, testing::EmbeddedKafka,
//! };
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! let kafka = EmbeddedKafka::start().await?;
//! kafka.publisher().send(ProducerRecord::to("orders").key("42").payload("tea")).await?;
//!
//! let (handled, mut done) = tokio::sync::mpsc::channel(1);
//! let handler = tower::service_fn(move |record: ConsumerRecord| {
//!     let handled = handled.clone();
//!     async move { handled.send(record).await }
//! });
//! let summary = serve(kafka.consumer("order-service", ["orders"]), handler)
//!     .with_graceful_shutdown(async move {
//!         let record = done.recv().await.expect("a record");
//!         assert_eq!(record.payload(), Some(&b"tea"[..]));
//!     })
//!     .await?;
//! assert_eq!(summary.acked, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Cargo features
//!
//! * `json` (default): [`ProducerRecord::json`]
//! * `axum`: the module [`health`], with `/livez`, `/readyz` and `/metrics`
//! * `anyhow`: errors inside an `anyhow::Error` are classified by their own type
//! * `otel`: [`otel`] with metrics by OpenTelemetry's API, and its context in the headers of records,
//!   see [`layers::trace`]
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
    PanicError, Persistence, PublishError, Rejection, RetryError, find,
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
#[cfg(all(doctest, feature = "otel", feature = "testing"))]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/layers.md")]
    struct Layers;
    #[doc = include_str!("../docs/security.md")]
    struct Security;
}
