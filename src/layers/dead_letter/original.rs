use super::header;
use crate::{
    error::Rejection,
    record::{ConsumerRecord, ProducerRecord, Record},
};

/// The record that died, to be published to its topic once more: what its death added is taken off, and its
/// timestamp is the one from before. The partition is left to the partitioner.
///
/// The topic is what the header [`header::TOPIC`] says, so whoever may write to the dead-letter topic
/// chooses it: look at `topic` before publishing if that isn't only you. Headers that
/// [`DeadLetter::enrich`](super::DeadLetter::enrich) added stay.
///
/// How often it has died is taken off too, and [`max_hops`](super::DeadLetter::max_hops) counts from the start:
/// a consumer that redrives whatever comes, for as long as it runs, may go round for ever with what dies again.
/// Of a dead letter that has died itself the record is the dead letter without its first death.
///
/// # Errors
///
/// A [`NonRetriable`](crate::ErrorClass::NonRetriable) rejection when the record is no dead letter of this
/// layer, or a pointer, which doesn't hold the record.
///
/// # Example
///
/// A handler for a dead-letter topic:
///
/// ```
/// use kafka_tower::{
///     BoxError, ConsumerRecord, Outcome, PublishExt, Publisher, extract::State,
///     layers::dead_letter::original,
/// };
///
/// async fn redrive(State(publisher): State<Publisher>, letter: ConsumerRecord) -> Result<Outcome, BoxError> {
///     let to = publisher.send(original(&letter)?).await?;
///     Ok(Outcome::Moved { to })
/// }
/// ```
pub fn original(letter: &ConsumerRecord) -> Result<ProducerRecord, Rejection> {
    let headers = letter.headers();
    let topic = header::text(headers, header::TOPIC).ok_or_else(|| {
        Rejection::record(
            "the record is no dead letter",
            format!("its header `{}` is missing, or no text", header::TOPIC),
        )
    })?;
    if headers.contains(header::POINTER) {
        return Err(Rejection::record(
            "the dead letter is a pointer and doesn't hold the record",
            "its headers say where that is",
        ));
    }
    let mut record = letter.to_producer_record(topic);
    for name in header::ALL {
        record.headers.remove(name);
    }
    let time = header::number(headers, header::ORIGINAL_TIMESTAMP);
    // Others would be refused.
    record.timestamp = time.filter(|time| *time > 0);
    Ok(record)
}
