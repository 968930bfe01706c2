//! Publish to and consume from Apache Kafka as `tower` services.

mod client;
mod consume;
mod error;
mod publish;
mod record;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::consume::{
    App, AssignmentStrategy, Consumer, ConsumerSettings, OffsetReset, Serve, ServeError,
    StopReason, Summary, Undone, serve,
};
pub use self::error::{BoxError, ConfigError, ErrorClass, Persistence, PublishError};
pub use self::publish::{
    Acks, Compression, DeliveryFuture, Flushed, Partitioner, ProducerSettings, PublishExt,
    Publisher,
};
pub use self::record::{
    ConsumerRecord, ConsumerRecordBuilder, Delivery, Extensions, Headers, IntoBytes, MessageId,
    Outcome, ProducerRecord,
};
