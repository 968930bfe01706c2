use std::{borrow::Cow, time::Duration};

use super::Delivery;

/// What became of a consumed record.
///
/// `Ack`, `Skip` and `Moved` complete it: its offset may be committed. The others ask for
/// something, and the record stays incomplete until it was done.
///
/// A service for [`serve`](crate::serve) answers with anything that converts into an outcome: `()`
/// is `Ack`, a [`Delivery`] is `Moved`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "an outcome has an effect only when the service returns it"]
pub enum Outcome {
    /// Handled.
    Ack,
    /// Left alone on purpose: complete, and counted apart.
    Skip,
    /// Written elsewhere, to a dead-letter topic for instance, and acknowledged there.
    Moved {
        /// Where it landed.
        to: Delivery,
    },
    /// Dispatch it again, as the next attempt.
    Retry {
        /// How long to wait before; `None` means at once.
        after: Option<Duration>,
    },
    /// Dispatch it again later as the *same* attempt: nothing is wrong with the record.
    Defer {
        /// How long to wait before.
        after: Duration,
    },
    /// Ask the dead-letter layer to move it; without that layer it is an unhandled failure.
    DeadLetter {
        /// Why, in a few words without confidential data: it becomes a header.
        reason: Cow<'static, str>,
    },
    /// Stop consuming: the others are drained, this record is not completed.
    Stop,
}

impl Outcome {
    /// Whether the record is complete, so that its offset may be committed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Ack | Self::Skip | Self::Moved { .. })
    }
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Ack
    }
}

impl From<Delivery> for Outcome {
    fn from(to: Delivery) -> Self {
        Self::Moved { to }
    }
}
