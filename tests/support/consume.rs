//! What the consumer's tests share: a topic with a group, and what the handlers saw.
#![allow(dead_code, reason = "no test file uses all of it")]

mod calls;

use std::{
    collections::BTreeMap,
    future::{Future, IntoFuture},
    thread::sleep,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use kafka_tower::{
    App, ConsumerHandle, ConsumerSettings, Delivery, Lifecycle, Ordering, PartitionStatus,
    ProducerRecord, ProducerSettings, PublishExt, Publisher, Serve, ServeError, Summary, serve,
    testing::{EmbeddedKafka, TestKafka},
};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[allow(unused_imports, reason = "no test file uses all of it")]
pub(crate) use self::calls::{Call, Calls, Level, is_at};

/// How long a condition may take to come true.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Waits for `condition`, which `what` puts into words.
pub(crate) async fn soon<T>(what: &str, condition: impl Future<Output = T>) -> T {
    let waited = timeout(SOON, condition).await;
    waited.unwrap_or_else(|_| panic!("never came true: {what}"))
}

/// A topic and a group that nobody else uses.
pub(crate) struct Bed {
    cluster: Cluster,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) publisher: Publisher,
    partitions: i32,
    members: Members,
}

/// How many members a group has in its life.
#[derive(Debug, Clone, Copy)]
enum Members {
    One,
    Several,
}

enum Cluster {
    FromEnv(TestKafka),
    Embedded(EmbeddedKafka),
}

impl Bed {
    /// On the cluster that the environment names, or an embedded one; for one consumer of one member.
    pub(crate) async fn new(partitions: i32) -> Self {
        let kafka = TestKafka::from_env().await.expect("a cluster");
        let topic = kafka.unique_topic("consume", partitions).await;
        Self::on(Cluster::FromEnv(kafka), topic.expect("a topic"), partitions)
    }

    /// The same for several members, together or one after the other.
    pub(crate) async fn for_several(partitions: i32) -> Self {
        Self {
            members: Members::Several,
            ..Self::new(partitions).await
        }
    }

    /// On an embedded cluster, to inject errors into.
    pub(crate) async fn embedded(partitions: i32) -> Self {
        let kafka = EmbeddedKafka::start().await.expect("a cluster");
        let topic = "consume".to_owned();
        kafka.create_topic(&topic, partitions).expect("a topic");
        Self::on(Cluster::Embedded(kafka), topic, partitions)
    }

    fn on(cluster: Cluster, topic: String, partitions: i32) -> Self {
        let settings =
            ProducerSettings::high_reliability(cluster.brokers()).without_message_id_header();
        Self {
            cluster,
            topic,
            group: format!("group-{}", Uuid::now_v7().simple()),
            publisher: Publisher::new(settings).expect("a publisher"),
            partitions,
            members: Members::One,
        }
    }

    pub(crate) fn brokers(&self) -> &str {
        self.cluster.brokers()
    }

    /// The embedded cluster; a real one gives `None`.
    pub(crate) fn mock(&self) -> Option<&EmbeddedKafka> {
        match &self.cluster {
            Cluster::FromEnv(kafka) => kafka.embedded(),
            Cluster::Embedded(kafka) => Some(kafka),
        }
    }

    /// Settings for the group and the topic, with a session that outlasts a busy machine's pauses.
    pub(crate) fn settings(&self) -> ConsumerSettings {
        let settings = self.plain_settings();
        let settings = match (self.mock(), self.members) {
            (Some(_), Members::One) => settings
                .session_timeout(Duration::from_secs(10))
                .set("heartbeat.interval.ms", "100"),
            // When a member comes or goes, the mock cluster lets a classic group wait for nearly a
            // session, and shuts out who is late.
            (Some(_), Members::Several) => settings.set("group.protocol", "consumer"),
            (None, _) => settings
                .session_timeout(Duration::from_secs(30))
                .set("heartbeat.interval.ms", "500"),
        };
        match self.mock() {
            // It answers a waiting fetch at the end of its wait, and not when a record comes.
            Some(_) => settings.set("fetch.wait.max.ms", "20"),
            None => settings,
        }
    }

    /// The same for the classic protocol wherever it is, with a session as short as can be.
    pub(crate) fn classic_settings(&self) -> ConsumerSettings {
        let settings = self.plain_settings();
        match self.mock() {
            Some(_) => settings
                .session_timeout(Duration::from_millis(1500))
                .set("heartbeat.interval.ms", "100")
                .set("fetch.wait.max.ms", "20"),
            None => self.settings(),
        }
    }

    /// The same with the defaults for all times: one record of a partition at a time.
    pub(crate) fn plain_settings(&self) -> ConsumerSettings {
        ConsumerSettings::new(self.brokers(), &self.group)
            .topics([&self.topic])
            .ordering(Ordering::Partition)
    }

    pub(crate) fn serve(&self, app: impl App) -> Running {
        Running::start(self.settings(), app)
    }

    /// Publishes `count` records to a partition, in order.
    pub(crate) async fn publish(&self, partition: i32, count: usize) {
        let records = (0..count).map(|n| {
            let record = ProducerRecord::to(self.topic.as_str()).payload(n.to_string());
            self.publisher.send(record.partition(partition))
        });
        try_join_all(records).await.expect("deliveries");
    }

