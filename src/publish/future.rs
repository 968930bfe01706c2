use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::failure;
use crate::{
    client::native::{
        reports::{Delivering, Report},
        slots::Ticket,
    },
    error::PublishError,
    record::{Delivery, MessageId, ProducerRecord},
};

/// The future of a publish: resolves when Kafka's delivery report arrives.
///
/// Cancel safety: dropping it doesn't call the record back. It is published all the same, its room
/// in the publisher is held until the report arrives, and a failure is logged, since nobody waits
/// for it.
#[must_use = "a failed delivery shows only in the future's output"]
pub struct DeliveryFuture(State);

enum State {
    Failed(PublishError),
    Waiting(Ticket<Delivering>),
    Finished,
}

impl DeliveryFuture {
    pub(super) fn failed(error: PublishError) -> Self {
        Self(State::Failed(error))
    }

    pub(super) fn waiting(ticket: Ticket<Delivering>) -> Self {
        Self(State::Waiting(ticket))
    }
}

impl Future for DeliveryFuture {
    type Output = Result<Delivery, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Waiting(ticket) = &self.0
            && ticket.poll_done(cx).is_pending()
        {
            ticket.shared().hand_over();
            return Poll::Pending;
        }
        match mem::replace(&mut self.0, State::Finished) {
            State::Failed(error) => Poll::Ready(Err(error)),
            State::Waiting(ticket) => Poll::Ready(ticket.finish(resolve)),
            State::Finished => panic!("`DeliveryFuture` polled after completion"),
        }
    }
}

impl Drop for DeliveryFuture {
    fn drop(&mut self) {
        if let State::Waiting(ticket) = &self.0 {
            ticket.shared().hand_over();
        }
    }
}

/// What a report says of its record.
///
/// A failure takes the record out.
#[inline]
pub(super) fn resolve(
    record: &mut ProducerRecord,
    report: Report,
) -> Result<Delivery, PublishError> {
    let known = |value: i64| (value >= 0).then_some(value);
    match report.code {
        0 => Ok(Delivery {
            topic: Arc::clone(&record.topic),
            partition: report.partition,
            offset: known(report.offset),
            timestamp: known(report.timestamp),
            message_id: record
                .message_id
                .take()
                .unwrap_or_else(|| match record.timestamp {
                    None => MessageId::at(report.timestamp),
                    Some(_) => MessageId::new(),
                }),
            attempts: 1,
        }),
        _ => {
            let empty = ProducerRecord::to(Arc::clone(&record.topic));
            Err(failure::reported(mem::replace(record, empty), &report))
        }
    }
}

impl fmt::Debug for DeliveryFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Failed(_) => "failed",
            State::Waiting(_) => "waiting",
            State::Finished => "finished",
        };
        f.debug_tuple("DeliveryFuture").field(&state).finish()
    }
}
