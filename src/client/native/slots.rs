//! Slots: where a delivery report meets the future that waits for it, without an allocation for
//! each record.
//!
//! A slot's life, by its state:
//!
//! ```text
//! FREE ─insert─▶ FILLING ─launch─▶ IN_FLIGHT ◀─▶ WAITING (a waker is registered)
//!                   │abort              │           │complete
//!                   ▼                   │complete   ▼
//!                  FREE                 │         LOCKED (the reporter takes the waker)
//!                                       ▼           │
//!                       FREE ◀─poll── DONE ◀────────┘
//! ```
//!
//! A ticket that is dropped before `DONE` leaves `GONE` behind; the reporter then frees the slot.
//! Who may touch which cell:
//!
//! * `note` and `value` are written before `launch` by the one who holds the ticket, only read until
//!   `DONE`, and taken by the ticket at `DONE` or by the reporter at `GONE`.
//! * `report` is written by the reporter before `DONE`, and taken with the value.
//! * `waker` belongs to the ticket in `IN_FLIGHT`, to nobody in `WAITING`, to the reporter in
//!   `LOCKED` and `GONE`.
//! * `kept` belongs to the ticket before the record is given away, to the reporter afterwards.
#![allow(unsafe_code)]

mod reporter;
mod ticket;

use std::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr::NonNull,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU8,
            Ordering::{Relaxed, Release},
        },
    },
    task::Waker,
};

pub(crate) use self::{reporter::Reporter, ticket::Ticket};

const FREE: u8 = 0;
const FILLING: u8 = 1;
const IN_FLIGHT: u8 = 2;
const WAITING: u8 = 3;
const LOCKED: u8 = 4;
const DONE: u8 = 5;
const GONE: u8 = 6;

const CHUNK: usize = 256;

/// What a slot holds.
pub(crate) trait Content: 'static {
    /// A few plain facts for the reporter.
    type Note: Copy + Default + Send + Sync;
    /// What is kept while the record is on its way.
    type Value: Send + Sync;
    /// What the report says.
    type Report: Send;
    /// What stays with the slot from one use to the next.
    type Kept: Default + Send;
    /// What belongs to all slots together.
    type Shared: Send + Sync;
}

/// What the reporter touches comes first, in one cache line where the report is small: the slots
/// of a busy publisher don't fit in a core's own cache.
#[repr(C, align(64))]
struct Slot<C: Content> {
    state: AtomicU8,
    note: UnsafeCell<C::Note>,
    report: UnsafeCell<Option<C::Report>>,
    kept: UnsafeCell<C::Kept>,
    waker: UnsafeCell<Option<Waker>>,
    value: UnsafeCell<Option<C::Value>>,
}

impl<C: Content> Slot<C> {
    fn new() -> Self {
        Self {
            state: AtomicU8::new(FREE),
            note: UnsafeCell::new(C::Note::default()),
            report: UnsafeCell::new(None),
            kept: UnsafeCell::new(C::Kept::default()),
            waker: UnsafeCell::new(None),
            value: UnsafeCell::new(None),
        }
    }
}

/// All slots of a publisher. It grows to the most that were ever in use at once.
pub(crate) struct Pool<C: Content> {
    free: Mutex<Vec<SlotPtr<C>>>,
    chunks: Mutex<Vec<Box<[Slot<C>]>>>,
    shared: C::Shared,
}

struct SlotPtr<C: Content>(NonNull<Slot<C>>);

impl<C: Content> Clone for SlotPtr<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C: Content> Copy for SlotPtr<C> {}

// SAFETY: a slot is shared between threads under the protocol of this module's documentation: each
// cell has one owner at a time, ownership passes with a Release/Acquire pair on `state` (or with
// the mutex of the free list), and what the cells hold is `Send` (the value, which several may
// read at once, also `Sync`).
unsafe impl<C: Content> Send for SlotPtr<C> {}
// SAFETY: as above.
unsafe impl<C: Content> Sync for SlotPtr<C> {}
// SAFETY: as above; the free list and the list of chunks are behind mutexes.
unsafe impl<C: Content> Send for Pool<C> {}
// SAFETY: as above.
unsafe impl<C: Content> Sync for Pool<C> {}

impl<C: Content> Pool<C> {
    /// Makes an empty pool and the one handle that completes its slots.
    pub(crate) fn new(shared: C::Shared) -> (Arc<Self>, Reporter<C>) {
        let pool = Arc::new(Self {
            free: Mutex::new(Vec::new()),
            chunks: Mutex::new(Vec::new()),
            shared,
        });
        let reporter = Reporter {
            pool: Arc::clone(&pool),
            _not_sync: PhantomData,
        };
        (pool, reporter)
    }

    /// Puts a value into a free slot.
    #[inline]
    pub(crate) fn insert(self: &Arc<Self>, note: C::Note, value: C::Value) -> Ticket<C> {
        let free = lock(&self.free).pop();
        let slot = free.unwrap_or_else(|| self.grow());
        // SAFETY: the slot came off the free list, so nobody else has it; it lives in a chunk,
        // which lives as long as the pool.
        unsafe {
            *slot.0.as_ref().note.get() = note;
            *slot.0.as_ref().value.get() = Some(value);
            slot.0.as_ref().state.store(FILLING, Release);
        }
        Ticket {
            slot,
            pool: Arc::clone(self),
        }
    }

    pub(crate) fn shared(&self) -> &C::Shared {
        &self.shared
    }

    #[cold]
    fn grow(&self) -> SlotPtr<C> {
        let chunk: Box<[Slot<C>]> = (0..CHUNK).map(|_| Slot::new()).collect();
        let mut slots: Vec<_> = chunk
            .iter()
            .map(|slot| SlotPtr(NonNull::from(slot)))
            .collect();
        let slot = slots.pop().expect("a chunk is not empty");
        lock(&self.chunks).push(chunk);
        lock(&self.free).append(&mut slots);
        slot
    }

    /// Frees the slot in place.
    ///
    /// # Safety
    ///
    /// As [`take`](Self::take).
    unsafe fn free(&self, slot: SlotPtr<C>) {
        // SAFETY: the caller owns the slot.
        unsafe {
            let slot = slot.0.as_ref();
            *slot.waker.get() = None;
            *slot.value.get() = None;
            *slot.report.get() = None;
            slot.state.store(FREE, Relaxed);
        }
        lock(&self.free).push(slot);
    }

    /// Takes value and report out and frees the slot.
    ///
    /// # Safety
    ///
    /// The caller owns the slot: its state is `DONE` and the ticket asks, or it is `GONE` and the
    /// reporter asks, and neither will touch it again.
    unsafe fn take(&self, slot: SlotPtr<C>) -> (C::Value, Option<C::Report>) {
        // SAFETY: the caller owns the slot.
        let (value, report) = unsafe {
            let slot = slot.0.as_ref();
            *slot.waker.get() = None;
            slot.state.store(FREE, Relaxed);
            ((*slot.value.get()).take(), (*slot.report.get()).take())
        };
        lock(&self.free).push(slot);
        (value.expect("a slot in use holds a value"), report)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
