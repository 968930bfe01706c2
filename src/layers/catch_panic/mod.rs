//! A panic becomes an error of the record at hand.
//!
//! It is caught in the future, in `call`, and in `poll_ready`, where it fails the record that is called
//! next. The error is a [`PanicError`](crate::PanicError) with the message of the panic, and retriable
//! unless a classifier says otherwise.
//!
//! The consumer catches panics as well, at the very end: with this layer inside of retry and
//! dead-letter layers, they are repeated and moved like other failures. State that the service shares
//! may be half changed after a panic; a poisoned lock says so.
//!
//! It catches nothing where panics abort the process (`panic = "abort"`).
//!
//! # Example
//!
//! ```
//! use kafka_tower::{BoxError, ConsumerRecord, find_error, PanicError, layers::CatchPanicLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! async fn on_order(record: ConsumerRecord) -> Result<(), BoxError> {
//!     assert!(record.payload().is_some(), "a tombstone");
//!     Ok(())
//! }
//!
//! # #[tokio::main]
//! # async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(CatchPanicLayer::new())
//!     .service(service_fn(on_order));
//! let tombstone = ConsumerRecord::builder("orders", 0, 7).build();
//! let error = service.oneshot(tombstone).await.unwrap_err();
//! let panic: &PanicError = find_error(&*error).expect("a panic");
//! assert_eq!(panic.message(), "a tombstone");
//! # }
//! ```

mod future;
mod layer;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::CatchPanicLayer;
pub use self::service::CatchPanic;
