//! The consumer: records out of Kafka into a `tower::Service`, and offsets back.

mod app;
mod consumer;
mod control;
mod dispatch;
mod driver;
mod engine;
mod error;
mod handle;
mod lifecycle;
mod members;
mod metadata;
mod policy;
mod prefix;
mod serve;
mod settings;
mod stats;
mod summary;
mod unread;
mod view;

pub use self::app::App;
pub use self::consumer::Consumer;
#[cfg(feature = "bench-internals")]
pub use self::engine::bench;
pub use self::error::ServeError;
#[cfg(feature = "otel")]
pub(crate) use self::handle::WeakHandle;
pub use self::handle::{ConsumerEnded, ConsumerHandle, NotAssigned};
pub use self::lifecycle::Lifecycle;
pub use self::policy::{OnUnhandled, Ordering};
pub(crate) use self::prefix::includes as prefix_includes;
pub use self::serve::{Serve, serve};
pub use self::settings::{AssignmentStrategy, ConsumerSettings, OffsetReset};
pub use self::stats::ConsumerStats;
pub use self::summary::{StopReason, Summary, Undone};
pub use self::view::PartitionStatus;
