use std::time::Duration;

use crate::{
    client::{
        logging::Logging,
        properties::{ClientKind, Properties},
        security::Security,
    },
    error::ConfigError,
};

/// The settings of a [`Publisher`](crate::Publisher).
///
/// Start from a preset, change what you need, and give it to
/// [`Publisher::new`](crate::Publisher::new), which checks everything at once. Any property of
/// librdkafka can be [`set`](Self::set).
///
/// | | [`high_reliability`](Self::high_reliability) (default) | [`high_throughput`](Self::high_throughput) | [`low_latency`](Self::low_latency) |
/// |---|---|---|---|
/// | acknowledgements | all | all | all |
/// | idempotence | on | on | on |
/// | linger | 5 ms | 20 ms | 0 |
/// | compression | none | lz4 | none |
/// | batch | 1 MB | 1 MB, 50 000 records | 1 MB |
/// | delivery timeout | 120 s | 120 s | 30 s |
/// | records, bytes in flight | 100 000, 64 MiB | 500 000, 256 MiB | 100 000, 64 MiB |
/// | message id header | `message-id` | off | off |
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use kafka_tower::{Compression, ProducerSettings};
///
/// let settings = ProducerSettings::high_reliability("localhost:9092")
///     .client_id("orders")
///     .compression(Compression::Lz4)
///     .delivery_timeout(Duration::from_secs(60))
///     .set("socket.keepalive.enable", "true");
/// ```
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until a publisher is made from them"]
pub struct ProducerSettings {
    properties: Properties,
    max_in_flight_records: usize,
    max_in_flight_bytes: usize,
    message_id_header: Option<String>,
}

/// Who must have a record before it counts as delivered (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acks {
    /// All replicas in sync. The only choice with idempotence.
    All,
    /// The leader alone: a record is lost when the leader dies before it is copied.
    Leader,
    /// Nobody: a delivery says only that the record was sent, and tells no offset.
    None,
}

/// How batches of records are compressed (`compression.codec`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard; needs the Cargo feature `zstd`.
    Zstd,
}

/// Which partition a record goes to that names none (`partitioner`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partitioner {
    /// By the CRC-32 of the key; null and empty keys at random. librdkafka's default, and ours.
    ConsistentRandom,
    /// By the CRC-32 of the key; null and empty keys to the same partition.
    Consistent,
    /// By the murmur2 hash of the key; null keys at random. The same as the Java client's.
    Murmur2Random,
    /// By the murmur2 hash of the key; null keys to the same partition.
    Murmur2,
    /// By the FNV-1a hash of the key; null keys at random. The same as Sarama's.
    Fnv1aRandom,
    /// By the FNV-1a hash of the key; null keys to the same partition.
    Fnv1a,
    /// At random, whatever the key.
    Random,
}

impl ProducerSettings {
    /// Loses nothing and duplicates nothing that the client can help: idempotent, acknowledged by
    /// all replicas in sync, and each record carries its message id.
    ///
    /// `brokers` is a list of `host:port`, separated by commas (`bootstrap.servers`).
    pub fn high_reliability(brokers: impl Into<String>) -> Self {
        let settings = Self {
            properties: Properties::default(),
            max_in_flight_records: 100_000,
            max_in_flight_bytes: 64 << 20,
            message_id_header: Some("message-id".to_owned()),
        };
        settings
            .set("bootstrap.servers", brokers)
            .acks(Acks::All)
            .idempotence(true)
            .linger(Duration::from_millis(5))
            .delivery_timeout(Duration::from_secs(120))
    }

    /// Large, compressed batches and room for many records; as safe as the others, at the price of
    /// 20 ms more latency.
    pub fn high_throughput(brokers: impl Into<String>) -> Self {
        Self::high_reliability(brokers)
            .without_message_id_header()
            .linger(Duration::from_millis(20))
            .compression(Compression::Lz4)
            .max_in_flight_records(500_000)
            .max_in_flight_bytes(256 << 20)
            .set("batch.num.messages", "50000")
    }

    /// Sends each record at once; as safe as the others, at the price of more and smaller requests.
    pub fn low_latency(brokers: impl Into<String>) -> Self {
        Self::high_reliability(brokers)
            .without_message_id_header()
            .linger(Duration::ZERO)
            .delivery_timeout(Duration::from_secs(30))
            // Before that, so that a topic that doesn't exist is told as such.
            .set("topic.metadata.propagation.max.ms", "20000")
            .set("socket.nagle.disable", "true")
    }

    /// The name by which the brokers log and limit this client (`client.id`); `rdkafka` without.
    pub fn client_id(self, id: impl Into<String>) -> Self {
        self.set("client.id", id)
    }

