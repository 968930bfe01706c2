use std::time::Instant;

/// What is, or is to be, written down for a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) offset: i64,
    /// With the note that the lane goes on.
    pub(super) running: bool,
    /// Of its attempts.
    pub(super) version: u64,
}

/// A lane dispatches nothing before a commit has told that it is about to.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) since: Instant,
    /// In the commit on its way.
    pub(super) sent: bool,
}

impl Mark {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            sent: false,
        }
    }
}
