use std::{env, fmt, io, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};
use uuid::Uuid;

use super::EmbeddedKafka;

const CREATE_TIMEOUT: Duration = Duration::from_secs(30);

/// The cluster to test against: the one that the environment names, or an embedded one.
///
/// With `KAFKA_BOOTSTRAP_SERVERS` set (`host:port`, separated by commas) it is that cluster; without,
/// an [`EmbeddedKafka`] is started. So one test runs on both.
///
/// # Example
///
/// ```
/// use kafka_tower::{ProducerRecord, ProducerSettings, PublishExt, Publisher, testing::TestKafka};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kafka = TestKafka::from_env().await?;
/// let topic = kafka.unique_topic("orders", 3).await?;
///
/// let settings = ProducerSettings::high_reliability(kafka.bootstrap_servers());
/// let publisher = Publisher::new(settings)?;
/// publisher.send(ProducerRecord::to(topic).payload("{}")).await?;
/// # Ok(())
/// # }
/// ```
pub struct TestKafka {
    bootstrap_servers: String,
    embedded: Option<EmbeddedKafka>,
}

impl TestKafka {
    /// The cluster of `KAFKA_BOOTSTRAP_SERVERS`, or an embedded one.
    ///
    /// # Errors
    ///
    /// When the embedded one can't be started.
    pub async fn from_env() -> io::Result<Self> {
        match env::var("KAFKA_BOOTSTRAP_SERVERS") {
            Ok(bootstrap_servers) if !bootstrap_servers.is_empty() => Ok(Self {
                bootstrap_servers,
                embedded: None,
            }),
            _ => EmbeddedKafka::start().await.map(|embedded| Self {
                bootstrap_servers: embedded.bootstrap_servers().to_owned(),
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

    /// Creates a topic, with the cluster's default replication; one that is there already is left
    /// as it is.
    ///
    /// # Errors
    ///
    /// When the cluster refuses it or can't be reached within 30 s.
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
    /// As [`create_topic`](Self::create_topic).
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
