//! The router: handlers and their arguments, which route a record takes, and topics with types.

#[path = "../support/consume.rs"]
mod bed;
#[path = "../support/mod.rs"]
mod support;
#[path = "../layers/topics.rs"]
mod topics;

mod extract;
mod prefixes;
mod returns;
mod routing;
mod served;
mod transform;
mod typed;

use kafka_tower::{BoxError, ConsumerRecord, Outcome, Router};
use tower::ServiceExt;

/// What a router answers to a record.
pub(crate) async fn answer(router: Router, record: ConsumerRecord) -> Result<Outcome, BoxError> {
    router.into_service().oneshot(record).await
}

/// A record that a router acks.
pub(crate) async fn ack(router: Router, record: ConsumerRecord) {
    assert_eq!(answer(router, record).await.unwrap(), Outcome::Ack);
}
