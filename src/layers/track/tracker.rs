use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::record::Delivery;

/// How far a record has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryStatus {
    /// On its way, or not yet sent off.
    Pending,
    /// An attempt failed, and another one follows.
    RetryScheduled {
        /// The number of the one that follows: 2 or more.
        attempt: u32,
        /// How long it waits, from the failure on.
        after: Duration,
    },
    /// In Kafka.
    Delivered(Delivery),
    /// Failed for good; the publish's own error says how.
    Failed,
}

impl DeliveryStatus {
    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Delivered(_) | Self::Failed)
    }
}

/// Shows the status of a record to whoever has a clone of it.
///
/// Made by the caller and put among the record's extensions, for the track layer to find. One for each
/// record. When the publish is dropped before its end, the status stays what it was.
#[derive(Clone)]
pub struct DeliveryTracker(Arc<watch::Sender<DeliveryStatus>>);

impl DeliveryTracker {
    /// A tracker for a record that is yet to be published.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(DeliveryStatus::Pending)))
    }

    /// The status by now.
    #[must_use]
    pub fn status(&self) -> DeliveryStatus {
        self.0.borrow().clone()
    }

    /// Tells each change of the status.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<DeliveryStatus> {
        self.0.subscribe()
    }

    /// Waits for the final status.
    ///
    /// Cancel safety: dropping the future ends the waiting and nothing else.
    pub async fn settled(&self) -> DeliveryStatus {
        let mut changes = self.0.subscribe();
        let settled = changes.wait_for(DeliveryStatus::is_final).await;
        settled.expect("this tracker is a sender").clone()
    }

    pub(super) fn set(&self, status: DeliveryStatus) {
        self.0.send_replace(status);
    }
}

impl Default for DeliveryTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DeliveryTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeliveryTracker")
            .field(&self.status())
            .finish()
    }
}
