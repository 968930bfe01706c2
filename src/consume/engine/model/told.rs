//! What a lane is expected to tell.

use std::collections::VecDeque;

/// The ends that a lane got to, or will.
#[derive(Default)]
pub(super) struct Ends {
    ahead: VecDeque<i64>,
    last: Option<i64>,
}

impl Ends {
    pub(super) fn arrive(&mut self, end: i64) {
        if self.last < Some(end) {
            self.last = Some(end);
            self.ahead.push_back(end);
        }
    }

    /// Of several ends that are passed in one go only the last is told.
    pub(super) fn tell(&mut self, end: i64) {
        self.ahead.retain(|ahead| *ahead >= end);
        assert_eq!(self.ahead.pop_front(), Some(end), "an end");
    }

    pub(super) fn are_told(&self) -> bool {
        self.ahead.is_empty()
    }
}

/// What a lane may begin as long as it has to be careful.
#[derive(Default)]
pub(super) struct Trials {
    /// Nothing may begin yet.
    pub(super) gated: bool,
    /// Behind it nothing was running.
    pub(super) until: Option<i64>,
    asked: Option<(i64, i64)>,
    granted: Option<(i64, i64)>,
}

impl Trials {
    pub(super) fn new(until: Option<i64>) -> Self {
        Self {
            gated: true,
            until,
            ..Self::default()
        }
    }

    pub(super) fn ask(&mut self, trial: (i64, i64)) {
        assert!(!self.gated && self.until.is_some(), "{trial:?}");
        assert_eq!(self.asked, None, "asked twice");
        (self.asked, self.granted) = (Some(trial), None);
    }

    pub(super) fn grant(&mut self) {
        if self.gated {
            self.gated = false;
        } else if let Some(asked) = self.asked.take() {
            self.granted = Some(asked);
        }
    }

    /// A record is taken beside so many that run.
    pub(super) fn take(&mut self, offset: i64, running: usize) {
        assert!(!self.gated, "{offset} before the gate is open");
        let Some(until) = self.until else {
            return;
        };
        if offset >= until {
            assert_eq!(running, 0, "{offset} beside a trial");
            *self = Self::default();
            return;
        }
        let is_granted = |(from, to)| (from..to).contains(&offset);
        assert!(self.granted.is_some_and(is_granted), "{offset}");
    }

    /// A record comes again.
    pub(super) fn put_off(&mut self, offset: i64) {
        self.granted.take_if(|trial| *trial == (offset, offset + 1));
    }

    /// Whether this record's attempt was counted before it began.
    pub(super) fn counts(&self, offset: i64) -> bool {
        self.granted == Some((offset, offset + 1))
    }
}
