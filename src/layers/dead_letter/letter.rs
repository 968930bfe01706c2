//! Writing out what is known of a death.

use std::sync::Arc;

use bytes::Bytes;

use super::{death::Death, header, layer::Settings};
use crate::{
    error::{ErrorClass, Persistence, PublishError, cut, find_error, message},
    record::{Headers, ProducerRecord, Record, RecordView, Side},
};

const MESSAGE_BYTES: usize = 1024;
/// A key that is longer is left out of a pointer.
const POINTER_KEY_BYTES: usize = 4096;

/// A dead letter with all that the record had.
pub(super) fn full<R: Record>(
    record: &R,
    topic: Arc<str>,
    death: &Death,
    settings: &Settings,
) -> ProducerRecord {
    let mut letter = record.to_producer_record(topic);
    for name in header::ALL {
        // Of an earlier death.
        letter.headers.remove(name);
    }
    let view = record.view();
    describe::<R>(&mut letter.headers, &view, death, settings);
    if view.headers.get(header::POINTER) == Some(b"true") {
        letter
            .headers
            .append(Bytes::from_static(header::POINTER.as_bytes()), "true");
    }
    enriched(letter, death, settings)
}

/// A dead letter that says where the record is. `None` where that is nowhere.
pub(super) fn pointer<R: Record>(
    record: &R,
    topic: Arc<str>,
    death: &Death,
    settings: &Settings,
) -> Option<ProducerRecord> {
    let view = record.view();
    view.partition.zip(view.offset)?;
    let mut letter = record.to_producer_record(topic).tombstone();
    letter.key = letter.key.filter(|key| key.len() <= POINTER_KEY_BYTES);
    letter.headers = Headers::new();
    describe::<R>(&mut letter.headers, &view, death, settings);
    letter.headers.append(header::POINTER, "true");
    Some(enriched(letter, death, settings))
}

fn enriched(mut letter: ProducerRecord, death: &Death, settings: &Settings) -> ProducerRecord {
    if let Some(enrich) = &settings.enrich {
        enrich(&mut letter, &*death.cause);
    }
    #[cfg(feature = "otel")]
    crate::telemetry::propagation::carry_on(&mut letter);
    letter
}

/// How often the record has died before.
pub(super) fn hops(record: &RecordView<'_>) -> u32 {
    header::number(record.headers, header::HOPS).unwrap_or(0)
}

fn describe<R: Record>(
    headers: &mut Headers,
    record: &RecordView<'_>,
    death: &Death,
    settings: &Settings,
) {
    let mut set = |name: &'static str, value: String| {
        headers.append(Bytes::from_static(name.as_bytes()), value);
    };
    set(header::TOPIC, record.topic.to_owned());
    if let Some(partition) = record.partition {
        set(header::PARTITION, partition.to_string());
    }
    if let Some(offset) = record.offset {
        set(header::OFFSET, offset.to_string());
    }
    if let Some(group) = &settings.group {
        set(header::GROUP, group.as_ref().to_owned());
    }
    set(header::ATTEMPTS, death.attempts.to_string());
    let mut message = message(&*death.cause);
    cut(&mut message, MESSAGE_BYTES);
    set(header::MESSAGE, message);
    set(header::CLASS, death.class.to_string());
    let disposition = match death.class {
        ErrorClass::NonRetriable => "poison",
        _ => "failure",
    };
    set(header::DISPOSITION, disposition.to_owned());
    set(header::HISTORY, death.lines());
    let (first, last) = death.span();
    set(header::FIRST_FAILURE, first.to_string());
    set(header::LAST_FAILURE, last.to_string());
    let original = header::number(record.headers, header::ORIGINAL_TIMESTAMP).or(record.timestamp);
    if let Some(timestamp) = original {
        set(header::ORIGINAL_TIMESTAMP, timestamp.to_string());
    }
    set(header::HOPS, hops(record).saturating_add(1).to_string());
    if R::SIDE == Side::Publish {
        let persistence = match find_error(&*death.cause).map(PublishError::persistence) {
            Some(Persistence::NotPersisted) => "not-persisted",
            _ => "possibly-persisted",
        };
        set(header::PERSISTENCE, persistence.to_owned());
    }
}
