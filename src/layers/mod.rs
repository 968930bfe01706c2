//! What stands between a service and Kafka, as `tower` layers.
//!
//! Each layer serves both flows unless it says otherwise, knows no other layer, and can be left out,
//! replaced, or mixed with tower's own and with yours. [`ServiceBuilderExt`] has a method for each.
//!
//! | layer | |
//! |---|---|
//! | [`CatchPanicLayer`] | a panic becomes an error |
//! | [`CircuitBreakerLayer`] | no more calls to what keeps failing |
//! | [`DeadLetter`] | another topic for what can't be handled |
//! | [`FallbackLayer`] | something else for what failed |
//! | [`KeyOrderLayer`] | equal keys one after the other (publish side) |
//! | [`MessageIdLayer`] | an id before the first attempt (publish side) |
//! | [`MetricsLayer`] | what is counted and timed |
//! | [`RateLimitLayer`] | so many records a time |
//! | [`RetryLayer`] | another attempt for what failed |
//! | [`TraceLayer`] | a span for each record, and one trace from sender to consumers |
//! | [`TrackLayer`] | what becomes of each published record (publish side) |
//!
//! # The order
//!
//! From the outside in: tracing, metrics, message id, tracking, key order, dead-letter, fallback, retry,
//! circuit breaker, rate limit, timeout, catch-panic. [`preset`] has those that most services want, in this order.
//! `docs/layers.md` says what goes wrong in other orders, and how tower's own layers fit in.

mod builder;
pub mod catch_panic;
pub mod circuit_breaker;
pub mod dead_letter;
pub mod fallback;
pub mod key_order;
pub mod message_id;
pub mod metrics;
pub mod preset;
pub mod rate_limit;
pub mod retry;
pub mod trace;
pub mod track;

pub use self::builder::ServiceBuilderExt;
pub use self::catch_panic::CatchPanicLayer;
pub use self::circuit_breaker::CircuitBreakerLayer;
pub use self::dead_letter::DeadLetter;
pub use self::fallback::FallbackLayer;
pub use self::key_order::KeyOrderLayer;
pub use self::message_id::MessageIdLayer;
pub use self::metrics::MetricsLayer;
pub use self::rate_limit::RateLimitLayer;
pub use self::retry::RetryLayer;
pub use self::trace::TraceLayer;
pub use self::track::TrackLayer;
