//! Dead letters: what is moved, what it carries, and what happens when it can't be written.

mod broker;
mod carries;
mod original;
mod writing;

use kafka_tower::{
    BoxError, Classified, ConsumerRecord, Delivery, ErrorClass, MessageId, ProducerRecord, Record,
    find_error,
};
use tower::{Service, ServiceExt};

use crate::fake::{Fake, Handled, Published};

pub(super) fn written() -> Published {
    Ok(Delivery::new("orders.dlq", 0, 9, MessageId::from("dead")))
}

pub(super) fn publisher(answers: impl IntoIterator<Item = Published>) -> Fake<ProducerRecord> {
    Fake::new(answers)
}

pub(super) fn graveyard(answers: impl IntoIterator<Item = Published>) -> Fake<ProducerRecord> {
    Fake::new(answers)
}

pub(super) fn poison() -> Handled {
    Err(Classified::non_retriable("no such customer").into())
}

pub(super) fn handler(answers: impl IntoIterator<Item = Handled>) -> Fake<ConsumerRecord> {
    Fake::new(answers)
}

pub(super) fn text<'a>(letter: &'a ProducerRecord, name: &str) -> Option<&'a str> {
    let value = letter.headers.get(name)?;
    Some(std::str::from_utf8(value).expect("text"))
}

pub(super) fn class(error: &BoxError) -> Option<ErrorClass> {
    find_error(&**error).map(Classified::class)
}

pub(super) async fn call<R: Record, S: Service<R>>(
    service: &mut S,
    record: R,
) -> Result<S::Response, S::Error> {
    service.ready().await?.call(record).await
}
