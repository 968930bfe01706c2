use std::time::Duration;

use rdkafka::ClientConfig;

use crate::{
    client::{
        logging::Logging,
        properties::{ClientKind, Properties},
        topic_name,
    },
    error::ConfigError,
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
    properties: Properties,
    topics: Vec<String>,
    commit_interval: Duration,
    drain_timeout: Duration,
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
        };
        settings
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .offset_reset(OffsetReset::default())
            // 1 s without: a lane whose full queue had just stopped the fetching would run dry.
            .set("fetch.queue.backoff.ms", "10")
            // Each partition has a queue of its own, and librdkafka's 64 MiB count for each.
            .set("queued.max.messages.kbytes", "4096")
    }

    /// Adds topics to subscribe to. None is fine where the app names its own.
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
    /// [`CooperativeSticky`](AssignmentStrategy::CooperativeSticky) without.
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
    /// Fractions of a millisecond are rounded up.
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
        problems.extend(illegal.map(|topic| topic_name::problem(topic)));
        match problems.is_empty() {
            true => Ok(Consumer { settings: self }),
            false => Err(ConfigError::new(problems)),
        }
    }

    fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, problem: &str| {
            if wrong {
                problems.push(problem.to_owned());
            }
        };
        let get = |name| self.properties.get(name);
        for (name, why) in [
            (
                "enable.auto.commit",
                "librdkafka would commit records that are not complete; leave it out, \
                 `commit_interval` says how often complete ones are committed",
            ),
            (
                "auto.commit.enable",
                "librdkafka would commit records that are not complete; leave it out, \
                 `commit_interval` says how often complete ones are committed",
            ),
            (
                "enable.auto.offset.store",
                "librdkafka would count a record as handled when it hands it over; leave it out",
            ),
        ] {
            let on = get(name).is_some_and(|value| !is_false(value));
            refuse(on, &format!("`{name}` can't be on: {why}"));
        }
        for (name, what) in [
            ("session.timeout.ms", "the session timeout"),
            ("max.poll.interval.ms", "the poll interval"),
        ] {
            let zero = get(name).is_some_and(|value| value.trim() == "0");
            refuse(zero, &format!("{what} (`{name}`) is 0: set 1 ms or more"));
        }
        refuse(
            self.commit_interval.is_zero(),
            "`commit_interval` is 0: set 1 ms or more, 500 ms is the default",
        );
        refuse(
            self.drain_timeout.is_zero(),
            "`drain_timeout` is 0, so that every shutdown would cut off what runs: set 1 ms or more",
        );
        if self.broker_assigns() {
            for name in [
                "partition.assignment.strategy",
                "session.timeout.ms",
                "heartbeat.interval.ms",
            ] {
                refuse(
                    get(name).is_some(),
                    &format!(
                        "`{name}` is the broker's to set with `group.protocol=consumer`: leave it \
                         out, or leave out `group.protocol`"
                    ),
                );
            }
        }
        problems
    }

    /// The protocol of KIP-848.
    fn broker_assigns(&self) -> bool {
        self.properties
            .get("group.protocol")
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"))
    }
}

/// A member of a consumer group, ready to be given to [`serve`](crate::serve).
///
/// It connects when it is served.
#[derive(Debug)]
#[must_use = "a consumer does nothing until it is served"]
pub struct Consumer {
    settings: ConsumerSettings,
}

impl Consumer {
    /// A consumer with the defaults of [`ConsumerSettings::new`].
    ///
    /// # Errors
    ///
    /// All problems of the settings at once.
    pub fn new(brokers: impl Into<String>, group: impl Into<String>) -> Result<Self, ConfigError> {
        ConsumerSettings::new(brokers, group).build()
    }

    /// A consumer with these settings.
    ///
    /// # Errors
    ///
    /// All problems of the settings at once.
    pub fn with_settings(settings: ConsumerSettings) -> Result<Self, ConfigError> {
        settings.build()
    }

    pub(super) fn topics(&self) -> &[String] {
        &self.settings.topics
    }

    pub(super) fn client_config(&self) -> ClientConfig {
        let mut properties = self.settings.properties.clone();
        // Only a lane's watermark is ever committed.
        properties.set("enable.auto.commit", "false");
        properties.set("enable.auto.offset.store", "false");
        let chosen = properties.get("partition.assignment.strategy").is_some();
        if !chosen && !self.settings.broker_assigns() {
            properties.set("partition.assignment.strategy", "cooperative-sticky");
        }
        let mut config = properties.client_config();
        config.set_log_level(Logging::level());
        config
    }

    pub(super) fn limits(&self) -> Limits {
        let max_poll_interval = self
            .settings
            .properties
            .get("max.poll.interval.ms")
            .and_then(|value| value.trim().parse().ok())
            .map_or(Duration::from_secs(300), Duration::from_millis);
        Limits {
            drain: self.settings.drain_timeout.min(max_poll_interval / 2),
            commit_interval: self.settings.commit_interval,
        }
    }
}

/// The times that the poll thread keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) drain: Duration,
    pub(super) commit_interval: Duration,
}

fn milliseconds(duration: Duration) -> String {
    duration.as_nanos().div_ceil(1_000_000).to_string()
}

/// As librdkafka reads a boolean.
fn is_false(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "f" | "0")
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
                .topics(["fine", "not fine", ".."])
                .session_timeout(Duration::ZERO)
                .max_poll_interval(Duration::ZERO)
                .commit_interval(Duration::ZERO)
                .drain_timeout(Duration::ZERO)
                .set("enable.auto.commit", "true")
                .set("enable.auto.offset.store", "TRUE"),
        );
        for part in [
            "`bootstrap.servers`",
            "`group.id`",
            "`not fine` has an illegal character",
            "`..` is reserved",
            "session timeout",
            "poll interval",
            "`commit_interval` is 0",
            "`drain_timeout` is 0",
            "`enable.auto.commit` can't be on",
            "`enable.auto.offset.store` can't be on",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in {shown}");
        }
    }

    #[test]
    fn nothing_is_committed_by_librdkafka() {
        let consumer = settings()
            .set("enable.auto.commit", "false")
            .build()
            .unwrap();
        let config = consumer.client_config();
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("enable.auto.offset.store"), Some("false"));
        assert_eq!(config.get("auto.offset.reset"), Some("earliest"));
        let strategy = config.get("partition.assignment.strategy");
        assert_eq!(strategy, Some("cooperative-sticky"));
    }

    #[test]
    fn the_new_protocol_leaves_the_assignment_to_the_broker() {
        let new = || settings().set("group.protocol", "consumer");
        let config = new().build().unwrap().client_config();
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
