//! Publishing: a `tower` service that resolves on Kafka's delivery report.

mod boxed;
mod capacity;
mod core;
mod driver;
mod ext;
mod failure;
mod flushed;
mod future;
mod publisher;
mod send_queue;
mod settings;
mod topic;

pub use self::boxed::BoxPublisher;
pub use self::ext::PublishExt;
pub use self::flushed::Flushed;
pub use self::future::DeliveryFuture;
pub use self::publisher::Publisher;
#[cfg(feature = "otel")]
pub(crate) use self::publisher::WeakPublisher;
pub use self::send_queue::SendQueue;
pub use self::settings::{Acks, Compression, Partitioner, ProducerSettings};
pub use self::topic::{SendFuture, TopicPublisher};
