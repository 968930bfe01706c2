//! A span for each record, with OpenTelemetry's names, and one trace from sender to consumers.
//!
//! The layer belongs outside of all others. Then one span `send orders` lasts over all attempts of a publish,
//! each repetition an event in it; and a span `process orders` lasts over one attempt at a consumed record
//! (over all of them with [`RetryLayer::in_place`](crate::layers::RetryLayer::in_place)).
//!
//! With feature `otel`, and [`tracing_opentelemetry`]'s layer in the subscriber, the spans are
//! OpenTelemetry's: the context of a send span travels in the record's headers, and process spans are its
//! children in other processes. Without one of both the same spans are made, for whatever subscriber there
//! is, and headers are left alone. Without a subscriber, or where the level is filtered out, a record costs
//! some tens of nanoseconds.
//!
//! # The spans
//!
//! | span, and its target | kind | parent | links |
//! |---|---|---|---|
//! | `send orders`, `kafka_tower::send` | producer | the span that is entered | to a context that the sender put into the headers |
//! | `process orders`, `kafka_tower::process` | consumer | the send span | to the send span |
//! | `poll orders`, `kafka_tower::poll` | client | none | to the send spans, 128 at the most |
//! | `commit orders`, `kafka_tower::commit` | client | the process span, where it is one record's | to the process spans otherwise, 128 at the most |
//!
//! The topic in the name gives way to a [`MatchedRoute`](crate::MatchedRoute). Attributes are those of
//! [`otel::semconv`](crate::otel::semconv), in the version that [`TraceLayer::semconv`] sets. Group, client
//! and server are known where the layer is told: [`TraceLayer::group`], [`client_id`](TraceLayer::client_id),
//! [`server`](TraceLayer::server). Payloads never appear, keys and sizes only by
//! [`DefaultMakeSpan::include_key`] and [`include_body_size`](DefaultMakeSpan::include_body_size), the
//! messages of errors only by [`DefaultOnFailure::include_messages`]. (What other layers and the handler log
//! inside of a span is theirs: a subscriber may show it as an event.)
//!
//! A span is an error when the record has failed for good: an `Err`, or an
//! [`Outcome::DeadLetter`](crate::Outcome::DeadLetter) that no layer took up. An attempt that is going to be
//! repeated (`Retry`, `Defer`) and a consumed record that was moved are not; `kafka_tower.outcome` tells them
//! apart (`delivered`, `failed`, or `moved` to a dead letter, of a publish; `acked`, `skipped`, `moved`, `retried`,
//! `deferred`, `dead_letter`, `stopped` or `failed` of a consumed record). A span whose future was dropped,
//! by a timeout outside or when a partition is revoked, has no outcome, and a send span then neither partition
//! nor id: it gets these at its end.
//!
//! # What travels in the headers
//!
//! What OpenTelemetry's global propagator says: without one, nothing. With W3C's it is `traceparent`,
//! `tracestate` and `baggage`, see [`otel::propagation`](crate::otel::propagation).
//!
//! * A context that the sender has put into a record's headers stays, and the send span links to it.
//! * One that came along from elsewhere gives way: in a copy that
//!   [`Record::to_producer_record`](crate::Record::to_producer_record) made, and in a record that an error
//!   gave back.
//! * A dead letter carries on the trace in which its record died: by the send span of a trace layer around
//!   the dead-letter publisher, else by the process span itself.
//! * What strangers have written is read with care (only text, of bounded length), and not at all with
//!   [`TraceRelation::Unrelated`].
//!
//! # Polls and commits
//!
//! The consumer makes these itself, with and without the layer, at `DEBUG`: there are many, and a service
//! that exports at `INFO` has neither them nor their cost. `kafka_tower::poll=debug` in a filter turns them
//! on. [`ConsumerSettings::semconv`](crate::ConsumerSettings::semconv) is the version of their names.
//!
//! A poll span is for what was read from one partition at once. Kafka's client fetches ahead of that, so the
//! span lasts no longer than the reading, and says nothing of the network. A commit span is for one
//! partition and lasts until Kafka's answer; it knows of those records that passed a trace layer.
//!
//! # Example
//!
//! ```
//! use kafka_tower::{BoxError, ConsumerRecord, layers::TraceLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! async fn on_order(record: ConsumerRecord) -> Result<(), BoxError> {
//!     tracing::info!(offset = record.offset(), "in the record's span");
//!     Ok(())
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! let service = ServiceBuilder::new()
//!     .layer(TraceLayer::new().group("order-service").server("kafka.internal", 9092))
//!     .service(service_fn(on_order));
//! service.oneshot(ConsumerRecord::builder("orders", 0, 7).build()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Spans and what is recorded in them can be one's own:
//!
//! ```
//! use std::time::Duration;
//! use kafka_tower::{BoxError, ConsumerRecord, layers::TraceLayer};
//! use tracing::{Span, info_span, warn};
//!
//! let layer = TraceLayer::new()
//!     .make_span_with(|record: &ConsumerRecord| {
//!         info_span!(parent: None, "order", partition = record.partition())
//!     })
//!     .on_outcome(())
//!     .on_failure(|error: &BoxError, latency: Duration, _: &Span| warn!(?latency, "failed"));
//! # let _ = layer;
//! ```
//!
//! [`tracing_opentelemetry`]: https://docs.rs/tracing-opentelemetry

mod future;
mod join;
mod layer;
mod make_span;
mod on_failure;
mod on_outcome;
mod relation;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::TraceLayer;
pub use self::make_span::{DefaultMakeSpan, MakeSpan};
pub use self::on_failure::{DefaultOnFailure, OnFailure};
pub use self::on_outcome::{DefaultOnOutcome, OnOutcome};
pub use self::relation::TraceRelation;
pub use self::service::Trace;
