//! `compacted` and `aborted`: partitions with offsets that no record has, at whose end nothing may
//! be left.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::Consumer,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

use crate::{
    harness::{Harness, Result, Run, SOON, until},
    job::Behaviour,
    kafka::{LOOK, lags, look},
    load::{Published, Spec},
    payload::Id,
    table::Row,
    verify::Ack,
};

const PARTITIONS: i32 = 2;
/// After this time without a change the broker's cleaner is done: it comes by more often.
const CLEANER: Duration = Duration::from_secs(10);

/// Kafka's own tool shows a lag of 0 for each partition.
pub(super) fn no_lag(row: &mut Row, lags: &[Option<i64>]) {
    let shown: Vec<_> = lags
        .iter()
        .map(|lag| lag.map_or("-".to_owned(), |lag| lag.to_string()))
        .collect();
    let shown = shown.join(" ");
    row.other(format!("lag {shown}"));
    let none = !lags.is_empty() && lags.iter().all(|lag| *lag == Some(0));
    row.require(none, || format!("Kafka's tool shows a lag of {shown}"));
}

/// Consumes what is there, and demands that the committed offsets are the ends.
fn to_the_end(mut run: Run<'_>, published: &Published) -> Result<Row> {
    run.start_settled(1)?;
    run.settle(published)?;
    run.committed_to_the_end()?;
    run.stop_all();
    let lags = lags(&run.group)?;
    let mut row = run.row(published)?;
    row.exactly_once_in_order();
    no_lag(&mut row, &lags);
    Ok(row)
}

/// A partition from which compaction took most records.
pub(crate) fn compacted(harness: &Harness) -> Result<Vec<Row>> {
    let config = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("segment.ms", "100"),
    ];
    let instant = Behaviour::Sleep(Duration::ZERO);
    let run = Run::new(harness, "compacted", PARTITIONS, &config, instant)?;
    let spec = Spec {
        keys: 20,
        // Slowly, so that there are several segments: the last one is never compacted.
        rate: Some(1000),
        total: Some(2000),
        ..run.spec()
    };
    let all = run.fill(&spec)?;
    let mut left = Published::default();
    let mut since = Instant::now();
    until("compaction has taken all that it will", SOON, || {
        let before = left.acks.len();
        left.acks = stored(&run)?;
        if left.acks.len() != before {
            since = Instant::now();
        }
        Ok(left.acks.len() < all.acks.len() / 2 && since.elapsed() > CLEANER)
    })?;
    let mut row = to_the_end(run, &left)?;
    let taken = all.acks.len() - left.acks.len();
    row.other(format!("{taken} compacted away"));
    Ok(vec![row])
}

/// What a topic holds right now.
fn stored(run: &Run<'_>) -> Result<Vec<Ack>> {
    let client = look(&run.harness.brokers, "look")?;
    let mut ends = run.ends()?;
    ends.retain(|_, end| *end > 0);
    let mut assignment = TopicPartitionList::new();
    for partition in ends.keys() {
        assignment.add_partition_offset(&run.topic, *partition, Offset::Beginning)?;
    }
    client.assign(&assignment)?;
    let mut found = Vec::new();
    until("the topic is read", SOON, || {
        while let Some(message) = client.poll(LOOK / 100) {
            let message = message?;
            let (partition, offset) = (message.partition(), message.offset());
            found.push(Ack {
                id: Id::read(message.key(), message.payload())?,
                partition,
                offset: Some(offset),
            });
            ends.retain(|at, end| *at != partition || offset + 1 < *end);
            if ends.is_empty() {
                break;
            }
        }
        Ok(ends.is_empty())
    })?;
    Ok(found)
}

/// A partition with aborted transactions, the last one at its end.
pub(crate) fn aborted(harness: &Harness) -> Result<Vec<Row>> {
    const EACH: u32 = 50;
    let instant = Behaviour::Sleep(Duration::ZERO);
    let mut run = Run::new(harness, "aborted", PARTITIONS, &[], instant)?;
    let committed_only = ("isolation.level".to_owned(), "read_committed".to_owned());
    run.fleet.job.set.push(committed_only);
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &harness.brokers)
        .set("transactional.id", &run.topic)
        .create()?;
    producer.init_transactions(SOON)?;
    let mut published = Published::default();
    let mut seq = 0;
    for commit in [false, true, true, false, true, false, false] {
        producer.begin_transaction()?;
        for _ in 0..EACH {
            for partition in 0..PARTITIONS {
                let id = Id {
                    producer: 0,
                    key: partition.unsigned_abs(),
                    seq,
                };
                let (key, payload) = (id.key_text(), id.payload(100));
                let record = BaseRecord::to(&run.topic).partition(partition);
                let record = record.key(&key).payload(&payload);
                producer.send(record).map_err(|(error, _)| error)?;
                if commit {
                    published.acks.push(Ack {
                        id,
                        partition,
                        offset: None,
                    });
                }
            }
            seq += 1;
        }
        match commit {
            true => producer.commit_transaction(SOON)?,
            false => {
                // Written before it is aborted: what is only queued would be purged.
                producer.flush(SOON)?;
                producer.abort_transaction(SOON)?;
            }
        }
    }
    let mut row = to_the_end(run, &published)?;
    row.other("4 of 7 transactions aborted".to_owned());
    Ok(vec![row])
}
