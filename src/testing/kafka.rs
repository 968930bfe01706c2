use std::{env, fmt, io, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};
use uuid::Uuid;

use super::EmbeddedKafka;
use crate::{
    consume::{Consumer, ConsumerSettings},
    publish::{ProducerSettings, Publisher},
};

const CREATE_TIMEOUT: Duration = Duration::from_secs(30);

/// The cluster to test against: the one that the environment names, or an embedded one.
///
/// With `KAFKA_BOOTSTRAP_SERVERS` set (`host:port`, separated by commas) it is that cluster; without,
/// an [`EmbeddedKafka`] is started. So one test runs on both.
///
/// # Example
///
/// ```
/// use kafka_tower::{ProducerRecord, PublishExt, testing::TestKafka};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kafka = TestKafka::from_env().await?;
/// let topic = kafka.unique_topic("orders", 3).await?;
///
/// kafka.publisher().send(ProducerRecord::to(topic).payload("{}")).await?;
/// # Ok(())
/// # }
/// ```
pub struct TestKafka {
    bootstrap_servers: String,
    publisher: Publisher,
    embedded: Option<EmbeddedKafka>,
}

impl TestKafka {
    /// The cluster of `KAFKA_BOOTSTRAP_SERVERS`, or an embedded one.
    ///
    /// # Errors
    ///
    /// When the embedded one can't be started, or the variable is no list of addresses.
    ///
    /// Cancel safe.
    pub async fn from_env() -> io::Result<Self> {
        match env::var("KAFKA_BOOTSTRAP_SERVERS") {
            Ok(bootstrap_servers) if !bootstrap_servers.is_empty() => {
                let settings = ProducerSettings::high_reliability(&bootstrap_servers);
                Ok(Self {
                    publisher: Publisher::new(settings).map_err(io::Error::other)?,
                    bootstrap_servers,
                    embedded: None,
                })
            }
            _ => EmbeddedKafka::start().await.map(|embedded| Self {
                bootstrap_servers: embedded.bootstrap_servers().to_owned(),
                publisher: embedded.publisher(),
                embedded: Some(embedded),
            }),
        }
    }

    /// What clients connect to: `host:port`, separated by commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The embedded cluster, if it is one.
    #[must_use]
    pub fn embedded(&self) -> Option<&EmbeddedKafka> {
        self.embedded.as_ref()
    }

    /// A publisher for this cluster, always the same, with the settings of
    /// [`ProducerSettings::high_reliability`].
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// A consumer for this cluster, as [`EmbeddedKafka::consumer`].
    ///
    /// # Panics
    ///
    /// When the name of the group is illegal.
    pub fn consumer(&self, group: &str) -> Consumer {
        let consumer = Consumer::with_settings(self.settings(group));
        consumer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Settings for a consumer for this cluster, to add topics to and whatever else; with a short
    /// session where it is the embedded one, as [`EmbeddedKafka::settings`].
    pub fn settings(&self, group: &str) -> ConsumerSettings {
        match &self.embedded {
            Some(embedded) => embedded.settings(group),
            None => ConsumerSettings::new(&self.bootstrap_servers, group),
        }
    }

    /// Creates a topic, with the cluster's default replication; one that is there already is left
    /// as it is.
    ///
    /// # Errors
    ///
    /// When the cluster refuses it or can't be reached within 30 s.
    ///
    /// Cancel safety: once polled, the topic may be created all the same.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> io::Result<()> {
        if let Some(embedded) = &self.embedded {
            return match embedded.create_topic(name, partitions) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                result => result,
            };
        }
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .create()
            .map_err(io::Error::other)?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new()
            .request_timeout(Some(CREATE_TIMEOUT))
            .operation_timeout(Some(CREATE_TIMEOUT));
        let results = admin.create_topics([&topic], &options).await;
        let results = results.map_err(|error| {
            io::Error::other(format!(
                "topic `{name}` can't be created on {} (KAFKA_BOOTSTRAP_SERVERS): {error}; is it \
                 running? Unset the variable to use an embedded broker",
                self.bootstrap_servers
            ))
        })?;
        match results.into_iter().next() {
            Some(Err((name, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => Err(
                io::Error::other(format!("topic `{name}` can't be created: {code}")),
            ),
            _ => Ok(()),
        }
    }

    /// Creates a topic whose name begins with `prefix` and is used by nobody else, and returns the
    /// name.
    ///
    /// # Errors
    ///
    /// As [`create_topic`](Self::create_topic), and so is its cancel safety.
    pub async fn unique_topic(&self, prefix: &str, partitions: i32) -> io::Result<String> {
        let name = format!("{prefix}-{}", Uuid::now_v7().simple());
        self.create_topic(&name, partitions).await?;
        Ok(name)
    }
}

impl fmt::Debug for TestKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestKafka")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("embedded", &self.embedded.is_some())
            .finish()
    }
}
