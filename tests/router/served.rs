//! Routers that are served.

use std::sync::Arc;

use kafka_tower::{
    ConsumerRecord, ConsumerSettings, Outcome, ProducerRecord, Router, ServeError,
    extract::{Json, Key, Offset, State},
};
use tokio::sync::{Semaphore, mpsc};
use tower::limit::ConcurrencyLimitLayer;

use crate::{
    bed::{Bed, Calls, Level, Running, soon},
    support::run,
    topics::beside,
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

#[test]
fn a_route_without_room_holds_up_its_own_partitions_only() {
    run(async {
        let bed = Bed::new(2).await;
        let other = beside(&bed, ".other").await;
        bed.fill(3).await;
        for _ in 0..3 {
            bed.send(ProducerRecord::to(other.as_str()).payload(""))
                .await;
        }
        let (release, running, calls) = (
            Arc::new(Semaphore::new(0)),
            Level::default(),
            Calls::default(),
        );
        let (released, level, noted) = (Arc::clone(&release), running.clone(), calls.clone());
        let slow = async move |record: ConsumerRecord| {
            let _running = level.enter();
            noted.note(&record);
            released.acquire().await.unwrap().forget();
        };
        let (seen, mut others) = mpsc::unbounded_channel();
        let router = Router::new()
            .topic(bed.topic.as_str(), slow)
            .topic(other, async move |Offset(offset): Offset| {
                seen.send(offset).unwrap()
            })
            // One for each route, over all of its partitions.
            .layer(ConcurrencyLimitLayer::new(1));
        let served = bed.serve(router);
        running.reach(1).await;
        for offset in 0..3 {
            let seen = soon("a record of the other topic", others.recv()).await;
            assert_eq!(seen, Some(offset));
        }
        release.add_permits(6);
        calls.reach(6).await;
        bed.committed_soon(&bed.all_at(3)).await;
        assert_eq!(served.stop().await.acked, 9);
        assert_eq!(running.most(), 1);
    });
}

#[test]
fn a_router_without_topics_needs_some_from_the_settings() {
    run(async {
        let bed = Bed::new(1).await;
        let settings = || ConsumerSettings::new(bed.brokers(), &bed.group);
        let router = Router::new().fallback(async || {});
        let error = Running::start(settings(), router).end().await.unwrap_err();
        assert!(matches!(error, ServeError::NoTopics), "{error}");
    });
}
