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
//! * `note` and `value` are written before `launch` by the one who holds the ticket, only read until `DONE`, and
//!   taken by the ticket at `DONE` or by the reporter at `GONE`.
//! * `report` is written by the reporter before `DONE`, and taken with the value.
//! * `waker` belongs to the ticket in `IN_FLIGHT`, to nobody in `WAITING`, to the reporter in
//!   `LOCKED` and `GONE`.
//! * `kept` belongs to the ticket before the record is given away, to the reporter afterwards.
#![allow(unsafe_code)]

use std::{
    cell::UnsafeCell,
    ffi::c_void,
    fmt,
    marker::PhantomData,
    ptr::NonNull,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll, Waker},
};

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

/// The waiting end of a slot.
pub(crate) struct Ticket<C: Content> {
    slot: SlotPtr<C>,
    pool: Arc<Pool<C>>,
}

impl<C: Content> Ticket<C> {
    fn slot(&self) -> &Slot<C> {
        // SAFETY: the slot lives in a chunk of the pool, which `self` keeps alive.
        unsafe { self.slot.0.as_ref() }
    }

    /// The value and what the slot kept from its last use.
    ///
    /// # Safety
    ///
    /// `launch` was not called and the address was not given away yet.
    pub(crate) unsafe fn contents(&mut self) -> (&C::Value, &mut C::Kept) {
        let slot = self.slot();
        // SAFETY: by the contract nobody but this ticket knows the slot.
        unsafe {
            let value = (*slot.value.get()).as_ref().expect("inserted with a value");
            (value, &mut *slot.kept.get())
        }
    }

    pub(crate) fn shared(&self) -> &C::Shared {
        self.pool.shared()
    }

    /// The address to be given away; it comes back in [`Reporter::complete`].
    pub(crate) fn address(&self) -> *mut c_void {
        self.slot.0.as_ptr().cast()
    }

    /// The record is on its way: from now on the report may come, or has come already.
    pub(crate) fn launch(&self) {
        let _ = self
            .slot()
            .state
            .compare_exchange(FILLING, IN_FLIGHT, Release, Relaxed);
    }

    /// Takes the value back.
    ///
    /// # Safety
    ///
    /// `launch` was not called and nobody holds the address: no report will ever come.
    pub(crate) unsafe fn abort(self) -> C::Value {
        let (slot, pool) = self.into_parts();
        // SAFETY: by the contract this ticket was the only one to know the slot.
        unsafe { pool.take(slot).0 }
    }

    fn into_parts(self) -> (SlotPtr<C>, Arc<Pool<C>>) {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so the Arc is moved out exactly once.
        (this.slot, unsafe { std::ptr::read(&this.pool) })
    }

