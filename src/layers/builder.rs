use tower::{ServiceBuilder, layer::util::Stack};

use super::{
    CatchPanicLayer, CircuitBreakerLayer, DeadLetter, FallbackLayer, KeyOrderLayer, MessageIdLayer,
    MetricsLayer, RateLimitLayer, RetryLayer, TraceLayer, TrackLayer,
    preset::{self, Consuming, Publishing},
};

/// Adds this crate's layers to [`tower::ServiceBuilder`].
///
/// The first one named is the outermost. The order that is right for most services:
///
/// * consuming: tracing, metrics, dead-letter, retry, circuit breaker, tower's timeout, catch-panic;
/// * publishing: tracing, metrics, message id, tracking, key order, dead-letter, retry, circuit breaker,
///   rate limit.
///
/// `docs/layers.md` says what becomes of other orders, and [`layers::preset`](super::preset) has the layers
/// that most services want.
///
/// This trait is sealed.
///
/// # Example
///
/// ```no_run
/// use std::time::Duration;
/// use kafka_tower::{
///     Backoff, BoxError, Consumer, ConsumerRecord, Jitter, ProducerRecord, ProducerSettings,
///     PublishExt, Publisher, layers::{CircuitBreakerLayer, DeadLetter, ServiceBuilderExt, metrics::Field},
///     serve,
/// };
/// use tower::{ServiceBuilder, service_fn};
///
/// async fn on_order(record: ConsumerRecord) -> Result<(), BoxError> {
///     println!("{}", record.offset());
///     Ok(())
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BoxError> {
/// let publisher = Publisher::new(ProducerSettings::high_reliability("localhost:9092"))?;
/// let backoff = Backoff::exponential(Duration::from_millis(100)..=Duration::from_secs(5));
///
/// let metrics = |name: &'static str, value: f64, fields: &[Field<'_>]| {
///     println!("{name} {value} {fields:?}");
/// };
///
/// let orders = ServiceBuilder::new()
///     .kafka_metrics(metrics)
///     .message_id()
///     .key_order()
///     .dead_letter(DeadLetter::to(publisher.clone()))
///     .retry_with(backoff.clone().jitter(Jitter::Full))
///     .circuit_breaker(CircuitBreakerLayer::consecutive(5, Duration::from_secs(10)))
///     .service(publisher.clone());
/// orders.send(ProducerRecord::to("orders").key("42").payload("{}")).await?;
///
/// let handler = ServiceBuilder::new()
///     .kafka_metrics(metrics)
///     .dead_letter(DeadLetter::to(publisher).group("order-service"))
///     .retry_with(backoff.max_attempts(5))
///     .timeout(Duration::from_secs(10))
///     .catch_panic()
///     .service(service_fn(on_order));
/// let settings = kafka_tower::ConsumerSettings::new("localhost:9092", "order-service");
/// serve(Consumer::with_settings(settings.topics(["orders"]))?, handler).await?;
/// # Ok(())
/// # }
/// ```
pub trait ServiceBuilderExt<L>: sealed::Sealed {
    /// A panic becomes an error: [`layers::catch_panic`](super::catch_panic).
    fn catch_panic(self) -> ServiceBuilder<Stack<CatchPanicLayer, L>>;

    /// No more calls to what keeps failing: [`layers::circuit_breaker`](super::circuit_breaker).
    fn circuit_breaker(
        self,
        breaker: CircuitBreakerLayer,
    ) -> ServiceBuilder<Stack<CircuitBreakerLayer, L>>;

    /// What most handlers want around them, in its order: [`layers::preset`](super::preset).
    fn consuming<M, P>(
        self,
        metrics: impl Into<MetricsLayer<M>>,
        letters: DeadLetter<P>,
        retry: impl Into<RetryLayer>,
    ) -> ServiceBuilder<Stack<Consuming<M, P>, L>>;

    /// Another topic for what can't be handled: [`layers::dead_letter`](super::dead_letter).
    fn dead_letter<P>(self, letters: DeadLetter<P>) -> ServiceBuilder<Stack<DeadLetter<P>, L>>;

    /// Something else for what failed: [`layers::fallback`](super::fallback).
    fn fallback<F>(self, fallback: FallbackLayer<F>) -> ServiceBuilder<Stack<FallbackLayer<F>, L>>;

    /// What is counted and timed, by [metrics](super::metrics::Metrics) or a [`MetricsLayer`]:
    /// [`layers::metrics`](super::metrics).
    fn kafka_metrics<M>(
        self,
        metrics: impl Into<MetricsLayer<M>>,
    ) -> ServiceBuilder<Stack<MetricsLayer<M>, L>>;
    /// A span for each record, with the defaults: [`layers::trace`](super::trace).
    fn kafka_trace(self) -> ServiceBuilder<Stack<TraceLayer, L>>;

    /// An id before the first attempt: [`layers::message_id`](super::message_id). Publish side only.
    fn message_id(self) -> ServiceBuilder<Stack<MessageIdLayer, L>>;

    /// Equal keys one after the other: [`layers::key_order`](super::key_order). Publish side only.
    fn key_order(self) -> ServiceBuilder<Stack<KeyOrderLayer, L>>;

    /// What most publishers want around them, in its order: [`layers::preset`](super::preset).
    fn publishing<M, P>(
        self,
        metrics: impl Into<MetricsLayer<M>>,
        letters: DeadLetter<P>,
        retry: impl Into<RetryLayer>,
    ) -> ServiceBuilder<Stack<Publishing<M, P>, L>>;

    /// Another attempt for what failed, by a [`Backoff`](crate::Backoff) or a [`RetryLayer`]:
    /// [`layers::retry`](super::retry).
    fn retry_with(self, retry: impl Into<RetryLayer>) -> ServiceBuilder<Stack<RetryLayer, L>>;

    /// So many records a time: [`layers::rate_limit`](super::rate_limit).
    fn throttle(self, limit: RateLimitLayer) -> ServiceBuilder<Stack<RateLimitLayer, L>>;

    /// What becomes of each published record: [`layers::track`](super::track). Publish side only.
    fn track<H: super::track::DeliveryHooks>(
        self,
        hooks: H,
    ) -> ServiceBuilder<Stack<TrackLayer<H>, L>>;
}

mod sealed {
    pub trait Sealed {}

    impl<L> Sealed for tower::ServiceBuilder<L> {}
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    fn catch_panic(self) -> ServiceBuilder<Stack<CatchPanicLayer, L>> {
        self.layer(CatchPanicLayer::new())
    }

    fn circuit_breaker(
        self,
        breaker: CircuitBreakerLayer,
    ) -> ServiceBuilder<Stack<CircuitBreakerLayer, L>> {
        self.layer(breaker)
    }

    fn consuming<M, P>(
        self,
        metrics: impl Into<MetricsLayer<M>>,
        letters: DeadLetter<P>,
        retry: impl Into<RetryLayer>,
    ) -> ServiceBuilder<Stack<Consuming<M, P>, L>> {
        self.layer(preset::consuming(metrics, letters, retry))
    }

    fn dead_letter<P>(self, letters: DeadLetter<P>) -> ServiceBuilder<Stack<DeadLetter<P>, L>> {
        self.layer(letters)
    }

    fn fallback<F>(self, fallback: FallbackLayer<F>) -> ServiceBuilder<Stack<FallbackLayer<F>, L>> {
        self.layer(fallback)
    }

    fn kafka_metrics<M>(
        self,
        metrics: impl Into<MetricsLayer<M>>,
    ) -> ServiceBuilder<Stack<MetricsLayer<M>, L>> {
        self.layer(metrics.into())
    }

    fn kafka_trace(self) -> ServiceBuilder<Stack<TraceLayer, L>> {
        self.layer(TraceLayer::new())
    }

    fn message_id(self) -> ServiceBuilder<Stack<MessageIdLayer, L>> {
        self.layer(MessageIdLayer::new())
    }

    fn key_order(self) -> ServiceBuilder<Stack<KeyOrderLayer, L>> {
        self.layer(KeyOrderLayer::new())
    }

    fn publishing<M, P>(
        self,
        metrics: impl Into<MetricsLayer<M>>,
        letters: DeadLetter<P>,
        retry: impl Into<RetryLayer>,
    ) -> ServiceBuilder<Stack<Publishing<M, P>, L>> {
        self.layer(preset::publishing(metrics, letters, retry))
    }

    fn retry_with(self, retry: impl Into<RetryLayer>) -> ServiceBuilder<Stack<RetryLayer, L>> {
        self.layer(retry.into())
    }

    fn throttle(self, limit: RateLimitLayer) -> ServiceBuilder<Stack<RateLimitLayer, L>> {
        self.layer(limit)
    }

    fn track<H: super::track::DeliveryHooks>(
        self,
        hooks: H,
    ) -> ServiceBuilder<Stack<TrackLayer<H>, L>> {
        self.layer(TrackLayer::new(hooks))
    }
}
