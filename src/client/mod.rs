//! What both clients share: settings, error codes, and the one room with unsafe code.

pub(crate) mod codes;
pub(crate) mod known;
pub(crate) mod logging;
pub(crate) mod native;
pub(crate) mod properties;
pub(crate) mod redact;
pub(crate) mod topic_name;