    /// Waits for the report. `None`: it came, and `finish` takes it.
    pub(crate) fn poll_done(&self, cx: &mut Context<'_>) -> Poll<()> {
        let slot = self.slot();
        loop {
            match slot.state.load(Acquire) {
                DONE => return Poll::Ready(()),
                LOCKED => {
                    // The reporter has the old waker in hand and is about to finish.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                WAITING => {
                    // Claim the waker's cell; if that fails the reporter was faster.
                    let _ = slot
                        .state
                        .compare_exchange(WAITING, IN_FLIGHT, Acquire, Relaxed);
                }
                _ => {
                    // SAFETY: in IN_FLIGHT the waker's cell belongs to the ticket.
                    let waker = unsafe { &mut *slot.waker.get() };
                    match waker {
                        Some(waker) => waker.clone_from(cx.waker()),
                        None => *waker = Some(cx.waker().clone()),
                    }
                    if slot
                        .state
                        .compare_exchange(IN_FLIGHT, WAITING, Release, Relaxed)
                        .is_ok()
                    {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Shows value and report, then drops the value.
    ///
    /// # Panics
    ///
    /// When `poll_done` has not answered `Ready`.
    #[inline]
    pub(crate) fn finish<T>(self, f: impl FnOnce(&mut C::Value, C::Report) -> T) -> T {
        assert_eq!(
            self.slot().state.load(Acquire),
            DONE,
            "polled to completion"
        );
        // SAFETY: the state is DONE: the cells are this ticket's, and the reporter will not touch the
        // slot again.
        let (value, report) = unsafe {
            let slot = self.slot();
            (&mut *slot.value.get(), (*slot.report.get()).take())
        };
        let value = value.as_mut().expect("a slot in use holds a value");
        f(value, report.expect("a report comes before DONE"))
        // The ticket's drop frees value and slot.
    }
}

impl<C: Content> Drop for Ticket<C> {
    fn drop(&mut self) {
        let slot = self.slot();
        let mut state = slot.state.load(Acquire);
        while state != DONE {
            // AcqRel: the reporter, finding GONE, must see all that the ticket did to the cells.
            match slot.state.compare_exchange(state, GONE, AcqRel, Acquire) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
        // SAFETY: the state is DONE: the slot belongs to this ticket, which ends here.
        unsafe { self.pool.free(self.slot) };
    }
}

/// The completing end of all slots of a pool. There is one, and it stays on one thread at a time.
pub(crate) struct Reporter<C: Content> {
    pool: Arc<Pool<C>>,
    _not_sync: PhantomData<std::cell::Cell<()>>,
}

#[expect(
    clippy::unused_self,
    reason = "that there is one reporter, borrowed, is what makes it sound"
)]
impl<C: Content> Reporter<C> {
    /// The note of a slot that has not been completed, and what the slot keeps.
    ///
    /// # Safety
    ///
    /// `address` came from [`Ticket::address`] of this pool, was given away, and has not been
    /// completed since.
    pub(crate) unsafe fn note(&mut self, address: *mut c_void) -> (C::Note, &mut C::Kept) {
        // SAFETY: the note is only read until DONE, which only this reporter can set, and `kept`
        // is the reporter's once the address was given away.
        unsafe {
            let slot = &*address.cast::<Slot<C>>();
            (*slot.note.get(), &mut *slot.kept.get())
        }
    }

    /// The value of a slot that has not been completed.
    ///
    /// # Safety
    ///
    /// As [`note`](Self::note).
    pub(crate) unsafe fn value(&self, address: *mut c_void) -> &C::Value {
        // SAFETY: the value is only read until DONE, which only this reporter can set.
        let value = unsafe { (*(*address.cast::<Slot<C>>()).value.get()).as_ref() };
        value.expect("in use until completed")
    }

    /// Fetches what `complete` will touch into this core's cache, where that can be asked for.
    pub(crate) fn prefetch(&self, address: *mut c_void) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch has no effect but on speed, whatever the address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(address.cast_const().cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }

    /// Completes a slot and wakes its future. Where the future is gone, value and report come back.
    ///
    /// # Safety
    ///
    /// As [`note`](Self::note); and `address` must not be used again afterwards.
    pub(crate) unsafe fn complete(
        &mut self,
        address: *mut c_void,
        report: C::Report,
    ) -> Option<(C::Value, C::Report)> {
        let ptr = SlotPtr(NonNull::new(address.cast::<Slot<C>>()).expect("an address of a slot"));
        // SAFETY: slots live as long as the pool.
        let slot = unsafe { ptr.0.as_ref() };
        // SAFETY: the report's cell is the reporter's until DONE.
        unsafe { *slot.report.get() = Some(report) };
        let mut state = slot.state.load(Acquire);
        loop {
            let next = match state {
                GONE => {
                    // SAFETY: the ticket is gone, and it will not come back.
                    let (value, report) = unsafe { self.pool.take(ptr) };
                    return Some((value, report.expect("written above")));
                }
                WAITING => LOCKED,
                _ => DONE,
            };
            let wakers = match slot.state.compare_exchange(state, next, AcqRel, Acquire) {
                Err(now) => {
                    state = now;
                    continue;
                }
                Ok(WAITING) => {
                    // SAFETY: in LOCKED the waker's cell is the reporter's.
                    unsafe { (*slot.waker.get()).take() }
                }
                Ok(_) => return None,
            };
            match slot.state.compare_exchange(LOCKED, DONE, AcqRel, Acquire) {
                // From here on the slot is the ticket's; only the waker taken out may be touched.
                Ok(_) => {
                    if let Some(waker) = wakers {
                        waker.wake();
                    }
                    return None;
                }
                Err(now) => state = now,
            }
        }
    }

    /// Shows the value of every slot that is on its way.
    pub(crate) fn for_each_in_flight(&mut self, mut f: impl FnMut(C::Note, &C::Value)) {
        for slot in lock(&self.pool.chunks)
            .iter()
            .flat_map(|chunk| chunk.iter())
        {
            if matches!(slot.state.load(Acquire), IN_FLIGHT | WAITING | GONE) {
                // SAFETY: in these states note and value are only read, and the step out of them,
                // DONE or taking them at GONE, is this reporter's own.
                let (note, value) = unsafe { (*slot.note.get(), (*slot.value.get()).as_ref()) };
                f(note, value.expect("a slot in flight holds a value"));
            }
        }
    }
}

impl<C: Content> fmt::Debug for Ticket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        task::Wake,
    };

    use super::*;

    struct Text;
    impl Content for Text {
        type Shared = ();
        type Note = u32;
        type Value = Arc<str>;
        type Report = u32;
        type Kept = u32;
    }

    #[derive(Default)]
    struct Counter(AtomicUsize);
    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn complete(reporter: &mut Reporter<Text>, address: usize, report: u32) -> Option<Arc<str>> {
        // SAFETY: each test completes an address once, after `launch`.
        unsafe { reporter.complete(address as *mut c_void, report) }.map(|(value, _)| value)
    }

    fn launch(pool: &Arc<Pool<Text>>, value: &Arc<str>) -> (Ticket<Text>, usize) {
        let ticket = pool.insert(0, Arc::clone(value));
        ticket.launch();
        let address = ticket.address() as usize;
        (ticket, address)
    }

    #[test]
    fn a_report_wakes_the_last_waker_and_frees_the_slot() {
        let (pool, mut reporter) = Pool::<Text>::new(());
        let value: Arc<str> = "v".into();
        let (ticket, address) = launch(&pool, &value);
        let (first, second) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        for counter in [&first, &second] {
            let waker = Waker::from(Arc::clone(counter));
            assert!(
                ticket
                    .poll_done(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        assert!(complete(&mut reporter, address, 7).is_none());
        assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (0, 1));
        ticket.finish(|back, report| assert_eq!((&**back, report), ("v", 7)));
        assert_eq!(Arc::strong_count(&value), 1);
        let (again, _) = launch(&pool, &value);
        assert_eq!(again.address() as usize, address, "the slot is used again");
    }

    #[test]
    fn a_report_may_come_before_the_launch() {
        let (pool, mut reporter) = Pool::<Text>::new(());
        let ticket = pool.insert(0, "v".into());
        assert!(complete(&mut reporter, ticket.address() as usize, 1).is_none());
        ticket.launch();
        assert_eq!(ticket.finish(|_, report| report), 1);
    }

    #[test]
    fn a_dropped_ticket_leaves_the_value_to_the_reporter() {
        let (pool, mut reporter) = Pool::<Text>::new(());
        let value: Arc<str> = "v".into();
        let (ticket, address) = launch(&pool, &value);
        let waker = Waker::from(Arc::new(Counter::default()));
        assert!(
            ticket
                .poll_done(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(ticket);
        let mut seen = 0;
        reporter.for_each_in_flight(|_, _| seen += 1);
        assert_eq!(seen, 1);
        assert_eq!(complete(&mut reporter, address, 1).as_deref(), Some("v"));
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn an_aborted_value_comes_back() {
        let (pool, _reporter) = Pool::<Text>::new(());
        let mut ticket = pool.insert(0, "v".into());
        // SAFETY: the address was never given away.
        unsafe {
            *ticket.contents().1 = 5;
            assert_eq!(&*ticket.abort(), "v");
        }
        let mut again = pool.insert(0, "w".into());
        // SAFETY: the address was never given away.
        assert_eq!(
            *unsafe { again.contents() }.1,
            5,
            "what is kept stays with the slot"
        );
        // SAFETY: the address was never given away.
        drop(unsafe { again.abort() });
    }

    #[test]
    fn dropping_a_ticket_after_its_report_frees_the_value() {
        let (pool, mut reporter) = Pool::<Text>::new(());
        let value: Arc<str> = "v".into();
        let (ticket, address) = launch(&pool, &value);
        assert!(complete(&mut reporter, address, 1).is_none());
        drop(ticket);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    /// Many threads poll, drop and wait while one completes: every value ends exactly once.
    #[test]
    fn threads_race_the_reporter() {
        const SENDERS: usize = 4;
        const EACH: usize = if cfg!(miri) { 50 } else { 20_000 };
        let (pool, mut reporter) = Pool::<Text>::new(());
        let value: Arc<str> = "v".into();
        let (sender, receiver) = std::sync::mpsc::channel::<usize>();
        let finished = AtomicUsize::new(0);
        let abandoned = std::thread::scope(|scope| {
            for number in 0..SENDERS {
                let (pool, value, sender) = (&pool, &value, sender.clone());
                let finished = &finished;
                scope.spawn(move || {
                    for round in 0..EACH {
                        let ticket = pool.insert(0, Arc::clone(value));
                        let address = ticket.address() as usize;
                        sender.send(address).unwrap();
                        ticket.launch();
                        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                        let mut cx = Context::from_waker(&waker);
                        match (round + number) % 3 {
                            0 => drop(ticket),
                            1 if ticket.poll_done(&mut cx).is_pending() => drop(ticket),
                            _ => {
                                while ticket.poll_done(&mut cx).is_pending() {
                                    std::thread::park();
                                }
                                assert_eq!(
                                    ticket.finish(|_, report| report) as usize,
                                    address & 0xffff
                                );
                                finished.fetch_add(1, SeqCst);
                            }
                        }
                    }
                });
            }
            drop(sender);
            let mut abandoned = 0;
            for address in receiver {
                let report = u32::try_from(address & 0xffff).unwrap();
                abandoned += usize::from(complete(&mut reporter, address, report).is_some());
            }
            abandoned
        });
        assert!(finished.load(SeqCst) >= SENDERS * EACH / 3);
        assert!(abandoned > 0);
        assert_eq!(
            Arc::strong_count(&value),
            1,
            "no value was leaked or freed twice"
        );
        reporter.for_each_in_flight(|_, _| panic!("nothing is on its way"));
    }

    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
}
