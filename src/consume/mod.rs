//! The consumer: records out of Kafka into a `tower::Service`, and offsets back.

mod app;
mod control;
mod driver;
mod error;
mod lane;
mod serve;
mod settings;
mod summary;

pub use self::app::App;
pub use self::error::ServeError;
pub use self::serve::{Serve, serve};
pub use self::settings::{AssignmentStrategy, Consumer, ConsumerSettings, OffsetReset};
pub use self::summary::{StopReason, Summary, Undone};