    /// Who must have a record before it counts as delivered (`acks`). All in every preset.
    pub fn acks(self, acks: Acks) -> Self {
        let value = match acks {
            Acks::All => "all",
            Acks::Leader => "1",
            Acks::None => "0",
        };
        self.set("acks", value)
    }

    /// Whether the client's own retries can neither duplicate nor reorder (`enable.idempotence`).
    /// On in every preset; needs [`Acks::All`].
    pub fn idempotence(self, on: bool) -> Self {
        self.set("enable.idempotence", on.to_string())
    }

    /// How batches are compressed (`compression.codec`).
    pub fn compression(self, compression: Compression) -> Self {
        let value = match compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        };
        self.set("compression.codec", value)
    }

    /// How long a record may wait for others to share its batch (`linger.ms`, in milliseconds and
    /// fractions of one).
    pub fn linger(self, linger: Duration) -> Self {
        let milliseconds = linger.as_secs_f64() * 1000.0;
        self.set("linger.ms", milliseconds.to_string())
    }

    /// How long a record may take in all, the client's own retries included, before its publish
    /// fails (`message.timeout.ms`, rounded up to milliseconds). librdkafka looks about once a
    /// second. Not zero: that would mean to wait for ever.
    pub fn delivery_timeout(self, timeout: Duration) -> Self {
        let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
        self.set("message.timeout.ms", milliseconds.to_string())
    }

    /// The largest record in bytes that the client accepts, key, headers and some 40 bytes of
    /// librdkafka's own included (`message.max.bytes`; 1 000 000 without). The topic's own `max.message.bytes` holds as well.
    pub fn max_record_bytes(self, bytes: usize) -> Self {
        self.set("message.max.bytes", bytes.to_string())
    }

    /// Which partition a record goes to that names none (`partitioner`).
    pub fn partitioner(self, partitioner: Partitioner) -> Self {
        let value = match partitioner {
            Partitioner::ConsistentRandom => "consistent_random",
            Partitioner::Consistent => "consistent",
            Partitioner::Murmur2Random => "murmur2_random",
            Partitioner::Murmur2 => "murmur2",
            Partitioner::Fnv1aRandom => "fnv1a_random",
            Partitioner::Fnv1a => "fnv1a",
            Partitioner::Random => "random",
        };
        self.set("partitioner", value)
    }

    /// How many records may be on their way at once; `poll_ready` waits for room.
    pub fn max_in_flight_records(mut self, records: usize) -> Self {
        self.max_in_flight_records = records;
        self
    }

    /// How many bytes of keys, payloads and headers may be on their way at once. A record is let in
    /// while the count is below the limit, whatever its own size.
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.max_in_flight_bytes = bytes;
        self
    }

    /// Sends each record's message id in a header of this name, unless the record has one of that
    /// name already.
    pub fn message_id_header(mut self, name: impl Into<String>) -> Self {
        self.message_id_header = Some(name.into());
        self
    }

    /// Sends no message id. It is returned in the [`Delivery`](crate::Delivery) all the same.
    pub fn without_message_id_header(mut self) -> Self {
        self.message_id_header = None;
        self
    }

    /// Proves who this client is and says whom it trusts, in place of whatever was set for that before;
    /// no security at all without.
    pub fn security(mut self, security: impl Into<Security>) -> Self {
        security.into().apply(&mut self.properties);
        self
    }

    /// Sets any [property of librdkafka][properties].
    ///
    /// An unknown name, a value that librdkafka refuses, and a property that would undo what this
    /// crate promises are reported by [`Publisher::new`](crate::Publisher::new).
    ///
    /// [properties]: https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.set(name, value);
        self
    }

    pub(super) fn check(&self) -> Result<Checked, ConfigError> {
        let mut problems = self.properties.problems(ClientKind::Producer);
        problems.extend(self.contradictions());
        if !problems.is_empty() {
            return Err(ConfigError::new(problems));
        }
        let mut properties = self.properties.clone();
        // Both of librdkafka's own limits are off: ours are the only ones, so that a full queue is
        // `Pending` and never an error.
        properties.set("queue.buffering.max.messages", "0");
        properties.set("queue.buffering.max.kbytes", i32::MAX.to_string());
        let mut config = properties.client_config();
        config.set_log_level(Logging::level());
        Ok(Checked {
            config,
            delivery_timeout: Duration::try_from_secs_f64(
                self.number("message.timeout.ms").unwrap_or(300_000.0) / 1000.0,
            )
            .unwrap_or(Duration::MAX),
            max_in_flight_records: self.max_in_flight_records,
            max_in_flight_bytes: self.max_in_flight_bytes,
            message_id_header: self.message_id_header.clone(),
        })
    }

    fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, problem: &str| {
            if wrong {
                problems.push(problem.to_owned());
            }
        };
        let idempotent = self.properties.get("enable.idempotence").map(is_true) != Some(false);
        let acks = self.properties.get("acks");
        refuse(
            idempotent && !matches!(acks, Some("all" | "-1") | None),
            "idempotence needs `acks=all`: use `Acks::All`, or turn idempotence off",
        );
        refuse(
            idempotent && self.number("retries").is_some_and(|retries| retries < 1.0),
            "idempotence needs retries: leave `retries` out, or turn idempotence off",
        );
        refuse(
            idempotent
                && self
                    .number("max.in.flight.requests.per.connection")
                    .is_some_and(|n| n > 5.0),
            "idempotence allows at most 5 requests in flight: set \
             `max.in.flight.requests.per.connection` to 5 or less, or turn idempotence off",
        );
        refuse(
            idempotent && self.properties.get("queuing.strategy") == Some("lifo"),
            "idempotence needs `queuing.strategy=fifo`: leave it out, or turn idempotence off",
        );
        refuse(
            self.properties
                .get("transactional.id")
                .is_some_and(|id| !id.is_empty()),
            "`transactional.id` would leave every publish waiting for a transaction to begin, and \
             the publisher begins none: leave it out",
        );
        refuse(
            !idempotent
                && self
                    .properties
                    .get("enable.gapless.guarantee")
                    .is_some_and(is_true),
            "`enable.gapless.guarantee` needs idempotence: turn it on, or leave the guarantee out",
        );
        let timeout = self.number("message.timeout.ms");
        refuse(
            timeout == Some(0.0),
            "the delivery timeout (`message.timeout.ms`) is 0, which means to wait for ever: set \
             how long a record may take, in milliseconds",
        );
        let lingers_too_long = timeout
            .zip(self.number("linger.ms"))
            .is_some_and(|(timeout, linger)| timeout > 0.0 && linger >= timeout);
        refuse(
            lingers_too_long,
            "the linger (`linger.ms`) is not shorter than the delivery timeout \
             (`message.timeout.ms`): every record would time out before it is sent",
        );
        refuse(
            self.max_in_flight_records == 0,
            "`max_in_flight_records` is 0: nothing could ever be published; allow 1 or more",
        );
        refuse(
            self.max_in_flight_bytes == 0,
            "`max_in_flight_bytes` is 0: nothing could ever be published; allow 1 or more",
        );
        refuse(
            self.max_in_flight_records > tokio::sync::Semaphore::MAX_PERMITS,
            "`max_in_flight_records` is more than can be counted: allow fewer",
        );
        refuse(
            self.message_id_header
                .as_ref()
                .is_some_and(String::is_empty),
            "the message id header has no name: give one, or use `without_message_id_header`",
        );
        refuse(
            self.message_id_header
                .as_ref()
                .is_some_and(|name| name.contains('\0')),
            "the name of the message id header has a NUL: leave it out",
        );
        for name in ["queue.buffering.max.messages", "queue.buffering.max.kbytes"] {
            refuse(
                self.properties.get(name).is_some(),
                &format!(
                    "`{name}` is managed by kafka-tower, so that a full queue waits and is no \
                     error: use `max_in_flight_records` and `max_in_flight_bytes`"
                ),
            );
        }
        refuse(
            self.properties
                .get("delivery.report.only.error")
                .is_some_and(is_true),
            "`delivery.report.only.error` would leave every successful publish waiting for ever: \
             leave it out",
        );
        problems
    }

    /// librdkafka takes `1.0` for a whole number as well.
    fn number(&self, name: &str) -> Option<f64> {
        self.properties.get(name)?.trim().parse().ok()
    }
}

/// Settings without a problem, as the publisher needs them.
pub(super) struct Checked {
    pub(super) config: rdkafka::ClientConfig,
    pub(super) delivery_timeout: Duration,
    pub(super) max_in_flight_records: usize,
    pub(super) max_in_flight_bytes: usize,
    pub(super) message_id_header: Option<String>,
}

/// As librdkafka reads a boolean.
fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "t" | "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_does_not_exist_is_told_before_its_records_time_out() {
        for preset in [
            ProducerSettings::high_reliability,
            ProducerSettings::high_throughput,
            ProducerSettings::low_latency,
        ] {
            let settings = preset("127.0.0.1:1");
            let told = settings.number("topic.metadata.propagation.max.ms");
            let times_out = settings
                .number("message.timeout.ms")
                .expect("every preset says so");
            assert!(told.unwrap_or(30_000.0) < times_out, "{settings:?}");
        }
    }
}
