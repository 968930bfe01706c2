use std::{
    collections::VecDeque,
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};

use crate::client::{codes, logging::Logging};

/// Notes what the callbacks say, for the poll loop to act upon: a callback runs inside `poll`,
/// where nothing may wait for anything that needs polling.
#[derive(Debug, Default)]
pub(super) struct Context {
    notes: Mutex<Notes>,
    noted: AtomicBool,
    closing: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) commits: Vec<CommitResult>,
    pub(super) errors: Vec<(i32, String)>,
    rebalances: VecDeque<Rebalance>,
}

pub(super) type Partitions = Vec<(String, i32)>;

#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Partitions),
    Revoke(Partitions),
}

/// What Kafka said to one partition's part of a commit.
#[derive(Debug)]
pub(super) struct CommitResult {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) result: Result<(), i32>,
}

impl Context {
    /// Whether a callback ran since the last call.
    pub(super) fn take_noted(&self) -> bool {
        self.noted.swap(false, Ordering::Relaxed)
    }

    /// All notes but for rebalances, which are taken one at a time.
    pub(super) fn take(&self) -> Notes {
        let mut notes = self.notes();
        let rebalances = mem::take(&mut notes.rebalances);
        let taken = mem::take(&mut *notes);
        notes.rebalances = rebalances;
        taken
    }

    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        self.notes().rebalances.pop_front()
    }

    /// From now on revocations are answered on the spot. The destructor of `BaseConsumer` polls
    /// until the group is left, so that nobody else could answer.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut self.notes());
        self.noted.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.noted.store(true, Ordering::Relaxed);
        Logging.log(level, facility, line);
    }

    fn stats_raw(&self, _statistics: &[u8]) {
        self.noted.store(true, Ordering::Relaxed);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Every error event carries a code.
        if let Some(code) = codes::code_of(&error) {
            self.note(|notes| notes.errors.push((code, reason.to_owned())));
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assign = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            answer(consumer, assign, partitions);
            self.noted.store(true, Ordering::Relaxed);
            return;
        }
        // Copied: a list that librdkafka has worked on holds references that outlive the client.
        let copy = partitions
            .elements()
            .into_iter()
            .map(|element| (element.topic().to_owned(), element.partition()));
        let rebalance = match assign {
            true => Rebalance::Assign(copy.collect()),
            false => Rebalance::Revoke(copy.collect()),
        };
        self.note(|notes| notes.rebalances.push_back(rebalance));
    }

    fn commit_callback(&self, whole: KafkaResult<()>, offsets: &TopicPartitionList) {
        let code = |result: KafkaResult<()>| match result {
            Ok(()) => Ok(()),
            Err(error) => Err(codes::code_of(&error).unwrap_or_default()),
        };
        let whole = code(whole);
        self.note(|notes| {
            notes
                .commits
                .extend(offsets.elements().iter().map(|element| CommitResult {
                    topic: element.topic().to_owned(),
                    partition: element.partition(),
                    offset: match element.offset() {
                        Offset::Offset(offset) => offset,
                        _ => -1,
                    },
                    // An element can be fine while the whole is refused, and the other way round. And
                    // where one is refused, librdkafka (2.12) says so of those that were taken too.
                    result: whole.and_then(|()| code(element.error())),
                }));
        });
    }
}

/// Takes partitions over or gives them up, by the protocol of the group.
pub(super) fn answer(
    consumer: &BaseConsumer<Context>,
    assign: bool,
    partitions: &TopicPartitionList,
) {
    let cooperative = matches!(
        consumer.rebalance_protocol(),
        RebalanceProtocol::Cooperative
    );
    let result = match (assign, cooperative) {
        (true, true) => consumer.incremental_assign(partitions),
        (true, false) => consumer.assign(partitions),
        (false, true) => consumer.incremental_unassign(partitions),
        (false, false) => consumer.unassign(),
    };
    if let Err(error) = result {
        tracing::error!(target: "kafka_tower", %error, assign, "librdkafka refused a rebalance");
    }
}

pub(super) fn list(partitions: &[(String, i32)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}
