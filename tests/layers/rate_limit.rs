//! How many pass, and when.

use std::time::Duration;

use futures_util::FutureExt;
use kafka_tower::{
    ConsumerRecord, Outcome, ProducerRecord,
    layers::{CircuitBreakerLayer, RateLimitLayer},
};
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use crate::{
    bed::{Bed, Calls},
    fake::{Fake, delivered, order, read},
    support::run,
};

const SECOND: Duration = Duration::from_secs(1);

fn publisher(count: usize) -> Fake<ProducerRecord> {
    Fake::new((0..count).map(|_| delivered()))
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_at_once_and_the_rest_evenly() {
    let fake = publisher(6);
    let mut service = RateLimitLayer::new(4, SECOND).layer(fake.handle());
    for _ in 0..6 {
        service.ready().await.unwrap().call(order()).await.unwrap();
    }
    assert_eq!(fake.times(), [0, 0, 0, 0, 250, 500]);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_limit_and_who_waits_longest_goes_first() {
    let fake = publisher(12);
    let layer = RateLimitLayer::new(10, SECOND).burst(1);
    let mut tasks = JoinSet::new();
    for n in 0..12 {
        // Of two services by turns.
        let service = layer.layer(fake.handle());
        let record = order().header("n", n.to_string());
        tasks.spawn(async move { service.oneshot(record).await });
    }
    tasks.join_all().await;
    let times: Vec<_> = (0..12).map(|n| n * 100).collect();
    // A timer wakes within the next millisecond.
    let late = fake
        .times()
        .into_iter()
        .zip(times)
        .map(|(at, due)| at - due);
    assert!(late.clone().all(|late| late < 20), "{:?}", fake.times());
    let order: Vec<_> = fake
        .calls()
        .iter()
        .map(|call| call.headers.get("n").map(Vec::from))
        .collect();
    let sorted: Vec<_> = (0..12).map(|n| Some(n.to_string().into_bytes())).collect();
    assert_eq!(order, sorted);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_for_the_call() {
    let fake = publisher(2);
    let mut service = RateLimitLayer::new(1, SECOND).layer(fake.handle());
    for _ in 0..3 {
        service.ready().await.unwrap();
    }
    service.call(order()).await.unwrap();
    service.ready().await.unwrap().call(order()).await.unwrap();
    assert_eq!(fake.times(), [0, 1000]);
    fake.end();
    assert!(service.ready().await.is_err());
}

#[tokio::test]
#[should_panic(expected = "`poll_ready` must be called first")]
async fn a_call_without_a_token_is_a_mistake() {
    let mut service = RateLimitLayer::new(1, SECOND).layer(publisher(1));
    drop(service.call(order()));
}

#[tokio::test(start_paused = true)]
async fn it_waits_also_on_the_consume_side_and_inside_of_others() {
    let fake = Fake::<ConsumerRecord>::new([Ok(Outcome::Ack), Ok(Outcome::Ack)]);
    let mut service = ServiceBuilder::new()
        .layer(CircuitBreakerLayer::consecutive(1, SECOND))
        .layer(RateLimitLayer::new(1, SECOND))
        .service(fake.handle());
    for _ in 0..2 {
        let answer = service.ready().await.unwrap().call(read(1)).await;
        assert_eq!(answer.unwrap(), Outcome::Ack);
    }
    assert_eq!(fake.times(), [0, 1000]);
}

#[test]
fn a_limited_consumer_loses_nothing_and_shuts_down_while_it_waits() {
    run(async {
        let bed = Bed::for_several(2).await;
        bed.fill(10).await;
        let calls = Calls::default();
        let layer = RateLimitLayer::new(1, Duration::from_secs(3600)).burst(8);
        let running = bed.serve(layer.layer(calls.service(async |_| Ok(()))));
        calls.reach(8).await;
        let summary = running.stop().await;
        assert_eq!((summary.acked, calls.all().len()), (8, 8));
        let next = Calls::default();
        let running = bed.serve(next.acking());
        bed.committed_soon(&bed.all_at(10)).await;
        running.stop().await;
        assert_eq!(next.all().len(), 12);
    });
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_is_not_polled_any_more_holds_up_nobody() {
    let fake = publisher(3);
    let mut service = RateLimitLayer::new(1, SECOND).layer(fake.handle());
    service.ready().await.unwrap().call(order()).await.unwrap();
    let mut abandoned = service.clone();
    assert!(abandoned.ready().now_or_never().is_none());
    let others = async {
        for _ in 0..2 {
            service.ready().await.unwrap().call(order()).await.unwrap();
        }
    };
    let soon = tokio::time::timeout(60 * SECOND, others).await;
    soon.expect("their turn");
}

#[tokio::test(start_paused = true)]
async fn the_largest_settings_are_no_overflow() {
    let day = 24 * 3600 * SECOND;
    for layer in [
        RateLimitLayer::new(1, Duration::MAX),
        RateLimitLayer::new(u32::MAX, Duration::MAX),
        RateLimitLayer::new(1, day).burst(u32::MAX),
        RateLimitLayer::new(u32::MAX, SECOND),
        RateLimitLayer::new(0, Duration::ZERO).burst(0),
    ] {
        let mut service = layer.layer(publisher(1));
        service.ready().await.unwrap().call(order()).await.unwrap();
    }
    // Once in a lifetime is not twice.
    let mut service = RateLimitLayer::new(1, Duration::MAX).layer(publisher(2));
    service.ready().await.unwrap().call(order()).await.unwrap();
    let again = tokio::time::timeout(day, service.ready()).await;
    assert!(again.is_err(), "a second one");
}
