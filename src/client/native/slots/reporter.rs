use std::{
    ffi::c_void,
    marker::PhantomData,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Acquire},
    },
};

use super::{Content, DONE, GONE, IN_FLIGHT, LOCKED, Pool, Slot, SlotPtr, WAITING, lock};
use crate::client::guarded;

/// The completing end of all slots of a pool. There is one, and it stays on one thread at a time.
pub(crate) struct Reporter<C: Content> {
    pub(super) pool: Arc<Pool<C>>,
    pub(super) _not_sync: PhantomData<std::cell::Cell<()>>,
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
                        guarded(|| waker.wake());
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
