//! A cluster that may be harmed: `scripts/kafka` breaks it and mends it.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use tokio::{runtime::Runtime, time::timeout};
use uuid::Uuid;

use crate::support::Stored;

pub(crate) const ALL: [i32; 3] = [1, 2, 3];
pub(crate) const PARTITIONS: i32 = 6;
/// How long a condition may take to come true; on a busy machine a broker starts in 90 s.
pub(crate) const SOON: Duration = Duration::from_secs(240);
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
/// How long the script may take, in seconds; it gives a starting broker 240.
const SCRIPT_TIME: &str = "300";
/// For one look at the cluster.
const LOOK: Duration = Duration::from_secs(15);

/// Prints past the test harness, which hides what a passing test prints.
pub(crate) fn print(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Waits for `condition`, which `what` puts into words.
pub(crate) fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < end, "never came true: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Three brokers of `scripts/kafka`, for one test at a time. They are whole again when it ends.
pub(crate) struct Cluster {
    brokers: String,
    _alone: MutexGuard<'static, ()>,
}

/// What a broker says of a partition.
pub(crate) struct Partition {
    pub(crate) leader: i32,
    pub(crate) in_sync: usize,
}

impl Cluster {
    /// `None` where the environment doesn't offer one; then it says why.
    pub(crate) fn to_harm(test: &str) -> Option<Self> {
        let variable = |name| env::var(name).unwrap_or_default();
        if variable("KAFKA_FAULTS") != "1" {
            print(&format!(
                "{test} is skipped: it stops brokers, and KAFKA_FAULTS=1 doesn't allow it"
            ));
            return None;
        }
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let brokers = variable("KAFKA_BOOTSTRAP_SERVERS");
        let named = script("env", &[]).expect("KAFKA_STATE names a cluster of `scripts/kafka`");
        assert_eq!(
            named.trim(),
            format!("export KAFKA_BOOTSTRAP_SERVERS={brokers}"),
            "KAFKA_STATE and KAFKA_BOOTSTRAP_SERVERS name the same cluster"
        );
        assert_eq!(brokers.split(',').count(), 3, "three brokers: {brokers}");
        let cluster = Self {
            brokers,
            _alone: alone,
        };
        // An earlier run may have been killed.
        mend();
        script("status", &[]).expect("all brokers run");
        Some(cluster)
    }

    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Creates a topic of which each record is acknowledged by two brokers of three.
    pub(crate) fn topic(&self, prefix: &str) -> String {
        let name = format!("{prefix}-{}", Uuid::now_v7().simple());
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .create()
            .expect("a client");
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(3))
            .set("min.insync.replicas", "2");
        let options = AdminOptions::new().operation_timeout(Some(SOON));
        let runtime = Runtime::new().expect("a runtime");
        let created = async { timeout(SOON, admin.create_topics([&topic], &options)).await };
        let results = runtime.block_on(created).expect("an answer in time");
        for result in results.expect("an answer") {
            result.expect("a topic");
        }
        self.whole(&name);
        name
    }

    /// A topic's partitions as one broker sees them; `None` where it doesn't answer.
    fn seen_by(&self, broker: i32, topic: &str) -> Option<Vec<Partition>> {
        let mut addresses = self.brokers.split(',');
        let address = addresses.nth(usize::try_from(broker).expect("1 to 3") - 1);
        // A new client, which knows of no other broker that it could ask instead.
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", address.expect("three addresses"))
            .set("group.id", "faults")
            .create()
            .expect("a client");
        let metadata = client.fetch_metadata(Some(topic), LOOK).ok()?;
        let partitions = metadata.topics().first()?.partitions();
        let partitions = partitions.iter().map(|partition| Partition {
            leader: partition.leader(),
            in_sync: partition.isr().len(),
        });
        let partitions: Vec<_> = partitions.collect();
        (partitions.len() == usize::try_from(PARTITIONS).ok()?).then_some(partitions)
    }

    /// Waits until each of these brokers says so of every partition.
    fn agree(&self, what: &str, topic: &str, brokers: &[i32], so: impl Fn(&Partition) -> bool) {
        soon(what, || {
            brokers.iter().all(|broker| {
                let seen = self.seen_by(*broker, topic);
                seen.is_some_and(|partitions| partitions.iter().all(&so))
            })
        });
    }

    /// Waits until every replica is in sync.
    pub(crate) fn whole(&self, topic: &str) {
        // A broker that was stopped believes for a moment that nothing has changed: all are asked.
        self.agree("every replica is in sync", topic, &ALL, |partition| {
            partition.leader > 0 && partition.in_sync == 3
        });
    }

    /// Waits until the others lead every partition.
    pub(crate) fn led_without(&self, topic: &str, broker: i32) {
        let others: Vec<_> = ALL.into_iter().filter(|other| *other != broker).collect();
        self.agree("the others lead", topic, &others, |partition| {
            partition.leader > 0 && partition.leader != broker
        });
    }

    /// A broker that leads a partition and is none of `but`.
    pub(crate) fn a_leader(&self, topic: &str, but: &[i32]) -> i32 {
        let partitions = self.seen_by(1, topic).expect("broker 1 answers");
        let mut leaders = partitions.iter().map(|partition| partition.leader);
        let leader = leaders.find(|leader| !but.contains(leader));
        leader.expect("a leader")
    }

    /// All that a topic holds, in the order of each partition, transactions or not.
    pub(crate) fn log(&self, topic: &str) -> Vec<Stored> {
        self.whole(topic);
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "faults")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_uncommitted")
            .create()
            .expect("a client");
        let mut assignment = TopicPartitionList::new();
        let mut ends = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let mut range = None;
            soon("a partition tells its range", || {
                range = client.fetch_watermarks(topic, partition, LOOK).ok();
                range.is_some()
            });
            let (start, end) = range.expect("it was awaited");
            assert_eq!(start, 0, "nothing was deleted");
            if end > 0 {
                ends.insert(partition, end);
                assignment
                    .add_partition_offset(topic, partition, Offset::Offset(start))
                    .expect("an offset");
            }
        }
        client.assign(&assignment).expect("an assignment");
        let mut log = Vec::new();
        let end = Instant::now() + SOON;
        while !ends.is_empty() {
            assert!(Instant::now() < end, "the log can't be read: {ends:?} left");
            match client.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    log.push(stored(&message));
                    ends.retain(|&at, &mut end| at != partition || offset + 1 < end);
                }
                // An old connection that ended; the client makes another one.
                Some(Err(KafkaError::MessageConsumption(_))) | None => {}
                Some(Err(error)) => panic!("the log can't be read: {error}"),
            }
        }
        log.sort_by_key(|record| (record.partition, record.offset));
        log
    }
}

