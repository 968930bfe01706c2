//! More topics on the cluster of a bed.

use kafka_tower::testing::TestKafka;

use crate::bed::Bed;

/// Creates the topic of the bed with a suffix, of one partition.
pub(crate) async fn beside(bed: &Bed, suffix: &str) -> String {
    let name = format!("{}{suffix}", bed.topic);
    match bed.mock() {
        Some(kafka) => kafka.create_topic(&name, 1),
        None => {
            let kafka = TestKafka::from_env().await.expect("a cluster");
            kafka.create_topic(&name, 1).await
        }
    }
    .expect("a topic");
    name
}
