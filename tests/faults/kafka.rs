//! The cluster: its topics, what a group has committed, its brokers.

use std::{collections::BTreeMap, process::Command, time::Duration};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::BorrowedMessage,
};
use tokio::runtime::Runtime;

use crate::harness::{Result, until};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
/// For one look at the cluster.
pub(crate) const LOOK: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(240);

/// A client that looks, and belongs to no group.
pub(crate) fn look(brokers: &str, group: &str) -> Result<BaseConsumer> {
    let client = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_uncommitted")
        .set("reconnect.backoff.max.ms", "500")
        .create()?;
    Ok(client)
}

/// With the broker's default replication, which is three where there are three brokers.
pub(crate) fn create_topic(
    runtime: &Runtime,
    brokers: &str,
    topic: &str,
    partitions: i32,
    config: &[(&str, &str)],
) -> Result<()> {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    for (name, value) in config {
        new = new.set(name, value);
    }
    create(runtime, brokers, &new)
}

/// A topic of one partition that no other broker has.
pub(crate) fn create_topic_alone(runtime: &Runtime, brokers: &str, topic: &str) -> Result<()> {
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    create(runtime, brokers, &new.set("min.insync.replicas", "1"))
}

fn create(runtime: &Runtime, brokers: &str, new: &NewTopic<'_>) -> Result<()> {
    let topic = new.name;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()?;
    let created = runtime.block_on(admin.create_topics([new], &AdminOptions::new()))?;
    for result in created {
        result.map_err(|(topic, code)| format!("can't create {topic}: {code}"))?;
    }
    let client = look(brokers, "look")?;
    until("the topic is there", SOON, || {
        let found = client.fetch_metadata(Some(topic), LOOK);
        Ok(found.is_ok_and(|found| {
            let partitions = found.topics().iter().flat_map(|topic| topic.partitions());
            partitions.filter(|one| one.leader() >= 0).count() == new.num_partitions as usize
        }))
    })
}

/// The end of each partition.
pub(crate) fn ends(brokers: &str, topic: &str, partitions: i32) -> Result<BTreeMap<i32, i64>> {
    let client = look(brokers, "look")?;
    let end = |partition| {
        Ok((
            partition,
            client.fetch_watermarks(topic, partition, LOOK)?.1,
        ))
    };
    (0..partitions).map(end).collect()
}

/// What a group has committed; partitions without a commit are left out.
pub(crate) fn committed(
    brokers: &str,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Result<BTreeMap<i32, i64>> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let list = look(brokers, group)?.committed_offsets(list, LOOK)?;
    let elements = list.elements();
    let committed = elements.iter().filter_map(|one| match one.offset() {
        Offset::Offset(offset) => Some((one.partition(), offset)),
        _ => None,
    });
    Ok(committed.collect())
}

/// Hands over each record that a topic holds.
pub(crate) fn read(
    brokers: &str,
    topic: &str,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<()> {
    let client = look(brokers, "look")?;
    let metadata = client.fetch_metadata(Some(topic), LOOK)?;
    let mut left = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|one| one.partitions()) {
        let (start, end) = client.fetch_watermarks(topic, partition.id(), LOOK)?;
        if start < end {
            left.insert(partition.id(), end);
            assignment.add_partition_offset(topic, partition.id(), Offset::Offset(start))?;
        }
    }
    client.assign(&assignment)?;
    until(&format!("{topic} is read"), SOON, || {
        // Compaction may have taken the last record, so the position counts.
        while let Some(message) = client.poll(LOOK / 100) {
            match message {
                Ok(message) => each(&message),
                // A connection that ended; the client makes another one.
                Err(KafkaError::MessageConsumption(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let position = client.position()?;
        left.retain(|partition, end| {
            let element = position.find_partition(topic, *partition);
            let reached = element.and_then(|element| element.offset().to_raw());
            reached.is_none_or(|reached| reached < *end)
        });
        Ok(left.is_empty())
    })
}

/// The broker that leads a partition.
pub(crate) fn leader(client: &BaseConsumer, topic: &str, partition: usize) -> Result<i32> {
    let mut leader = -1;
    until("the partition has a leader", SOON, || {
        let metadata = client.fetch_metadata(Some(topic), LOOK)?;
        leader = metadata.topics()[0].partitions()[partition].leader();
        Ok(leader >= 0)
    })?;
    Ok(leader)
}

/// Whether a group of the classic protocol is at rest with this many members that hold all
/// partitions.
pub(crate) fn is_settled(
    client: &BaseConsumer,
    group: &str,
    members: usize,
    partitions: i32,
) -> Result<bool> {
    let Ok(list) = client.fetch_group_list(Some(group), LOOK) else {
        return Ok(false);
    };
    let settled = list.groups().iter().any(|found| {
        let assigned = found.members().iter().map(|member| {
            let bytes = member.assignment().unwrap_or_default();
            assigned_partitions(bytes).unwrap_or_default()
        });
        found.name() == group
            && found.state() == "Stable"
            && found.members().len() == members
            && assigned.sum::<i32>() == partitions
    });
    Ok(settled)
}

/// How many partitions a member's assignment names: version, topics, and for each topic its name
/// and partitions.
fn assigned_partitions(mut bytes: &[u8]) -> Option<i32> {
    let mut take = |count: usize| bytes.split_off(..count);
    let int = |bytes: &[u8]| Some(i32::from_be_bytes(bytes.try_into().ok()?));
    take(2)?;
    let topics = int(take(4)?)?;
    let mut partitions = 0;
    for _ in 0..topics {
        let name = take(2)?.try_into().ok()?;
        take(usize::from(u16::from_be_bytes(name)))?;
        let count = int(take(4)?)?;
        take(usize::try_from(count).ok()? * 4)?;
        partitions += count;
    }
    Some(partitions)
}

/// What Kafka's own tool says of a group: the lag of each partition, `None` where it shows none.
pub(crate) fn lags(group: &str) -> Result<Vec<Option<i64>>> {
    let shown = script("tool", &["consumer-groups", "--describe", "--group", group])?;
    let mut rows = shown.lines().map(|line| line.split_whitespace());
    let column = rows
        .find_map(|mut row| row.position(|word| word == "LAG"))
        .ok_or_else(|| format!("no lag in {shown:?}"))?;
    let lags = rows.filter_map(|mut row| row.nth(column));
    Ok(lags.map(|lag| lag.parse().ok()).collect())
}

/// Runs `scripts/kafka` and returns what it prints.
pub(crate) fn script(command: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new("timeout")
        .args(["300", SCRIPT, command])
        .args(arguments)
        .output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}
