//! What both clients share: settings, error codes, and the one room with unsafe code.

pub(crate) mod codes;
pub(crate) mod contact;
pub(crate) mod known;
pub(crate) mod logging;
pub(crate) mod native;
pub(crate) mod properties;
pub(crate) mod redact;
pub(crate) mod security;
pub(crate) mod tls;
pub(crate) mod topic_name;

/// Runs the caller's code (a waker, a destructor, a log subscriber) on a thread of ours: a panic in it
/// is logged by the panic hook and harms nobody else.
pub(crate) fn guarded(run: impl FnOnce()) {
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
}
