//! The task that calls the stack.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc::UnboundedReceiver;

use super::books::{Entry, Shared};
use crate::{
    error::{BoxError, PanicError, PublishError, boxed},
    record::{Delivery, ProducerRecord, Record, RecordService},
};

type Published = Result<Delivery, PublishError>;

/// Sends what comes until nothing can come any more, or until it shall give up.
pub(super) async fn run<S: RecordService<ProducerRecord>>(
    mut stack: S,
    mut entries: UnboundedReceiver<Entry>,
    ends: Ends,
) {
    let shared = &*ends.0;
    let mut running = FuturesUnordered::new();
    let mut next = None;
    let mut more = true;
    while more || next.is_some() || !running.is_empty() {
        // What can enter does, before the others are polled: the publisher hands over together what
        // was called together.
        tokio::select! {
            biased;
            () = shared.give_up.cancelled() => return,
            ready = poll_fn(|cx| poll_ready(&mut stack, next.as_ref(), cx)), if next.is_some() => {
                let (number, record, room): Entry = next.take().expect("asked for");
                let kept = record.clone();
                match ready.and_then(|()| call(&mut stack, record)) {
                    Ok(future) => running.push(async move {
                        let result = settle(future, &kept).await;
                        (number, result, room)
                    }),
                    Err(error) => shared.settle(number, Err(error.or_record(&kept))),
                }
            }
            entry = entries.recv(), if more && next.is_none() => {
                more = entry.is_some();
                next = entry;
            }
            Some((number, result, _room)) = running.next() => shared.settle(number, result),
        }
    }
}

/// Says so, also when the runtime drops the task, be it before it began.
pub(super) struct Ends(pub(super) Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A panic fails the record that wants to enter; the stack may be ready for the next.
fn poll_ready<S: RecordService<ProducerRecord>>(
    stack: &mut S,
    next: Option<&Entry>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), PublishError>> {
    let Some((_, record, _)) = next else {
        return Poll::Pending;
    };
    match catch_unwind(AssertUnwindSafe(|| stack.poll_ready(cx))) {
        Ok(ready) => ready.map_err(|error| ProducerRecord::dead(boxed(error))),
        Err(panic) => Poll::Ready(Err(record.refuse(PanicError::new(panic).into()))),
    }
}

fn call<S: RecordService<ProducerRecord>>(
    stack: &mut S,
    record: ProducerRecord,
) -> Result<S::Future, PublishError> {
    let kept = record.clone();
    catch_unwind(AssertUnwindSafe(|| stack.call(record)))
        .map_err(|panic| kept.fail(PanicError::new(panic).into()))
}

async fn settle<T, E>(
    future: impl Future<Output = Result<T, E>>,
    record: &ProducerRecord,
) -> Published
where
    T: Into<Delivery>,
    E: Into<BoxError> + 'static,
{
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(Ok(delivery)) => Ok(delivery.into()),
        Ok(Err(error)) => Err(record.fail(boxed(error))),
        Err(panic) => Err(record.fail(PanicError::new(panic).into())),
    }
}
