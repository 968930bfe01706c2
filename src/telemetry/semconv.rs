//! The names that metrics and spans carry.
//!
//! What OpenTelemetry's [semantic conventions for messaging][messaging] name is called so here; those are
//! in development, and [`SemConv`] chooses between their versions. What they don't name begins with
//! `kafka_tower.`.
//!
//! [messaging]: https://opentelemetry.io/docs/specs/semconv/messaging/

/// A version of the semantic conventions.
///
/// # Example
///
/// ```
/// use kafka_tower::otel::semconv::SemConv;
///
/// assert_eq!(SemConv::default().system(), "messaging.system");
/// assert_eq!(SemConv::V1_45.system(), "messaging.system.name");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SemConv {
    /// 1.44.
    #[default]
    V1_44,
    /// 1.45, which names the messaging system and Kafka's own attributes anew.
    V1_45,
}

impl SemConv {
    /// The messaging system; its value is [`SYSTEM_KAFKA`].
    #[must_use]
    pub const fn system(self) -> &'static str {
        match self {
            Self::V1_44 => "messaging.system",
            Self::V1_45 => "messaging.system.name",
        }
    }

    /// Where these names are defined, for an instrumentation scope.
    #[must_use]
    pub const fn schema_url(self) -> &'static str {
        match self {
            Self::V1_44 => "https://opentelemetry.io/schemas/1.44.0",
            Self::V1_45 => "https://opentelemetry.io/schemas/1.45.0",
        }
    }

    /// A record's offset, an integer.
    #[must_use]
    pub const fn kafka_offset(self) -> &'static str {
        match self {
            Self::V1_44 => "messaging.kafka.offset",
            Self::V1_45 => "kafka.offset",
        }
    }

    /// A record's key, where it is text. It may hold personal data.
    #[must_use]
    pub const fn kafka_message_key(self) -> &'static str {
        match self {
            Self::V1_44 => "messaging.kafka.message.key",
            Self::V1_45 => "kafka.message.key",
        }
    }

    /// Whether a record is a tombstone; only set when it is.
    #[must_use]
    pub const fn kafka_message_tombstone(self) -> &'static str {
        match self {
            Self::V1_44 => "messaging.kafka.message.tombstone",
            Self::V1_45 => "kafka.message.tombstone",
        }
    }
}

/// The value of [`SemConv::system`].
pub const SYSTEM_KAFKA: &str = "kafka";

/// Stands for what has no name of its own, or is one name too many.
pub(crate) const OTHER: &str = "_OTHER";

/// Attributes that are the same in all versions.
pub mod attribute {
    /// What is done, one of [`operation`](super::operation).
    pub const OPERATION_NAME: &str = "messaging.operation.name";
    /// Which kind of operation that is, one of [`operation_type`](super::operation_type).
    pub const OPERATION_TYPE: &str = "messaging.operation.type";
    /// The topic.
    pub const DESTINATION_NAME: &str = "messaging.destination.name";
    /// The route that the topic matched, where that is one for many: `tenant-*`.
    pub const DESTINATION_TEMPLATE: &str = "messaging.destination.template";
    /// The partition, as a string.
    pub const DESTINATION_PARTITION_ID: &str = "messaging.destination.partition.id";
    /// The consumer group.
    pub const CONSUMER_GROUP_NAME: &str = "messaging.consumer.group.name";
    /// The client's own name, `client.id`.
    pub const CLIENT_ID: &str = "messaging.client.id";
    /// How many messages a batch holds; on batches only.
    pub const BATCH_MESSAGE_COUNT: &str = "messaging.batch.message_count";
    /// A message's id.
    pub const MESSAGE_ID: &str = "messaging.message.id";
    /// Bytes of a payload.
    pub const MESSAGE_BODY_SIZE: &str = "messaging.message.body.size";
    /// What kind of failure it was; on failures only.
    pub const ERROR_TYPE: &str = "error.type";
    /// A broker's host.
    pub const SERVER_ADDRESS: &str = "server.address";
    /// A broker's port.
    pub const SERVER_PORT: &str = "server.port";

    /// Which attempt at a record, from 1; of a publish, how many it took: this library's own.
    pub const ATTEMPT: &str = "kafka_tower.attempt";
    /// What became of a consumed record, or of a published one: this library's own.
    pub const OUTCOME: &str = "kafka_tower.outcome";
    /// The name of a circuit breaker: this library's own.
    pub const CIRCUIT_BREAKER_NAME: &str = "kafka_tower.circuit_breaker.name";
}

