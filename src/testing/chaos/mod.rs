//! Errors, delays, panics and services that aren't ready, at a rate, by a seed.
//!
//! Around a handler or a publisher it shows what the layers outside make of them. The same seed brings
//! the same: what happens to a consumed record rests on its topic, partition and offset and on how
//! often it was failed before, so that it is the same in whatever order records come; to be
//! published, and for readiness, on the count of calls.
//!
//! # Example
//!
//! Whatever goes wrong inside, a record is handled or becomes a dead letter. The time is tokio's, which
//! passes by itself when it is paused: hours of backoff in no time.
//!
//! ```
//! use std::{sync::{Arc, atomic::{AtomicUsize, Ordering}}, time::Duration};
//! use kafka_tower::{
//!     Backoff, BoxError, ConsumerRecord,
//!     layers::{DeadLetter, RetryLayer, ServiceBuilderExt},
//!     testing::{ChaosLayer, MockPublisher},
//! };
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
//! // In a function with #[tokio::test(start_paused = true)]:
//! let handled = Arc::new(AtomicUsize::new(0));
//! let count = Arc::clone(&handled);
//! let letters = MockPublisher::new();
//! let backoff = Backoff::exponential(Duration::from_secs(1)..=Duration::from_secs(60));
//! let service = ServiceBuilder::new()
//!     .dead_letter(DeadLetter::to(letters.clone()))
//!     .layer(RetryLayer::new(backoff.max_attempts(3)).in_place())
//!     .catch_panic()
//!     .layer(
//!         ChaosLayer::new(42)
//!             .errors(0.5)
//!             .panics(0.1)
//!             .delays(0.2, Duration::from_secs(1)..=Duration::from_secs(30))
//!             .unready(0.1, Duration::from_secs(5)),
//!     )
//!     .service(service_fn(move |_: ConsumerRecord| {
//!         count.fetch_add(1, Ordering::Relaxed);
//!         async { Ok::<_, BoxError>(()) }
//!     }));
//!
//! for offset in 0..100 {
//!     let record = ConsumerRecord::builder("orders", 0, offset).build();
//!     assert!(service.clone().oneshot(record).await?.is_complete());
//! }
//! let (handled, dead) = (handled.load(Ordering::Relaxed), letters.written("orders.dlq").len());
//! assert!(handled + dead == 100 && dead > 0);
//! # Ok(()) }
//! ```

mod fate;
mod future;
mod layer;
mod service;

use std::fmt;

pub use self::future::ResponseFuture;
pub use self::layer::ChaosLayer;
pub use self::service::Chaos;

/// What a [`ChaosLayer`] fails records with; [`find_error`](crate::find_error) tells it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChaosError;

impl fmt::Display for ChaosError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error of the chaos layer")
    }
}

impl std::error::Error for ChaosError {}
