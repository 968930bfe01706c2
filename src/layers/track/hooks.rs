use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tracing::error;

use crate::{
    error::{PanicError, PublishError},
    record::{Delivery, MessageId, ProducerRecord},
};

/// Is told what becomes of published records. Each method does nothing by default.
///
/// They are called on the task that publishes, which waits for them: hand what takes time to another
/// task. `()` is a set of hooks that does nothing, for status alone.
pub trait DeliveryHooks: Send + Sync + 'static {
    /// The record was delivered.
    fn on_success(&self, context: &DeliveryContext<'_>, delivery: &Delivery) {
        let _ = (context, delivery);
    }

    /// The record failed for good. Where it went to a dead-letter topic,
    /// [`PublishError::dead_letter`] says so.
    fn on_failure(&self, context: &DeliveryContext<'_>, error: &PublishError) {
        let _ = (context, error);
    }

    /// An attempt failed; the one that [`DeliveryContext::attempt`] tells follows after a wait.
    fn on_retry_scheduled(&self, context: &DeliveryContext<'_>, after: Duration) {
        let _ = (context, after);
    }
}

impl DeliveryHooks for () {}

impl<H: DeliveryHooks + ?Sized> DeliveryHooks for Arc<H> {
    fn on_success(&self, context: &DeliveryContext<'_>, delivery: &Delivery) {
        (**self).on_success(context, delivery);
    }

    fn on_failure(&self, context: &DeliveryContext<'_>, error: &PublishError) {
        (**self).on_failure(context, error);
    }

    fn on_retry_scheduled(&self, context: &DeliveryContext<'_>, after: Duration) {
        (**self).on_retry_scheduled(context, after);
    }
}

/// The record that a hook is called for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DeliveryContext<'a> {
    /// The record, with the caller's own metadata among its extensions.
    pub record: &'a ProducerRecord,
    /// Its id, the same over all attempts.
    pub message_id: &'a MessageId,
    /// The attempt, from 1: the one that was delivered or failed, or the one to come.
    pub attempt: u32,
}

/// Calls a hook; its panic is logged.
pub(super) fn guard(
    record: &ProducerRecord,
    attempt: u32,
    hook: impl FnOnce(&DeliveryContext<'_>),
) {
    let Some(message_id) = &record.message_id else {
        // The layer has given it one.
        return;
    };
    let context = DeliveryContext {
        record,
        message_id,
        attempt,
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| hook(&context))) {
        let panic = PanicError::new(panic);
        error!(
            topic = &*record.topic,
            message_id = %message_id,
            message = panic.message(),
            "a delivery hook panicked"
        );
    }
}