    /// Publishes a record for each of these keys to a partition, in order.
    pub(crate) async fn publish_keys(&self, partition: i32, keys: &[Option<&str>]) {
        let records = keys.iter().map(|key| {
            let record = ProducerRecord::to(self.topic.as_str()).payload("");
            let record = match key {
                Some(key) => record.key((*key).to_owned()),
                None => record,
            };
            self.publisher.send(record.partition(partition))
        });
        try_join_all(records).await.expect("deliveries");
    }

    /// Publishes `each` records to every partition.
    pub(crate) async fn fill(&self, each: usize) {
        for partition in 0..self.partitions {
            self.publish(partition, each).await;
        }
    }

    pub(crate) async fn send(&self, record: ProducerRecord) -> Delivery {
        self.publisher.send(record).await.expect("a delivery")
    }

    /// What the group has committed, as another client reads it.
    pub(crate) async fn committed(&self) -> BTreeMap<i32, i64> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        config.set("group.id", &self.group);
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition(&self.topic, partition);
        }
        let read = spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().expect("a client");
            // A new group's coordinator may not be there yet.
            let deadline = Instant::now() + SOON;
            let list = loop {
                match consumer.committed_offsets(list.clone(), SOON) {
                    Ok(list) => break list,
                    Err(error) => assert!(Instant::now() < deadline, "{error}"),
                }
                sleep(Duration::from_millis(50));
            };
            let offset = |raw: i64| Some(raw).filter(|raw| *raw >= 0);
            list.elements()
                .iter()
                .filter_map(|one| Some((one.partition(), offset(one.offset().to_raw()?)?)))
                .collect()
        });
        read.await.expect("the committed offsets")
    }

    /// Waits until the group has committed exactly this.
    pub(crate) async fn committed_soon(&self, expected: &BTreeMap<i32, i64>) {
        let mut often = interval(Duration::from_millis(20));
        soon(&format!("committed: {expected:?}"), async {
            while self.committed().await != *expected {
                often.tick().await;
            }
        })
        .await;
    }

    /// The same offset for each partition.
    pub(crate) fn all_at(&self, offset: i64) -> BTreeMap<i32, i64> {
        (0..self.partitions).map(|one| (one, offset)).collect()
    }
}

impl Cluster {
    fn brokers(&self) -> &str {
        match self {
            Self::FromEnv(kafka) => kafka.bootstrap_servers(),
            Self::Embedded(kafka) => kafka.bootstrap_servers(),
        }
    }
}

/// The committed offsets of a summary by partition.
pub(crate) fn committed(summary: &Summary) -> BTreeMap<i32, i64> {
    let committed = summary.committed.iter();
    committed
        .map(|((_, one), offset)| (*one, *offset))
        .collect()
}

/// Opens a gate when nothing more is dispatched.
pub(crate) struct OpensAtTheEnd(pub(crate) CancellationToken);

impl Lifecycle for OpensAtTheEnd {
    fn stopping(&mut self) {
        self.0.cancel();
    }
}

/// A consumer in a task of its own.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    pub(crate) handle: ConsumerHandle,
    pub(crate) task: JoinHandle<Result<Summary, ServeError>>,
}

impl Running {
    pub(crate) fn start(settings: ConsumerSettings, app: impl App) -> Self {
        Self::start_with(settings, app, |serve| serve)
    }

    /// With more to say than settings and app.
    pub(crate) fn start_with<A: App>(
        settings: ConsumerSettings,
        app: A,
        more: impl FnOnce(Serve<A>) -> Serve<A>,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let signal = async { stopped.await.unwrap_or_default() };
        let consumer = settings.build().expect("settings that can work");
        let served = more(serve(consumer, app).with_graceful_shutdown(signal));
        Self {
            stop,
            handle: served.handle(),
            task: tokio::spawn(served.into_future()),
        }
    }

    /// Waits until a record of a partition runs. Its call was seen before that: what it waits for
    /// may come so early that it never runs beside anything.
    pub(crate) async fn runs(&self, partition: i32) {
        self.status(partition, "one runs", |one| one.in_flight == 1)
            .await;
    }

    /// Waits until the state of a partition is as wanted, and gives it.
    pub(crate) async fn status(
        &self,
        partition: i32,
        what: &str,
        wanted: impl Fn(&PartitionStatus) -> bool,
    ) -> PartitionStatus {
        let mut often = interval(Duration::from_millis(10));
        soon(&format!("{partition}: {what}"), async {
            loop {
                let all = self.handle.partitions();
                let found = all.into_iter().find(|one| one.partition == partition);
                match found.filter(&wanted) {
                    Some(found) => return found,
                    None => often.tick().await,
                };
            }
        })
        .await
    }

    /// Shuts it down gracefully.
    pub(crate) async fn stop(self) -> Summary {
        let _ = self.stop.send(());
        let ended = soon("it shuts down", self.task).await;
        ended.expect("no panic").expect("no error")
    }

    /// Waits until it ends by itself.
    pub(crate) async fn end(self) -> Result<Summary, ServeError> {
        soon("it ends by itself", self.task)
            .await
            .expect("no panic")
    }
}

/// Whether all that there is is handled and committed.
pub(crate) fn is_done(status: &PartitionStatus) -> bool {
    status.lag == Some(0) && status.committed == status.end
}
