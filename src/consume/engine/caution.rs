/// How many records are tried together while it isn't known which of them kills the process.
const GROUP: i64 = 64;

/// The careful way through offsets that were being handled when a process ended without a word.
///
/// Records are dispatched in *trials*: a trial is written down, with the group's offsets, before
/// its records are begun, so that the next process knows what was running if this one dies as
/// well. What died in a group is tried one by one the next time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caution {
    /// From, to (excluded): one by one.
    pub(crate) singly: (i64, i64),
    /// Behind this offset nothing was running.
    pub(crate) until: i64,
    trial: Trial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    None,
    /// Not written down yet.
    Asked(i64, i64),
    Granted(i64, i64),
}

/// What may happen to a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Go,
    Wait,
    /// Once this trial, from and to, is written down.
    Ask(i64, i64),
}

impl Caution {
    pub(crate) fn new(singly: (i64, i64), until: i64) -> Self {
        Self {
            singly,
            until,
            trial: Trial::None,
        }
    }

    pub(super) fn admit(&mut self, offset: i64, running: usize) -> Admission {
        match self.trial {
            Trial::Granted(from, to) if (from..to).contains(&offset) => Admission::Go,
            Trial::None | Trial::Granted(..) if running == 0 => {
                let to = match (self.singly.0..self.singly.1).contains(&offset) {
                    true => offset + 1,
                    false if offset < self.singly.0 => self.singly.0.min(offset + GROUP),
                    false => offset + GROUP,
                };
                self.trial = Trial::Asked(offset, to);
                Admission::Ask(offset, to)
            }
            Trial::None | Trial::Asked(..) | Trial::Granted(..) => Admission::Wait,
        }
    }

    pub(super) fn grant(&mut self) {
        if let Trial::Asked(from, to) = self.trial {
            self.trial = Trial::Granted(from, to);
        }
    }

    /// A record was tried and comes again: alone, its next attempt is written down as well.
    pub(super) fn renew(&mut self, offset: i64) {
        if self.trial == Trial::Granted(offset, offset + 1) {
            self.trial = Trial::None;
        }
    }
}
