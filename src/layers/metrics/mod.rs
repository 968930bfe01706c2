//! What records go through, how long that takes and what comes of it, told to metrics of any kind.
//!
//! Of each call that ended, [`Metrics`] is given one [`Observation`]: plain data. A closure is the
//! simplest one; it is called with a name, a value and fields, once for each of these:
//!
//! | name | value | |
//! |---|---|---|
//! | `messaging.client.operation.duration` | seconds | publishing, retries included |
//! | `messaging.client.sent.messages` | 1 | publishing |
//! | `messaging.process.duration` | seconds | consuming, each attempt |
//! | `messaging.client.consumed.messages` | 1 | consuming, each attempt |
//! | `kafka_tower.retries` | how many | attempts that were, or are to be, repeated |
//! | `kafka_tower.dead_letters` | 1 | the record went to another topic |
//! | `kafka_tower.deferrals` | 1 | consuming: put off without counting an attempt |
//!
//! Names and fields are those of OpenTelemetry's conventions, see [`otel::semconv`](crate::otel::semconv);
//! with the feature `otel` there is an implementation that gives them to OpenTelemetry.
//!
//! The layer belongs outside of all others but tracing. Inside of a retry layer, publishing, each attempt
//! is a record of its own.
//!
//! # Labels are bounded
//!
//! Nothing is labelled by a key, an id or a payload. `messaging.destination.name` is the topic, or the
//! route where only a prefix or the fallback matched ([`MatchedRoute`](crate::MatchedRoute)). A layer and
//! its clones name 100 destinations at the most ([`max_destinations`](MetricsLayer::max_destinations)),
//! those that came first; others are `_OTHER`. `error.type` is there for failures only: librdkafka's name
//! of the error code, `panic`, `timeout`, `dead_letter`, or the [`ErrorClass`](crate::ErrorClass).
//!
//! A call that is dropped before its end is not observed. Metrics that panic are logged and harm nobody.
//!
//! # Example
//!
//! ```
//! use kafka_tower::{ConsumerRecord, BoxError, layers::metrics::{Field, MetricsLayer}};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! let handler = ServiceBuilder::new()
//!     .layer(MetricsLayer::new(|name: &'static str, value: f64, fields: &[Field<'_>]| {
//!         println!("{name} {value} {fields:?}");
//!     }))
//!     .service(service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(())));
//!
//! handler.oneshot(ConsumerRecord::builder("orders", 0, 7).build()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A metrics library mostly wants the observation itself, here the `prometheus` crate:
//!
//! ```
//! # mod prometheus {
//! #     pub struct HistogramVec; pub struct Histogram;
//! #     impl HistogramVec { pub fn with_label_values(&self, _: &[&str]) -> Histogram { Histogram } }
//! #     impl Histogram { pub fn observe(&self, _: f64) {} }
//! # }
//! use kafka_tower::layers::metrics::{Metrics, Observation};
//!
//! struct Seconds(prometheus::HistogramVec);
//!
//! impl Metrics for Seconds {
//!     fn observe(&self, call: &Observation<'_>) {
//!         let labels = [call.destination, call.disposition.as_str()];
//!         self.0.with_label_values(&labels).observe(call.duration.as_secs_f64());
//!     }
//! }
//! ```

mod destinations;
mod future;
mod judge;
mod layer;
mod observation;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::MetricsLayer;
pub use self::observation::{Disposition, Field, Metrics, Observation};
pub use self::service::MetricsService;
