//! A lane: one assigned partition's queue and its own clone of the service, driven one record at a
//! time, in offset order.
//!
//! A lane knows nothing of Kafka: records come in through a channel, events go out through
//! another. The poll thread makes of them what has to happen to offsets.

mod failure;
mod report;

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{select, sync::mpsc::UnboundedReceiver, task::yield_now, time::sleep};
use tokio_util::sync::CancellationToken;
use tower::Service;

use self::failure::{Panicked, Unplaced};
pub(super) use self::report::{Completion, Event, InHand, Reporter};
use super::summary::Undone;
use crate::{
    error::BoxError,
    record::{ConsumerRecord, Outcome},
};

/// What a lane's task is given.
pub(super) struct Seat {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) records: UnboundedReceiver<ConsumerRecord>,
    /// No new dispatch; what waits is dropped; what runs may finish.
    pub(super) stop: CancellationToken,
    /// What runs is dropped as well. Cancelled only together with or after `stop`.
    pub(super) cancel: CancellationToken,
    pub(super) reporter: Reporter,
}

/// Runs a lane until it is stopped, or a record ends it.
pub(super) async fn run<S>(make: Arc<impl Fn(&str, i32) -> S>, mut seat: Seat)
where
    S: Service<ConsumerRecord, Response: Into<Outcome>, Error: Into<BoxError>>,
{
    let mut service = None;
    loop {
        let record = select! {
            biased;
            () = seat.stop.cancelled() => return,
            record = seat.records.recv() => record,
        };
        let Some(record) = record else { return };
        let offset = record.offset();
        let Seat {
            topic, partition, ..
        } = &seat;
        let made = match &mut service {
            Some(service) => Ok(service),
            // Made with a record in hand, so that a panic here is that record's failure.
            empty @ None => catch_unwind(AssertUnwindSafe(|| make(topic, *partition)))
                .map(|made| empty.insert(made)),
        };
        let result = match made {
            Ok(service) => work(service, record, &mut seat).await,
            Err(panic) => Err(End::Failed(Panicked::from(panic).into())),
        };
        match result {
            Ok(how) => seat.reporter.complete(offset, how),
            Err(end) => return finish(end, offset, &mut seat.reporter),
        }
    }
}

/// Why a record ends its lane.
enum End {
    Undone(Undone),
    Unstarted,
    Failed(BoxError),
    ServiceEnded(BoxError),
    StopRequested,
}

fn finish(end: End, offset: i64, reporter: &mut Reporter) {
    match end {
        End::Undone(why) => reporter.fate = why,
        End::Unstarted => {}
        End::Failed(error) => {
            reporter.begin(offset);
            reporter.fate = Undone::Failed;
            reporter.send(Event::Failed { offset, error });
        }
        End::ServiceEnded(error) => {
            reporter.fate = Undone::Waiting;
            reporter.send(Event::ServiceEnded { offset, error });
        }
        End::StopRequested => {
            reporter.fate = Undone::Stopped;
            reporter.send(Event::StopRequested { offset });
        }
    }
}

/// Dispatches a record until it is complete.
async fn work<S>(
    service: &mut S,
    record: ConsumerRecord,
    seat: &mut Seat,
) -> Result<Completion, End>
where
    S: Service<ConsumerRecord, Response: Into<Outcome>, Error: Into<BoxError>>,
{
    let mut attempt = record.attempt();
    let mut started = false;
    loop {
        select! {
            biased;
            () = seat.stop.cancelled() => return Err(match started {
                true => End::Undone(Undone::Waiting),
                false => End::Unstarted,
            }),
            ready = ready(service) => ready?,
        }
        started = true;
        seat.reporter.begin(record.offset());
        let outcome = select! {
            biased;
            // First, so that what completes at the deadline counts as complete.
            outcome = call(service, record.clone().with_attempt(attempt)) => outcome?,
            () = seat.cancel.cancelled() => return Err(End::Undone(Undone::Cancelled)),
        };
        let after = match outcome {
            Outcome::Ack => return Ok(Completion::Acked),
            Outcome::Skip => return Ok(Completion::Skipped),
            Outcome::Moved { .. } => return Ok(Completion::Moved),
            Outcome::Stop => return Err(End::StopRequested),
            Outcome::DeadLetter { reason } => {
                return Err(End::Failed(Unplaced(reason.into_owned()).into()));
            }
            Outcome::Retry { after } => {
                attempt = attempt.saturating_add(1);
                seat.reporter.send(Event::Retried);
                after
            }
            Outcome::Defer { after } => {
                seat.reporter.send(Event::Deferred);
                Some(after)
            }
        };
        select! {
            biased;
            () = seat.stop.cancelled() => return Err(End::Undone(Undone::Waiting)),
            () = pause(after) => {}
        }
    }
}

async fn pause(after: Option<Duration>) {
    match after {
        Some(after) => sleep(after).await,
        // A record that is retried for ever must not starve the other tasks of its thread.
        None => yield_now().await,
    }
}

async fn ready<S>(service: &mut S) -> Result<(), End>
where
    S: Service<ConsumerRecord, Error: Into<BoxError>>,
{
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| service.poll_ready(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            Ok(Poll::Ready(Err(error))) => Poll::Ready(Err(End::ServiceEnded(error.into()))),
            Err(panic) => Poll::Ready(Err(End::Failed(Panicked::from(panic).into()))),
        },
    )
    .await
}

async fn call<S>(service: &mut S, record: ConsumerRecord) -> Result<Outcome, End>
where
    S: Service<ConsumerRecord, Response: Into<Outcome>, Error: Into<BoxError>>,
{
    // The call itself and both conversions are inside: they are the user's code as well.
    let called = async {
        match service.call(record).await {
            Ok(response) => Ok(response.into()),
            Err(error) => Err(error.into()),
        }
    };
    match AssertUnwindSafe(called).catch_unwind().await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => Err(End::Failed(error)),
        Err(panic) => Err(End::Failed(Panicked::from(panic).into())),
    }
}

#[cfg(test)]
mod tests;