#[expect(clippy::unused_self, reason = "only who has the cluster may harm it")]
impl Cluster {
    /// SIGKILL.
    pub(crate) fn kill(&self, broker: i32) {
        script("kill", &[broker]).expect("it is killed");
    }

    pub(crate) fn start(&self, broker: i32) {
        script("start", &[broker]).expect("it starts");
    }

    /// SIGSTOP.
    pub(crate) fn pause(&self, brokers: &[i32]) {
        script("pause", brokers).expect("they stop");
    }

    pub(crate) fn resume(&self, brokers: &[i32]) {
        script("resume", brokers).expect("they go on");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        mend();
    }
}

fn stored(message: &BorrowedMessage<'_>) -> Stored {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Stored {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(Vec::from),
        payload: message.payload().map(Vec::from),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.map(Vec::from)))
            .collect(),
    }
}

/// Lets all brokers run again, whatever was done to them.
fn mend() {
    for broker in ALL {
        // Fails where it is dead or was never stopped.
        let _ = script("resume", &[broker]);
    }
    if let Err(error) = script("start", &ALL) {
        print(&format!("the brokers don't all run again: {error}"));
    }
}

/// Runs `scripts/kafka` and returns what it prints.
fn script(command: &str, brokers: &[i32]) -> Result<String, String> {
    let output = Command::new("timeout")
        .args([SCRIPT_TIME, SCRIPT, command])
        .args(brokers.iter().map(i32::to_string))
        .output()
        .map_err(|error| format!("`timeout` can't be run: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
