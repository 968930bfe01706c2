//! Records and what becomes of them: plain data, no I/O.

mod bytes;
#[cfg(feature = "otel")]
mod carried;
pub(crate) mod chunk;
mod consumer;
mod delivery;
mod extensions;
mod flow;
mod headers;
mod lease;
mod message_id;
mod on_retry;
mod outcome;
#[cfg(feature = "otel")]
mod process_spans;
mod producer;
mod route;
mod service;

pub use self::bytes::IntoBytes;
#[cfg(feature = "otel")]
pub(crate) use self::carried::Carried;
pub use self::consumer::{ConsumerRecord, ConsumerRecordBuilder};
pub use self::delivery::Delivery;
pub use self::extensions::Extensions;
pub use self::flow::{Record, RecordView, Side, Verdict};
pub use self::headers::Headers;
pub use self::lease::Lease;
pub use self::message_id::MessageId;
pub(crate) use self::on_retry::OnRetry;
pub use self::outcome::Outcome;
pub use self::producer::ProducerRecord;
pub use self::route::MatchedRoute;
pub use self::service::RecordService;
