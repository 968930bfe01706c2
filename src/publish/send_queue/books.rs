//! What is in the queue, and what became of the rest.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc::UnboundedSender, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{Flushed, closed};
use crate::{
    error::PublishError,
    record::{Delivery, ProducerRecord},
};

/// A record on its way to the worker: its number and its place in the queue.
pub(super) type Entry = (u64, ProducerRecord, OwnedSemaphorePermit);

/// What the handles and the worker share.
pub(super) struct Shared {
    pub(super) room: Arc<Semaphore>,
    /// Drop what is in the queue.
    pub(super) give_up: CancellationToken,
    books: Mutex<Books>,
    changes: watch::Sender<()>,
}

impl Shared {
    pub(super) fn new(max_in_flight: usize, entries: UnboundedSender<Entry>) -> Self {
        let most = max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(most)),
            give_up: CancellationToken::new(),
            books: Mutex::new(Books {
                entries: Some(entries),
                next: 0,
                pending: BTreeMap::new(),
                delivered: 0,
                failed: Vec::new(),
                ended: false,
            }),
            changes: watch::Sender::new(()),
        }
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more records.
    pub(super) fn shut(&self) {
        self.room.close();
        self.books().entries = None;
    }

    pub(super) fn settle(&self, number: u64, result: Result<Delivery, PublishError>) {
        self.books().settle(number, result);
        self.changes.send_replace(());
    }

    /// The worker is no more.
    pub(super) fn end(&self) {
        self.shut();
        self.books().ended = true;
        self.changes.send_replace(());
    }

    pub(super) async fn wait_until(&self, is_so: impl Fn(&Books) -> bool) {
        let mut changes = self.changes.subscribe();
        while !is_so(&self.books()) {
            // The sender is this one's.
            let _ = changes.changed().await;
        }
    }
}

impl Drop for Shared {
    /// Nobody has asked: at least it is said.
    fn drop(&mut self) {
        let books = self.books.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (failed, undelivered) = (books.failed.len(), books.pending.len());
        if failed + undelivered > 0 {
            error!(
                failed,
                undelivered, "a send queue was dropped with records; `close` hands them back"
            );
        }
    }
}

pub(super) struct Books {
    /// `None`: no more records.
    entries: Option<UnboundedSender<Entry>>,
    /// The number of the next record.
    next: u64,
    pending: BTreeMap<u64, ProducerRecord>,
    delivered: u64,
    failed: Vec<PublishError>,
    ended: bool,
}

impl Books {
    /// Takes a record in, or gives it back.
    pub(super) fn enter(
        &mut self,
        record: ProducerRecord,
        room: OwnedSemaphorePermit,
    ) -> Result<(), PublishError> {
        let entry = (self.next, record.clone(), room);
        let entries = self.entries.as_ref();
        if entries.is_none_or(|entries| entries.send(entry).is_err()) {
            return Err(closed(record));
        }
        self.pending.insert(self.next, record);
        self.next += 1;
        Ok(())
    }

    fn settle(&mut self, number: u64, result: Result<Delivery, PublishError>) {
        self.pending.remove(&number);
        match result {
            Ok(_) => self.delivered += 1,
            Err(error) => self.failed.push(error),
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing is pending with a number below this one, or ever will be settled.
    pub(super) fn is_settled(&self, before: u64) -> bool {
        let first = self.pending.keys().next();
        self.ended || first.is_none_or(|first| *first >= before)
    }

    pub(super) fn take_failed(&mut self) -> Vec<PublishError> {
        mem::take(&mut self.failed)
    }

    pub(super) fn close_page(&mut self, before: u64) -> Flushed {
        let undelivered = self.pending.range(..before);
        Flushed {
            undelivered: undelivered.map(|(_, record)| record.clone()).collect(),
            delivered: mem::take(&mut self.delivered),
            failed: self.take_failed(),
        }
    }

    pub(super) fn close_for_good(&mut self) -> Flushed {
        let flushed = self.close_page(self.next);
        self.pending.clear();
        flushed
    }
}
