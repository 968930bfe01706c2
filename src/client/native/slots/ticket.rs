use std::{
    ffi::c_void,
    fmt,
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    task::{Context, Poll},
};

use super::{Content, DONE, FILLING, GONE, IN_FLIGHT, LOCKED, Pool, Slot, SlotPtr, WAITING};

/// The waiting end of a slot.
pub(crate) struct Ticket<C: Content> {
    pub(super) slot: SlotPtr<C>,
    pub(super) pool: Arc<Pool<C>>,
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

impl<C: Content> fmt::Debug for Ticket<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}
