//! So many records a time, and no more.
//!
//! The limit is shared by all clones of the service, and by all services that are made with the same
//! layer: for all partitions of a topic, or all callers of a publisher, there is one. A token is taken
//! in `poll_ready`, so that nothing is refused: publishing waits, and a partition is left unread. Who
//! waits longest goes first; the token of one who gives up goes to the next who comes.
//!
//! It is a token bucket: what was not used up to now may be used at once, up to
//! [`burst`](RateLimitLayer::burst). Over any span of time no more pass than the rate allows and one
//! burst.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use kafka_tower::{BoxError, ConsumerRecord, layers::RateLimitLayer};
//! use tokio::time::Instant;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let mut service = ServiceBuilder::new()
//!     .layer(RateLimitLayer::new(10, Duration::from_secs(1)).burst(1))
//!     .service(service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(())));
//!
//! let started = Instant::now();
//! for offset in 0..3 {
//!     let record = ConsumerRecord::builder("orders", 0, offset).build();
//!     service.ready().await?.call(record).await?;
//! }
//! assert!(started.elapsed() >= Duration::from_millis(200));
//! # Ok(())
//! # }
//! ```

mod bucket;
mod layer;
mod service;

pub use self::layer::RateLimitLayer;
pub use self::service::RateLimit;
