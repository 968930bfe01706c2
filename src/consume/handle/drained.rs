//! Whether everything has been handled: the ends of the partitions are the brokers' word.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::{task::spawn_blocking, time::sleep};

use super::{Control, Shared};
use crate::{
    client::{logging::Logging, redact::escape},
    consume::prefix,
};

/// How long the brokers may take for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How often the brokers are asked, while topics are missing or other members have partitions.
const ASK_AGAIN: Duration = Duration::from_millis(250);

type Offsets = HashMap<(String, i32), i64>;
/// What the brokers say, or why it isn't known.
type Answer<T> = Result<T, String>;

/// What it takes to ask the brokers, with a client that is no member of the group.
#[derive(Clone)]
pub(in crate::consume) struct Probe {
    config: ClientConfig,
    topics: Vec<String>,
    prefixes: Vec<String>,
}

/// Waits until every partition is complete up to its end.
pub(super) async fn drained(shared: &Shared) {
    let probe = loop {
        let turned = shared.turned.notified();
        match shared.probe.get() {
            Some(probe) if shared.is_assigned() => break probe,
            _ => turned.await,
        }
    };
    let mut told = Told::default();
    let mut open = loop {
        match told.tell(probe.ask(Probe::ends).await) {
            Some(ends) => break ends,
            // Each question takes a client.
            None => sleep(ASK_AGAIN).await,
        }
    };
    tracing::debug!(target: "kafka_tower", ends = ?open, "waiting until everything is handled");
    let mut asked: Option<Instant> = None;
    loop {
        let turned = shared.turned.notified();
        open.retain(|place, end| match shared.is_complete_to(place, *end) {
            Some(complete) => !complete,
            // Nothing was ever written to an empty one, whoever has it.
            None => *end > 0,
        });
        if open.is_empty() {
            return;
        }
        let mut others = open.clone();
        others.retain(|place, _| !shared.owns(place));
        if others.is_empty() || asked.is_some_and(|at| at.elapsed() < ASK_AGAIN) {
            turned.await;
            continue;
        }
        let committed = probe.ask(move |probe| probe.committed_to(others)).await;
        for place in told.tell(committed).unwrap_or_default() {
            open.remove(&place);
        }
        if asked.is_none() && open.keys().any(|place| !shared.owns(place)) {
            tracing::debug!(
                target: "kafka_tower", ?open,
                "other members of the group have not committed everything yet"
            );
        }
        asked = Some(Instant::now());
    }
}

/// The reason that was logged last: there are many questions, and mostly the same answer.
#[derive(Default)]
struct Told(Option<String>);

impl Told {
    fn tell<T>(&mut self, answer: Answer<T>) -> Option<T> {
        let why = match answer {
            Ok(known) => return Some(known),
            Err(why) => why,
        };
        if self.0.as_ref() != Some(&why) {
            tracing::debug!(
                target: "kafka_tower", error = %escape(&why),
                "where partitions end isn't known yet"
            );
            self.0 = Some(why);
        }
        None
    }
}

impl Shared {
    /// Whether the group has given every member its part.
    fn is_assigned(&self) -> bool {
        let members = self.members();
        let assigned = |member: &Arc<Control>| member.meters.is_assigned();
        !members.is_empty() && members.iter().all(assigned)
    }

    fn owns(&self, (topic, partition): &(String, i32)) -> bool {
        let members = self.members();
        members
            .iter()
            .any(|member| member.views.has(topic, *partition))
    }

    fn is_complete_to(&self, (topic, partition): &(String, i32), target: i64) -> Option<bool> {
        let members = self.members();
        let mut members = members.iter();
        members.find_map(|member| member.views.is_complete_to(topic, *partition, target))
    }
}

impl Probe {
    /// Of the topics of these names, and of all whose names begin with one of the prefixes.
    pub(in crate::consume) fn new(
        config: ClientConfig,
        topics: Vec<String>,
        prefixes: Vec<String>,
    ) -> Self {
        Self {
            config,
            topics,
            prefixes,
        }
    }

