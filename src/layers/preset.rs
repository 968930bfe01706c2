//! The layers that most services want, in their order.
//!
//! Each preset is a tuple of layers, outermost first: a layer itself. What needs another choice or another
//! order is written out, with the methods of [`ServiceBuilderExt`](super::ServiceBuilderExt).
//!
//! # Example
//!
//! ```
//! use kafka_tower::{
//!     Backoff, BoxError, ConsumerRecord, PublishExt, Publisher,
//!     layers::{DeadLetter, ServiceBuilderExt},
//! };
//! use tower::{ServiceBuilder, service_fn};
//!
//! async fn on_order(record: ConsumerRecord) -> Result<(), BoxError> {
//!     println!("{}", record.offset());
//!     Ok(())
//! }
//!
//! # fn stacks(publisher: Publisher) {
//! // `()`: nothing is measured.
//! let handler = ServiceBuilder::new()
//!     .consuming((), DeadLetter::to(publisher.clone()), Backoff::default())
//!     .service(service_fn(on_order));
//!
//! let orders = ServiceBuilder::new()
//!     .publishing((), DeadLetter::to(publisher.clone()), Backoff::default())
//!     .service(publisher);
//! # let _ = (handler, orders.erased());
//! # }
//! ```

use super::{
    CatchPanicLayer, DeadLetter, KeyOrderLayer, MessageIdLayer, MetricsLayer, RetryLayer,
    TraceLayer,
};

/// Around a handler: spans, metrics, dead letters, retry, and panics as errors.
pub type Consuming<M, P> = (
    TraceLayer,
    MetricsLayer<M>,
    DeadLetter<P>,
    RetryLayer,
    CatchPanicLayer,
);

/// Around a publisher: spans, metrics, an id before the first attempt, equal keys one after the other, dead
/// letters, and retry.
pub type Publishing<M, P> = (
    TraceLayer,
    MetricsLayer<M>,
    MessageIdLayer,
    KeyOrderLayer,
    DeadLetter<P>,
    RetryLayer,
);

/// The layers around a handler.
pub fn consuming<M, P>(
    metrics: impl Into<MetricsLayer<M>>,
    letters: DeadLetter<P>,
    retry: impl Into<RetryLayer>,
) -> Consuming<M, P> {
    (
        TraceLayer::new(),
        metrics.into(),
        letters,
        retry.into(),
        CatchPanicLayer::new(),
    )
}

/// The layers around a publisher.
pub fn publishing<M, P>(
    metrics: impl Into<MetricsLayer<M>>,
    letters: DeadLetter<P>,
    retry: impl Into<RetryLayer>,
) -> Publishing<M, P> {
    (
        TraceLayer::new(),
        metrics.into(),
        MessageIdLayer::new(),
        KeyOrderLayer::new(),
        letters,
        retry.into(),
    )
}
