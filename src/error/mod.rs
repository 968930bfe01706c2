//! What can go wrong, and what it means for the record at hand.

mod class;
mod config;
mod publish;

pub use self::class::{ErrorClass, Persistence};
pub use self::config::ConfigError;
pub use self::publish::PublishError;

/// Any error, boxed: tower's own convention.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
