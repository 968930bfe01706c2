//! OpenTelemetry: the names of its conventions and, with the feature `otel`, metrics by its API, and trace
//! context in the headers of records.
//!
//! The feature brings in the API alone. Which SDK collects, and where it exports to, is the service's
//! choice: set its provider first, then make [`OtelMetrics`], since what was made before stays without.
//!
//! # Example
//!
//! ```
//! # #[cfg(feature = "otel")] {
//! use kafka_tower::{BoxError, ConsumerRecord, layers::ServiceBuilderExt, otel::OtelMetrics};
//! use tower::{ServiceBuilder, service_fn};
//!
//! let metrics = OtelMetrics::new();
//! let handler = ServiceBuilder::new()
//!     .kafka_metrics(metrics.clone())
//!     .service(service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(())));
//! # let _ = handler;
//! # }
//! ```
//!
//! A consumer's own numbers, lag among them, are observed by its handle:
//!
//! ```no_run
//! # #[cfg(feature = "otel")]
//! # async fn run(consumer: kafka_tower::Consumer) -> Result<(), kafka_tower::BoxError> {
//! # use kafka_tower::{BoxError, ConsumerRecord, otel::OtelMetrics, serve};
//! # let (metrics, handler) = (OtelMetrics::new(), tower::service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(())));
//! let serve = serve(consumer, handler);
//! metrics.observe_consumer(&serve.handle(), "order-service");
//! serve.await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Bound instruments
//!
//! For each measurement an SDK looks for its attributes among those that it knows, which is most of what
//! the metrics of a record cost. With the feature `otel-bound-instruments` it looks once. That is an
//! experiment of OpenTelemetry's API (`experimental_metrics_bound_instruments` in `opentelemetry` and
//! `opentelemetry_sdk`), which may change it without a major release: the feature is off by default.
//!
//! Turn it on with `opentelemetry_sdk` or no SDK. Any other implementation that doesn't know of it drops the
//! durations and the numbers of messages. What comes when the SDK has as many sets of attributes as it
//! takes (2 000 unless a view says otherwise) is counted as `otel.metric.overflow` as without, and with
//! delta temporality stays there.

#[cfg(feature = "otel")]
mod metrics;

#[cfg(feature = "otel")]
pub use self::metrics::{OtelMetrics, OtelMetricsBuilder};
#[cfg(feature = "otel")]
pub use crate::telemetry::propagation;
pub use crate::telemetry::semconv;
