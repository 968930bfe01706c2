use std::{fmt, io, sync::Arc};

use rdkafka::types::RDKafkaErrorCode;

use crate::{
    client::{
        native::mock::{MockCluster, c_name},
        topic_name,
    },
    consume::{Consumer, ConsumerSettings},
    publish::{ProducerSettings, Publisher},
};

/// A Kafka cluster inside this process: librdkafka's mock cluster, on loopback ports.
///
/// Made for first steps and fast tests. It knows producing, idempotence, transactions, groups and
/// commits; it keeps everything in memory, 5 MB or 100 000 records of each partition (older ones are
/// dropped), and it filters no aborted transactions. A topic that is published to comes into being with
/// four partitions; one that is only subscribed to doesn't. What it can't show, show on a real cluster:
/// see [`TestKafka`](super::TestKafka).
///
/// Dropping it ends the brokers and blocks until they have ended, some milliseconds.
///
/// # Example
///
/// ```
/// use kafka_tower::{ProducerRecord, PublishExt, testing::EmbeddedKafka};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kafka = EmbeddedKafka::start().await?;
/// kafka.create_topic("orders", 1)?;
/// let delivery = kafka.publisher().send(ProducerRecord::to("orders").payload("{}")).await?;
/// assert_eq!(delivery.offset, Some(0));
/// # Ok(())
/// # }
/// ```
pub struct EmbeddedKafka {
    publisher: Publisher,
    brokers: u16,
    bootstrap_servers: String,
    cluster: Arc<MockCluster>,
}

/// A kind of request to a broker, to fail on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(i16)]
pub enum Request {
    /// Records from a producer.
    Produce = 0,
    /// Records for a consumer.
    Fetch = 1,
    /// Where partitions begin and end.
    ListOffsets = 2,
    /// A consumer group's offsets, to be stored.
    OffsetCommit = 8,
    /// A consumer group's offsets, to be read.
    OffsetFetch = 9,
    /// Who coordinates a group.
    FindCoordinator = 10,
    /// A member joins its group.
    JoinGroup = 11,
    /// A member is alive.
    Heartbeat = 12,
    /// A member learns its assignment.
    SyncGroup = 14,
    /// An idempotent producer's identity.
    InitProducerId = 22,
    /// A member of a KIP-848 group joins, is alive, and learns its assignment.
    ConsumerGroupHeartbeat = 68,
}

impl EmbeddedKafka {
    /// Starts one broker.
    ///
    /// # Errors
    ///
    /// When no loopback port can be had.
    ///
    /// Cancel safe.
    pub async fn start() -> io::Result<Self> {
        Self::start_brokers(1).await
    }

    /// Starts a cluster of `brokers` brokers; their ids begin with 1.
    ///
    /// # Errors
    ///
    /// When no loopback port can be had, or `brokers` is 0.
    ///
    /// Cancel safe.
    pub async fn start_brokers(brokers: u16) -> io::Result<Self> {
        let cluster = MockCluster::new(brokers).map_err(io::Error::other)?;
        let bootstrap_servers = cluster.bootstrap_servers();
        let settings = ProducerSettings::high_reliability(&bootstrap_servers);
        Ok(Self {
            publisher: Publisher::new(settings).map_err(io::Error::other)?,
            brokers,
            bootstrap_servers,
            cluster,
        })
    }

    /// What clients connect to: `host:port`, separated by commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Creates a topic. Without, a topic that is published to has four partitions.
    ///
    /// # Errors
    ///
    /// When the name is illegal, the topic is there already, or `partitions` is not positive.
    pub fn create_topic(&self, name: &str, partitions: i32) -> io::Result<()> {
        let invalid = |problem| io::Error::new(io::ErrorKind::InvalidInput, problem);
        if !topic_name::is_legal(name) {
            return Err(invalid(topic_name::problem(name)));
        }
        if partitions < 1 {
            return Err(invalid(format!(
                "{partitions} partitions; a topic has 1 or more"
            )));
        }
        let name = c_name(name).map_err(io::Error::other)?;
        self.cluster
            .create_topic(&name, partitions, i32::from(self.brokers.min(3)))
            .map_err(|error| match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::TopicAlreadyExists) => {
                    io::Error::new(io::ErrorKind::AlreadyExists, error)
                }
                _ => io::Error::other(error),
            })
    }

    /// A publisher for this cluster, always the same, with the settings of
    /// [`ProducerSettings::high_reliability`].
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// A consumer for this cluster, to serve an app that names its topics, a
    /// [`Router`](crate::Router) for instance.
    ///
    /// # Panics
    ///
    /// When the name of the group is illegal.
    pub fn consumer(&self, group: &str) -> Consumer {
        let consumer = Consumer::with_settings(self.settings(group));
        consumer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Settings for a consumer for this cluster, to add topics to and whatever else. A member that was
    /// not closed leaves its group after 1.5 s, and so does one that a very busy machine holds up for so
    /// long; a single one may have a longer [session](ConsumerSettings::session_timeout).
    pub fn settings(&self, group: &str) -> ConsumerSettings {
        ConsumerSettings::new(&self.bootstrap_servers, group)
            // The mock cluster lets a group wait for nearly a session at each rebalance.
            .session_timeout(std::time::Duration::from_millis(1500))
            .set("heartbeat.interval.ms", "100")
    }

    /// Lets the next `times` requests of a kind fail with an error code of the
    /// [protocol](https://kafka.apache.org/protocol#protocol_error_codes).
    ///
    /// The code -195 breaks the connection instead.
    pub fn fail_next(&self, request: Request, times: usize, code: i32) {
        self.cluster
            .fail_requests(request as i16, &vec![code; times]);
    }

    /// Forgets the failures that have not come up yet.
    pub fn stop_failing(&self, request: Request) {
        self.cluster.clear_failures(request as i16);
    }

    /// Cuts a broker off: its connections break and it accepts no others. Leaders stay where they
    /// are.
    ///
    /// # Errors
    ///
    /// When there is no such broker.
    pub fn broker_down(&self, broker: i32) -> io::Result<()> {
        self.cluster
            .set_broker_down(broker)
            .map_err(io::Error::other)
    }

    /// Lets a broker accept connections again.
    ///
    /// # Errors
    ///
    /// When there is no such broker.
    pub fn broker_up(&self, broker: i32) -> io::Result<()> {
        self.cluster.set_broker_up(broker).map_err(io::Error::other)
    }
}

impl fmt::Debug for EmbeddedKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedKafka")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .finish_non_exhaustive()
    }
}
