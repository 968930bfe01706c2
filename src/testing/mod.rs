//! Kafka for tests and first steps (feature `testing`).

mod embedded;
mod kafka;

pub use self::embedded::{EmbeddedKafka, Request};
pub use self::kafka::TestKafka;
