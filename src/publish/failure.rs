//! Errors of a publish: what happened, and what to do.

use std::{borrow::Cow, fmt::Write};

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::{
    client::{
        codes::{self, Operation},
        native::reports::Report,
        redact::escape,
        tls,
    },
    error::{ErrorClass, Persistence, PublishError},
    record::{MessageId, ProducerRecord},
};

/// What can be seen to be wrong with a record before it is enqueued.
pub(super) fn problem(record: &ProducerRecord) -> Option<String> {
    if let Some(partition @ ..0) = record.partition {
        return Some(format!(
            "the partition is {partition}; set 0 or more, or none to leave it to the partitioner"
        ));
    }
    if let Some(timestamp @ ..1) = record.timestamp {
        return Some(format!(
            "the timestamp is {timestamp}; set 1 or more milliseconds since the Unix epoch, or none \
             for the time of publishing"
        ));
    }
    let (key, _) = record.headers.iter().find(|(key, _)| key.contains(&0))?;
    Some(format!(
        "the header key `{}` has a NUL, at which librdkafka's consumers would cut it off: leave the \
         NUL out",
        key.escape_ascii()
    ))
}

/// A record that was not even enqueued, and never could be.
pub(super) fn refused(
    mut record: ProducerRecord,
    problem: impl Into<Cow<'static, str>>,
) -> PublishError {
    record.message_id.get_or_insert_with(MessageId::new);
    PublishError::new(ErrorClass::NonRetriable, Persistence::NotPersisted, problem)
        .with_code(Code::InvalidArgument as i32)
        .with_record(record)
}

/// A record whose delivery report says that it failed.
pub(super) fn reported(mut record: ProducerRecord, report: &Report) -> PublishError {
    let detail = report.detail.as_deref();
    if record.message_id.is_none() {
        record.message_id = detail.and_then(|detail| detail.message_id.clone());
    }
    let reason = detail.and_then(|detail| detail.reason.as_deref());
    failed(record, report.code, report.persistence, reason)
}

/// A record that librdkafka or a broker refused.
pub(super) fn failed(
    mut record: ProducerRecord,
    code: i32,
    persistence: Persistence,
    detail: Option<&str>,
) -> PublishError {
    record.message_id.get_or_insert_with(MessageId::new);
    let is_ssl = code == Code::SSL as i32;
    // What was never sent failed for want of a connection, and not with one.
    let operation = match is_ssl && persistence == Persistence::NotPersisted {
        true => Operation::Connect,
        false => Operation::Produce,
    };
    let class = codes::meaning(operation, code).class();
    let mut reason = match codes::name(code) {
        Some(name) => format!("{name} (code {code})"),
        None => format!("error code {code}, which this version of librdkafka doesn't know"),
    };
    if let Some(detail) = detail {
        let _ = write!(reason, ": {}", escape(detail));
    }
    let hint = match is_ssl {
        true => Some(tls::advice(detail.unwrap_or_default())),
        false => hint(code),
    };
    if let Some(hint) = hint {
        let _ = write!(reason, "; {hint}");
    }
    PublishError::new(class, persistence, reason)
        .with_code(code)
        .with_record(record)
}

const HINTS: &[(Code, &str)] = &[
    (
        Code::MessageSizeTooLarge,
        "the record, or the batch that it was sent in, is larger than the client \
         (`max_record_bytes`) or the topic (`max.message.bytes`) allows: make it smaller, raise both \
         limits, or keep batches below the topic's (`batch.size`)",
    ),
    (
        Code::MessageTimedOut,
        "it was not acknowledged within the delivery timeout: see whether the brokers in \
         `bootstrap.servers` can be reached, listen there by the `security.protocol` that is set, and \
         the partition has a leader",
    ),
    (
        Code::UnknownPartition,
        "the topic has no such partition: set one that exists, or none to leave it to the \
         partitioner",
    ),
    (
        Code::UnknownTopic,
        "the topic doesn't exist, or this client may not see it: create it, or correct the name",
    ),
    (
        Code::UnknownTopicOrPartition,
        "the topic doesn't exist, or this client may not see it: create it, or correct the name",
    ),
    (
        Code::TopicAuthorizationFailed,
        "this client may not write to the topic: grant it the right to WRITE and DESCRIBE",
    ),
    (
        Code::ClusterAuthorizationFailed,
        "this client may not do that: grant it IDEMPOTENT_WRITE on the cluster, or turn \
         idempotence off",
    ),
    (
        Code::InvalidTimestamp,
        "this record, or another of its batch, has a timestamp that the topic doesn't accept",
    ),
    (
        Code::Authentication,
        "the brokers refused the credentials: correct `sasl.username`, `sasl.password` and \
         `sasl.mechanism`",
    ),
    (
        Code::NotEnoughReplicas,
        "too few replicas are in sync for `min.insync.replicas`: bring brokers back, then publish \
         it again",
    ),
    (
        Code::PurgeQueue,
        "it was given up before it was sent, since the publisher was closed",
    ),
    (
        Code::PurgeInflight,
        "it was given up before it was acknowledged, since the publisher was closed",
    ),
    (
        Code::Fatal,
        "the producer can't go on: close it and make another one",
    ),
];

fn hint(code: i32) -> Option<&'static str> {
    HINTS
        .iter()
        .find(|(known, _)| *known as i32 == code)
        .map(|(_, hint)| *hint)
}
