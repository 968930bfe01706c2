//! Where ids come from.

use kafka_tower::{MessageId, ProducerRecord, layers::MessageIdLayer};
use tower::{Layer, ServiceExt};

use crate::fake::{Fake, delivered, order};

async fn id(layer: MessageIdLayer, record: ProducerRecord) -> MessageId {
    let fake = Fake::new([delivered()]);
    layer.layer(fake.handle()).oneshot(record).await.unwrap();
    let [call] = <[ProducerRecord; 1]>::try_from(fake.calls()).unwrap();
    call.message_id.expect("an id")
}

#[tokio::test]
async fn a_record_without_an_id_gets_one() {
    let made = id(MessageIdLayer::new(), order()).await;
    assert_eq!(made.as_uuid().expect("a UUID").get_version_num(), 7);
    assert_ne!(made, id(MessageIdLayer::new(), order()).await);
}

#[tokio::test]
async fn the_callers_own_id_is_kept() {
    let record = order().message_id("mine").header("id", "other");
    assert_eq!(
        id(MessageIdLayer::new(), record.clone()).await,
        "mine".into()
    );
    assert_eq!(
        id(MessageIdLayer::from_header("id"), record).await,
        "mine".into()
    );
}

#[tokio::test]
async fn an_id_may_come_from_a_header() {
    let layer = || MessageIdLayer::from_header("id");
    assert_eq!(id(layer(), order().header("id", "h")).await, "h".into());
    // No id is made of what is no text.
    for record in [order().header("id", b"\xff"), order()] {
        assert!(id(layer(), record).await.as_uuid().is_some());
    }
}

#[tokio::test]
async fn an_id_may_be_made_of_the_record() {
    let layer = MessageIdLayer::with(|record| Some(record.topic.as_ref().into()));
    assert_eq!(id(layer, order()).await, "orders".into());
}