/// The values of [`attribute::OPERATION_NAME`]. A span is named by one of them and the destination:
/// `send orders`.
pub mod operation {
    /// A record is published.
    pub const SEND: &str = "send";
    /// Records are fetched.
    pub const POLL: &str = "poll";
    /// A record is handled.
    pub const PROCESS: &str = "process";
    /// Offsets are committed.
    pub const COMMIT: &str = "commit";
}

/// The values of [`attribute::OPERATION_TYPE`].
pub mod operation_type {
    /// Of [`SEND`](super::operation::SEND).
    pub const SEND: &str = "send";
    /// Of [`POLL`](super::operation::POLL).
    pub const RECEIVE: &str = "receive";
    /// Of [`PROCESS`](super::operation::PROCESS).
    pub const PROCESS: &str = "process";
    /// Of [`COMMIT`](super::operation::COMMIT).
    pub const SETTLE: &str = "settle";
}

/// Metrics.
pub mod metric {
    /// How long a publish took, its retries included: a histogram in `s`.
    pub const OPERATION_DURATION: &str = "messaging.client.operation.duration";
    /// How long a record was handled: a histogram in `s`.
    pub const PROCESS_DURATION: &str = "messaging.process.duration";
    /// Records that were to be published: a counter of `{message}`.
    pub const SENT_MESSAGES: &str = "messaging.client.sent.messages";
    /// Records that were handed to the service: a counter of `{message}`.
    pub const CONSUMED_MESSAGES: &str = "messaging.client.consumed.messages";

    /// Attempts that were, or are to be, repeated: a counter of `{retry}`.
    pub const RETRIES: &str = "kafka_tower.retries";
    /// Records that went to another topic: a counter of `{message}`.
    pub const DEAD_LETTERS: &str = "kafka_tower.dead_letters";
    /// Records that were put off without counting an attempt: a counter of `{message}`.
    pub const DEFERRALS: &str = "kafka_tower.deferrals";

    /// Offsets of a partition that are not complete: a gauge in `{message}`.
    pub const LAG: &str = "kafka_tower.consumer.lag";
    /// Records that are running in the service: a gauge in `{message}`.
    pub const IN_FLIGHT: &str = "kafka_tower.consumer.in_flight";
    /// Records that wait for their next attempt or their key: a gauge in `{message}`.
    pub const WAITING: &str = "kafka_tower.consumer.waiting";
    /// Partitions that are assigned: a gauge in `{partition}`.
    pub const ASSIGNED_PARTITIONS: &str = "kafka_tower.consumer.assigned_partitions";
    /// Partitions of which nothing is dispatched: a gauge in `{partition}`.
    pub const PAUSED_PARTITIONS: &str = "kafka_tower.consumer.paused_partitions";
    /// Bytes of records that are alive: a gauge in `By`.
    pub const BYTES_HELD: &str = "kafka_tower.consumer.bytes_held";
    /// How long ago the consumer last polled: a gauge in `s`.
    pub const POLL_AGE: &str = "kafka_tower.consumer.poll_age";
    /// Assignments and revocations: a counter of `{rebalance}`.
    pub const REBALANCES: &str = "kafka_tower.consumer.rebalances";
    /// Calls that were still running when their partition was given up: a counter of `{message}`.
    pub const STALE_COMPLETIONS: &str = "kafka_tower.consumer.stale_completions";
    /// Offsets that Kafka confirmed as committed: a counter of `{commit}`.
    pub const COMMITS: &str = "kafka_tower.consumer.commits";
    /// Offsets that Kafka refused, or didn't answer: a counter of `{commit}`.
    pub const COMMITS_REFUSED: &str = "kafka_tower.consumer.commits_refused";

    /// Records without a delivery report: a gauge in `{message}`.
    pub const PUBLISHER_IN_FLIGHT: &str = "kafka_tower.publisher.in_flight";
    /// Whether a circuit is closed (0), half-open (1) or open (2): a gauge without a unit.
    pub const CIRCUIT_STATE: &str = "kafka_tower.circuit_breaker.state";
    /// Circuits that are not closed: a gauge in `{circuit}`.
    pub const OPEN_CIRCUITS: &str = "kafka_tower.circuit_breaker.open_circuits";

    /// The upper bounds of a duration's buckets, in seconds.
    pub const DURATION_BUCKETS: [f64; 14] = [
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    ];
}
