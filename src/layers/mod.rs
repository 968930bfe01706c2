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
//! From the outside in: tracing, metrics, message id, tracking, key order, dead-letter, retry, circuit breaker, rate limit,
//! timeout, catch-panic. In another order:
//!
//! | | |
//! |---|---|
//! | dead-letter inside of retry | the first failure is a dead letter; publishing, it isn't repeated either |
//! | catch-panic outside of retry | a panic is not repeated |
//! | circuit breaker outside of retry | publishing, it sees one failure where there were several; consuming, it sees each |
//! | timeout outside of retry | publishing, it ends the waiting between attempts too, and its error is one of which Kafka may have written the record |
//! | metrics inside of retry | publishing, each attempt is measured as a record of its own |
//! | key order inside of retry | the second of a key passes the first while that waits |
//! | tracing inside of retry | publishing, each attempt is a span of its own |
//! | tracing inside of dead-letter | the dead letter is written outside of the span, and its trace goes on from the sender's |
//! | tracking inside of retry | each attempt is told as a record of its own |
//!
//! # tower's own layers
//!
//! `timeout`, `concurrency_limit`, `GlobalConcurrencyLimitLayer`, the `map_*` and `filter` fit on both
//! sides. A handler that timed out was dropped, and is retriable. A publish that timed out is on its way
//! nevertheless: it may yet be delivered, so a retry layer repeats it only with
//! [`accept_duplicates`](RetryLayer::accept_duplicates); mostly the publisher's own delivery timeout is the
//! better one. `rate_limit` can't be cloned; [`RateLimitLayer`] takes its place. `hedge` would publish
//! twice.

mod builder;
pub mod catch_panic;
pub mod circuit_breaker;
pub mod dead_letter;
pub mod fallback;
pub mod key_order;
pub mod message_id;
pub mod metrics;
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
