mod contradictions;
mod memory;

use std::time::Duration;

use super::{Consumer, Ordering};
use crate::{
    client::{
        properties::{ClientKind, Properties},
        security::Security,
        topic_name,
    },
    error::ConfigError,
    telemetry::semconv::SemConv,
};

/// The settings of a [`Consumer`].
///
/// Nothing is checked before [`build`](Self::build), which reports every problem at once. Any
/// property of librdkafka can be [`set`](Self::set).
///
/// # Example
///
/// ```
/// use kafka_tower::{Consumer, ConsumerSettings, OffsetReset};
///
/// let settings = ConsumerSettings::new("localhost:9092", "order-service")
///     .topics(["orders", "returns"])
///     .offset_reset(OffsetReset::Latest)
///     .set("isolation.level", "read_committed");
/// let consumer = Consumer::with_settings(settings)?;
/// # Ok::<_, kafka_tower::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until a consumer is made from them"]
pub struct ConsumerSettings {
    pub(super) properties: Properties,
    pub(super) topics: Vec<String>,
    pub(super) commit_interval: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) ordering: Ordering,
    pub(super) max_in_flight: usize,
    pub(super) max_waiting: usize,
    pub(super) max_offset_span: u64,
    pub(super) max_bytes: usize,
    pub(super) expected_partitions: usize,
    pub(super) dispatchers: Option<usize>,
    pub(super) spawn_handlers: bool,
    pub(super) semconv: SemConv,
}

/// Where a group starts that has committed nothing for a partition, or whose committed offset is
/// gone (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OffsetReset {
    /// At the first record that is there. The default: nothing is missed, also in a partition that
    /// is added later.
    #[default]
    Earliest,
    /// Behind the last record. librdkafka's default; it misses what was written to a new partition
    /// before the group noticed it.
    Latest,
    /// Nowhere: [`serve`](crate::serve) ends with an error, and an operator decides.
    Fail,
}

/// How a group shares its partitions out (`partition.assignment.strategy`). All members of a group
/// need the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AssignmentStrategy {
    /// Evenly, and moving as few partitions as possible; those that stay go on being consumed while
    /// others move. The default.
    #[default]
    CooperativeSticky,
    /// Topic by topic in ranges. Everything stops during a rebalance.
    Range,
    /// All partitions in turn. Everything stops during a rebalance.
    RoundRobin,
}

impl ConsumerSettings {
    /// Settings for a member of `group` (`group.id`).
    ///
    /// `brokers` is a list of `host:port`, separated by commas (`bootstrap.servers`).
    pub fn new(brokers: impl Into<String>, group: impl Into<String>) -> Self {
        let settings = Self {
            properties: Properties::default(),
            topics: Vec::new(),
            commit_interval: Duration::from_millis(500),
            drain_timeout: Duration::from_secs(30),
            ordering: Ordering::default(),
            max_in_flight: 256,
            max_waiting: 10_000,
            max_offset_span: 100_000,
            max_bytes: 128 << 20,
            expected_partitions: 16,
            dispatchers: None,
            spawn_handlers: false,
            semconv: SemConv::default(),
        };
        settings
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .offset_reset(OffsetReset::default())
            // 1 s without: a lane whose full queue had just stopped the fetching would run dry.
            .set("fetch.queue.backoff.ms", "10")
    }

