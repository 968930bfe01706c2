//! What can go wrong, and what it means for the record at hand.

mod chain;
mod class;
mod classified;
mod classify;
mod config;
#[cfg(feature = "json")]
mod json;
mod panic;
mod publish;
mod rejection;
mod retry;

pub use self::chain::find_error;
pub(crate) use self::chain::{as_type, boxed, causes, cut, message};
pub use self::class::{ErrorClass, Persistence};
pub use self::classified::Classified;
pub use self::classify::{Classifier, Classify};
pub use self::config::ConfigError;
#[cfg(feature = "json")]
pub use self::json::JsonError;
pub use self::panic::PanicError;
pub(crate) use self::panic::let_go;
pub use self::publish::PublishError;
pub use self::rejection::Rejection;
pub(crate) use self::retry::Failures;
pub use self::retry::{Failure, GaveUp, RetryError};

/// Any error, boxed: tower's own convention.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
