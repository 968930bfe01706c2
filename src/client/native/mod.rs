//! The one room with unsafe code: calls into librdkafka that rdkafka's safe API lacks or makes
//! dear. Everything that leaves it is safe to use.

pub(crate) mod commit;
pub(crate) mod headers;
pub(crate) mod member;
pub(crate) mod message;
#[cfg(feature = "testing")]
pub(crate) mod mock;
mod outbox;
pub(crate) mod producer;
pub(crate) mod queue;
pub(crate) mod reports;
pub(crate) mod slots;
mod topic;
mod unparsed;
