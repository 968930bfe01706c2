//! Routers that are served.

use kafka_tower::{
    ConsumerSettings, Outcome, ProducerRecord, Router,
    extract::{Json, Key, State},
};
use tokio::sync::mpsc;

use crate::{
    bed::{Bed, Running, soon},
    support::run,
};

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Order {
    id: u32,
}

#[test]
fn serve_learns_the_topics_from_the_router() {
    run(async {
        let bed = Bed::new(2).await;
        let order = ProducerRecord::to(bed.topic.as_str()).key("42");
        bed.send(order.json(&Order { id: 42 }).unwrap()).await;

        let (seen, mut handled) = mpsc::unbounded_channel();
        async fn on_order(
            State(seen): State<mpsc::UnboundedSender<(String, Order)>>,
            Key(key): Key<String>,
            Json(order): Json<Order>,
        ) -> Outcome {
            seen.send((key, order)).unwrap();
            Outcome::Skip
        }
        let router = Router::new()
            .topic(bed.topic.as_str(), on_order)
            .with_state(seen);
        let settings = ConsumerSettings::new(bed.brokers(), &bed.group);
        let running = Running::start(settings, router);
        let order = soon("an order", handled.recv()).await;
        assert_eq!(order, Some(("42".to_owned(), Order { id: 42 })));
        assert_eq!(running.stop().await.skipped, 1);
    });
}