    /// Asks on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let probe = self.clone();
        let answer = spawn_blocking(move || question(&probe)).await;
        answer.unwrap_or_else(|ended| Err(ended.to_string()))
    }

    fn client(&self) -> Answer<BaseConsumer<Logging>> {
        self.config.create_with_context(Logging).map_err(shown)
    }

    /// Where every partition of the topics ends, for a consumer of this isolation level.
    fn ends(&self) -> Answer<Offsets> {
        let client = self.client()?;
        let mut list = TopicPartitionList::new();
        if !self.prefixes.is_empty() {
            self.add_prefixed(&client, &mut list)?;
        }
        for topic in &self.topics {
            let metadata = client.fetch_metadata(Some(topic), ANSWER_TIME);
            let metadata = metadata.map_err(|error| of(topic, error))?;
            let found = metadata.topics().first();
            let partitions = found.map(|found| found.partitions()).unwrap_or_default();
            if partitions.is_empty() {
                let missing = RDKafkaErrorCode::UnknownTopicOrPartition;
                return Err(of(topic, KafkaError::MetadataFetch(missing)));
            }
            for partition in partitions {
                list.add_partition(topic, partition.id());
            }
        }
        ends_of(&client, list)
    }

    /// Adds the topics that a prefix takes in; there may be none yet.
    fn add_prefixed(
        &self,
        client: &BaseConsumer<Logging>,
        list: &mut TopicPartitionList,
    ) -> Answer<()> {
        let metadata = client.fetch_metadata(None, ANSWER_TIME);
        let metadata = metadata.map_err(shown)?;
        let is_named = |topic: &str| self.topics.iter().any(|name| name == topic);
        let has_prefix = |topic: &str| self.prefixes.iter().any(|one| prefix::includes(one, topic));
        for topic in metadata.topics() {
            if has_prefix(topic.name()) && !is_named(topic.name()) {
                for partition in topic.partitions() {
                    list.add_partition(topic.name(), partition.id());
                }
            }
        }
        Ok(())
    }

    /// Those of the partitions whose offset the group has committed, up to the end given.
    fn committed_to(&self, targets: Offsets) -> Answer<Vec<(String, i32)>> {
        let client = self.client()?;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in targets.keys() {
            list.add_partition(topic, *partition);
        }
        let committed = client.committed_offsets(list.clone(), ANSWER_TIME);
        let committed = offsets(&committed.map_err(shown)?)?;
        // Asked for once more: an offset behind the end is of a topic that was made anew.
        let ends = ends_of(&client, list)?;
        let targets = targets.into_iter().filter(|(place, target)| {
            let committed = committed.get(place).copied().unwrap_or_default();
            committed >= *target && ends.get(place).is_some_and(|end| committed <= *end)
        });
        Ok(targets.map(|(place, _)| place).collect())
    }
}

fn shown(error: KafkaError) -> String {
    error.to_string()
}

fn of(topic: &str, error: KafkaError) -> String {
    format!("topic `{topic}`: {error}")
}

fn ends_of(client: &BaseConsumer<Logging>, mut list: TopicPartitionList) -> Answer<Offsets> {
    list.set_all_offsets(Offset::End).map_err(shown)?;
    let list = client.offsets_for_times(list, ANSWER_TIME);
    let list = list.map_err(shown)?;
    let ends = offsets(&list)?;
    match ends.len() == list.count() {
        true => Ok(ends),
        // To leave one out would be to say that it is drained.
        false => Err(shown(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset))),
    }
}

/// The offsets of a list, without those that aren't known.
fn offsets(list: &TopicPartitionList) -> Answer<Offsets> {
    let mut offsets = Offsets::new();
    for element in list.elements() {
        let known = element.error();
        known.map_err(|error| of(element.topic(), error))?;
        if let Offset::Offset(offset) = element.offset() {
            let place = (element.topic().to_owned(), element.partition());
            offsets.insert(place, offset);
        }
    }
    Ok(offsets)
}

/// Without its settings, which hold secrets.
impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("topics", &self.topics)
            .field("prefixes", &self.prefixes)
            .finish_non_exhaustive()
    }
}