    /// Adds topics to subscribe to. None is fine where the app names its own.
    ///
    /// One that doesn't exist is waited for: it is found when librdkafka asks anew, at once where none of
    /// the topics exists, and else every 5 minutes (`topic.metadata.refresh.interval.ms`). One that is
    /// deleted is given up, while the others go on, and is taken up again when it is created anew.
    pub fn topics(mut self, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Where to start without a committed offset (`auto.offset.reset`);
    /// [`Earliest`](OffsetReset::Earliest) without.
    pub fn offset_reset(self, reset: OffsetReset) -> Self {
        let value = match reset {
            OffsetReset::Earliest => "earliest",
            OffsetReset::Latest => "latest",
            OffsetReset::Fail => "error",
        };
        self.set("auto.offset.reset", value)
    }

    /// How the group shares its partitions out (`partition.assignment.strategy`);
    /// [`CooperativeSticky`](AssignmentStrategy::CooperativeSticky) without. With
    /// `group.protocol=consumer` it is the broker's to decide, and setting it is refused.
    pub fn assignment_strategy(self, strategy: AssignmentStrategy) -> Self {
        let value = match strategy {
            AssignmentStrategy::CooperativeSticky => "cooperative-sticky",
            AssignmentStrategy::Range => "range",
            AssignmentStrategy::RoundRobin => "roundrobin",
        };
        self.set("partition.assignment.strategy", value)
    }

    /// The name by which the brokers log and limit this client (`client.id`); `rdkafka` without.
    pub fn client_id(self, id: impl Into<String>) -> Self {
        self.set("client.id", id)
    }

    /// Makes this a static member (`group.instance.id`), which keeps its partitions when it comes
    /// back within the session timeout, and doesn't leave the group when it stops. Each member
    /// needs an id of its own. A dynamic member without.
    pub fn group_instance_id(self, id: impl Into<String>) -> Self {
        self.set("group.instance.id", id)
    }

    /// How long the group waits for a member that is silent (`session.timeout.ms`); 45 s without.
    /// Fractions of a millisecond are rounded up. With `group.protocol=consumer` it is the broker's to
    /// decide, and setting it is refused.
    pub fn session_timeout(self, timeout: Duration) -> Self {
        self.set("session.timeout.ms", milliseconds(timeout))
    }

    /// How long the group waits for a member during a rebalance (`max.poll.interval.ms`); 5 min
    /// without. A slow service doesn't have to fit into it: polling goes on beside it. Fractions of
    /// a millisecond are rounded up.
    pub fn max_poll_interval(self, interval: Duration) -> Self {
        self.set("max.poll.interval.ms", milliseconds(interval))
    }

    /// How often what is complete is committed; 500 ms without. It is also committed before a
    /// partition is given up and before the consumer ends.
    ///
    /// This bounds what is handled twice after a crash: about the records of one interval. A commit
    /// is one small request of each member, whatever the number of partitions; the default costs
    /// two in a second.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// How long running service calls may take to finish when the consumer ends or partitions are
    /// revoked; 30 s without. Then they are dropped.
    ///
    /// Never more than half of [`max_poll_interval`](Self::max_poll_interval): a member that
    /// drains for longer is evicted, and what it drained is handled again.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Which records of a partition may be handled side by side; [`Ordering::Key`] without.
    pub fn ordering(mut self, ordering: Ordering) -> Self {
        self.ordering = ordering;
        self
    }

    /// How many records may be running in the service at once, over all partitions of this member;
    /// 256 without.
    ///
    /// At the limit the partitions are left unread until a record is done.
    pub fn max_in_flight(mut self, records: usize) -> Self {
        self.max_in_flight = records;
        self
    }

    /// How many records of a partition may wait: for their next dispatch, after
    /// [`Retry`](crate::Outcome::Retry) or [`Defer`](crate::Outcome::Defer), or behind another one
    /// with their key; 10 000 without. They count as neither running nor read ahead.
    ///
    /// At the limit the partition is left unread until one of them is done.
    pub fn max_waiting(mut self, records: usize) -> Self {
        self.max_waiting = records;
        self
    }

    /// How far a partition may run ahead of its oldest incomplete record, in offsets; 100 000
    /// without. It bounds what is handled again after a crash while one record is stuck.
    ///
    /// At the limit the partition is left unread until the oldest is done.
    pub fn max_offset_span(mut self, offsets: u64) -> Self {
        self.max_offset_span = offsets;
        self
    }

    /// How much memory records may take, in bytes; 128 MiB without.
    ///
    /// One half is for what was read and is not complete. The other half is what librdkafka
    /// fetches ahead, a queue for each partition; it follows from this and from
    /// [`expected_partitions`](Self::expected_partitions) unless `queued.max.messages.kbytes`,
    /// `fetch.max.bytes` and `max.partition.fetch.bytes` are [`set`](Self::set). A single record
    /// larger than its share is delivered all the same.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many partitions this member is likely to be assigned; 16 without. librdkafka's limits are
    /// for each partition and can't be changed later: with many more partitions than this its
    /// queues take more than half of [`max_bytes`](Self::max_bytes), with fewer they take less.
    pub fn expected_partitions(mut self, partitions: usize) -> Self {
        self.expected_partitions = partitions;
        self
    }

    /// How many tasks dispatch records to the service; as many as the runtime has threads without.
    /// Each partition belongs to one of them.
    pub fn dispatchers(mut self, tasks: usize) -> Self {
        self.dispatchers = Some(tasks);
        self
    }

    /// Whether each call of the service runs in a task of its own; `false` without.
    ///
    /// Without, calls run inside the dispatcher that owns the partition, which costs the least and
    /// suits handlers that mostly wait. With, handlers that compute for longer than some 10 µs use
    /// all threads of the runtime.
    pub fn spawn_handlers(mut self, spawn: bool) -> Self {
        self.spawn_handlers = spawn;
        self
    }

    /// The version of the conventions whose names the spans of polls and commits have; they are at `DEBUG`,
    /// see [`layers::trace`](crate::layers::trace#polls-and-commits).
    pub fn semconv(mut self, version: SemConv) -> Self {
        self.semconv = version;
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
    /// crate promises are reported by [`build`](Self::build).
    ///
    /// [properties]: https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.set(name, value);
        self
    }

    /// Makes a consumer; the same as [`Consumer::with_settings`].
    ///
    /// # Errors
    ///
    /// All problems of the settings at once. Whether the brokers can be reached is not among them.
    pub fn build(self) -> Result<Consumer, ConfigError> {
        let mut problems = self.properties.problems(ClientKind::Consumer);
        problems.extend(self.contradictions());
        let illegal = self
            .topics
            .iter()
            .filter(|topic| !topic_name::is_legal(topic));
        problems.extend(illegal.map(|topic| topic_name::subscription_problem(topic)));
        match problems.is_empty() {
            true => Ok(Consumer::new_from(self)),
            false => Err(ConfigError::new(problems)),
        }
    }
}

fn milliseconds(duration: Duration) -> String {
    duration.as_nanos().div_ceil(1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ConsumerSettings {
        ConsumerSettings::new("localhost:9092", "group")
    }

    fn problems(settings: ConsumerSettings) -> String {
        settings.build().unwrap_err().to_string()
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let shown = problems(
            ConsumerSettings::new("", "")
                .topics(["fine", "not fine", "..", "^a.*"])
                .session_timeout(Duration::ZERO)
                .max_poll_interval(Duration::ZERO)
                .commit_interval(Duration::ZERO)
                .drain_timeout(Duration::ZERO)
                .max_in_flight(0)
                .max_waiting(0)
                .max_offset_span(0)
                .max_bytes(0)
                .expected_partitions(0)
                .dispatchers(0)
                .set("enable.auto.commit", "true")
                .set("enable.auto.offset.store", "TRUE"),
        );
        for part in [
            "`bootstrap.servers`",
            "`group.id`",
            "`not fine` has an illegal character",
            "`..` is reserved",
            "begin with a prefix can: by `Router::topic_prefix`, or `App::topic_prefixes`",
            "session timeout",
            "poll interval",
            "`commit_interval` is 0",
            "`drain_timeout` is 0",
            "`max_in_flight` is 0",
            "`max_waiting` is 0",
            "`max_offset_span` is 0",
            "`max_bytes` is 0",
            "`expected_partitions` is 0",
            "`dispatchers` is 0",
            "`enable.auto.commit` can't be on",
            "`enable.auto.offset.store` can't be on",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in {shown}");
        }
    }

    #[test]
    fn a_session_fits_into_the_poll_interval() {
        let long = Duration::from_secs(600);
        let shown = problems(settings().session_timeout(long));
        assert!(shown.contains("`session.timeout.ms`, 600000"), "{shown}");
        assert!(shown.contains("`max.poll.interval.ms`, 300000"), "{shown}");
        let shown = problems(settings().max_poll_interval(Duration::from_secs(6)));
        assert!(shown.contains("`session.timeout.ms`, 45000"), "{shown}");
        let both = settings().session_timeout(long).max_poll_interval(long);
        assert!(both.build().is_ok());
    }

    #[test]
    fn nothing_is_committed_by_librdkafka() {
        let consumer = settings()
            .set("enable.auto.commit", "false")
            .build()
            .unwrap();
        let config = consumer.client_config(None);
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("enable.auto.offset.store"), Some("false"));
        assert_eq!(config.get("auto.offset.reset"), Some("earliest"));
        let strategy = config.get("partition.assignment.strategy");
        assert_eq!(strategy, Some("cooperative-sticky"));
    }

    #[test]
    fn the_new_protocol_leaves_the_assignment_to_the_broker() {
        let new = || settings().set("group.protocol", "consumer");
        let config = new().build().unwrap().client_config(None);
        assert_eq!(config.get("partition.assignment.strategy"), None);
        let shown = problems(new().assignment_strategy(AssignmentStrategy::Range));
        assert!(shown.contains("is the broker's to set"), "{shown}");
    }

    #[test]
    fn draining_takes_at_most_half_the_poll_interval() {
        let limits = |settings: ConsumerSettings| settings.build().unwrap().limits();
        assert_eq!(limits(settings()).drain, Duration::from_secs(30));
        let brief = settings().max_poll_interval(Duration::from_secs(46));
        assert_eq!(limits(brief).drain, Duration::from_secs(23));
    }

    #[test]
    fn durations_are_rounded_up() {
        assert_eq!(milliseconds(Duration::from_micros(1)), "1");
        assert_eq!(milliseconds(Duration::from_millis(1500)), "1500");
    }
}
