//! What the health routes answer, and when they fail.

#[path = "support/consume.rs"]
mod bed;
mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, body::to_bytes, http::Request};
use bed::{Bed, Calls, Running, soon};
use kafka_tower::{
    BoxError, Consumer, ConsumerHandle, ConsumerRecord, ConsumerSettings,
    health::{Health, health_routes},
    layers::CircuitBreakerLayer,
    serve,
    testing::{EmbeddedKafka, Request as Fault},
};
use prometheus::{IntCounter, Registry};
use serde_json::Value;
use support::run;
use tokio::{sync::Semaphore, time::interval};
use tower::{Layer, Service, ServiceExt, service_fn};

const HOUR: Duration = Duration::from_secs(3600);

async fn get(health: impl Into<Health>, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let routes: Router = health_routes(health);
    let response = routes.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask(health: impl Into<Health>, path: &str) -> (u16, Value) {
    let (status, body) = get(health, path).await;
    (status, serde_json::from_str(&body).unwrap())
}

/// Asks until the answer is as wanted.
async fn answers(health: &Health, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
    let mut often = interval(Duration::from_millis(20));
    soon(path, async {
        loop {
            let (status, answer) = ask(health.clone(), path).await;
            if wanted(status, &answer) {
                return answer;
            }
            often.tick().await;
        }
    })
    .await
}

fn reason(answer: &Value) -> &str {
    answer["reasons"][0].as_str().unwrap_or_default()
}

fn state(answer: &Value) -> &str {
    answer["consumers"][0]["partitions"][0]["state"]
        .as_str()
        .unwrap_or_default()
}

fn idle_consumer(
    brokers: &str,
) -> (
    ConsumerHandle,
    impl IntoFuture<IntoFuture: Send, Output: Send>,
) {
    let settings = ConsumerSettings::new(brokers, "health").topics(["orders"]);
    let consumer = Consumer::with_settings(settings).unwrap();
    let serve = serve(
        consumer,
        service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(())),
    );
    (serve.handle(), serve)
}

#[test]
fn a_consumer_is_ready_from_its_first_assignment_to_its_end() {
    run(async {
        let bed = Bed::new(2).await;
        bed.fill(3).await;
        let (handle, _serve) = idle_consumer(bed.brokers());
        let (status, answer) = ask(handle.clone(), "/readyz").await;
        assert_eq!((status, reason(&answer)), (503, "consumer is not running"));
        assert_eq!(ask(handle, "/livez").await.0, 200);

        let calls = Calls::default();
        let running = bed.serve(calls.acking());
        let handle = running.handle.clone();
        let health = Health::new().consumer("orders", handle.clone());
        let idle = |one: &Value| one["state"] == "idle" && one["lag"] == 0;
        let answer = answers(&health, "/readyz", |status, answer| {
            let partitions = answer["consumers"][0]["partitions"].as_array();
            let done = partitions.is_some_and(|all| all.len() == 2 && all.iter().all(idle));
            status == 200 && done
        })
        .await;
        let consumer = &answer["consumers"][0];
        assert_eq!(
            (&answer["status"], &consumer["name"]),
            (&"ok".into(), &"orders".into())
        );
        assert_eq!(consumer["brokers_reachable"], true);
        assert!(
            consumer["seconds_since_poll"].as_f64() < Some(30.0),
            "{consumer}"
        );
        let first = &consumer["partitions"][0];
        assert_eq!(
            (&first["topic"], &first["end"]),
            (&bed.topic.as_str().into(), &3.into())
        );
        assert!(first["seconds_since_progress"].is_number(), "{first}");
        assert_eq!(ask(health.clone(), "/livez").await.0, 200);

        running.stop().await;
        let (status, answer) = ask(handle, "/readyz").await;
        assert_eq!((status, reason(&answer)), (503, "consumer is not running"));
    });
}

#[test]
fn who_is_given_no_partition_is_ready_too() {
    run(async {
        let bed = Bed::new(1).await;
        for protocol in ["classic", "consumer"] {
            let running = [(); 2].map(|()| {
                let settings = match protocol {
                    "classic" => bed.classic_settings(),
                    protocol => bed.plain_settings().set("group.protocol", protocol),
                };
                Running::start(settings, Calls::default().acking())
            });
            for one in &running {
                let health = Health::from(one.handle.clone());
                answers(&health, "/readyz", |status, _| status == 200).await;
            }
            let assigned = running.iter().map(|one| one.handle.partitions().len());
            assert!(assigned.sum::<usize>() <= 1, "{protocol}");
            for one in running {
                one.stop().await;
            }
        }
    });
}

/// A member is unknown to its group, and then can't join for a while.
fn loses_its_partitions(
    settings: fn(&Bed) -> ConsumerSettings,
    heartbeats: Fault,
    joins: fn(&EmbeddedKafka, usize),
) {
    run(async {
        // So many that librdkafka isn't done with them at once.
        let bed = Bed::embedded(100).await;
        let kafka = bed.mock().expect("an embedded cluster");
        let running = Running::start(settings(&bed), Calls::default().acking());
        let health = Health::from(running.handle.clone());
        answers(&health, "/readyz", |status, _| status == 200).await;
        running.status(0, "it is assigned", |_| true).await;
        if heartbeats == Fault::Heartbeat {
            joins(kafka, 1_000);
        } else {
            // All of them are there before the member is unknown, and joins by the same request.
            joins(kafka, 3);
        }
        kafka.fail_next(heartbeats, 1, 25);
        if heartbeats != Fault::Heartbeat {
            joins(kafka, 1_000);
        }
        let answer = answers(&health, "/readyz", |status, _| status == 503).await;
        let why = "consumer waits for its group: 0 of 1 members have their partitions";
        assert_eq!(reason(&answer), why);
        assert_eq!(ask(health.clone(), "/livez").await.0, 200);
        // It stays so for as long as it can't join.
        let mut often = interval(Duration::from_millis(20));
        for _ in 0..100 {
            often.tick().await;
            assert_eq!(ask(health.clone(), "/readyz").await.0, 503);
        }
        joins(kafka, 0);
        answers(&health, "/readyz", |status, _| status == 200).await;
        running.stop().await;
    });
}

/// The coordinator is loading, until it has loaded.
fn fail(kafka: &EmbeddedKafka, request: Fault, times: usize) {
    match times {
        0 => kafka.stop_failing(request),
        _ => kafka.fail_next(request, times, 14),
    }
}

#[test]
fn who_has_lost_its_partitions_is_not_ready_before_it_has_joined_again() {
    loses_its_partitions(Bed::classic_settings, Fault::Heartbeat, |kafka, times| {
        fail(kafka, Fault::JoinGroup, times);
    });
}

#[test]
fn who_has_lost_its_partitions_is_not_ready_either_with_the_consumer_protocol() {
    let settings = |bed: &Bed| {
        let settings = bed.plain_settings().set("fetch.wait.max.ms", "20");
        settings.set("group.protocol", "consumer")
    };
    loses_its_partitions(settings, Fault::ConsumerGroupHeartbeat, |kafka, times| {
        fail(kafka, Fault::ConsumerGroupHeartbeat, times);
    });
}

#[test]
fn who_waits_for_the_place_of_its_former_self_is_not_ready() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        // It is in its group, without a partition.
        let settings = ConsumerSettings::new(bed.brokers(), &bed.group).topics([] as [&str; 0]);
        let settings = settings.set("group.protocol", "consumer");
        let settings = settings.group_instance_id("the-only-one");
        let app = kafka_tower::Router::new().topic_prefix("nothing-", async || ());
        let running = Running::start(settings, app.with_state(()));
        let health = Health::from(running.handle.clone());
        answers(&health, "/readyz", |status, _| status == 200).await;
        // The id isn't released.
        kafka.fail_next(Fault::ConsumerGroupHeartbeat, 10_000, 111);
        answers(&health, "/readyz", |status, _| status == 503).await;
        running.stop().await;
    });
}

#[test]
fn a_partition_of_which_nothing_was_fetched_is_unread() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        bed.fill(3).await;
        let running = bed.serve(Calls::default().acking());
        let health = Health::from(running.handle.clone());
        answers(&health, "/livez", |_, answer| state(answer) == "idle").await;
        // Its leader is another one, and there is none.
        kafka.fail_next(Fault::Fetch, 100_000, 6);
        let sought = running.handle.seek(&bed.topic, 0, 1).await;
        sought.expect("it is assigned");
        // Where it ended before says nothing.
        let mut often = interval(Duration::from_millis(20));
        for _ in 0..100 {
            often.tick().await;
            let (_, answer) = ask(health.clone(), "/livez").await;
            assert_eq!(state(&answer), "unread", "{answer}");
        }
        kafka.stop_failing(Fault::Fetch);
        answers(&health, "/livez", |_, answer| state(answer) == "idle").await;
        running.stop().await;
    });
}

#[test]
fn without_brokers_it_lives_and_is_not_ready() {
    run(async {
        // Nobody listens there.
        let (handle, serve) = idle_consumer("127.0.0.1:1");
        let serving = tokio::spawn(serve.into_future());
        let health = Health::from(handle.clone());
        let wanted = |status, answer: &Value| status == 503 && reason(answer).contains("no broker");
        answers(&health, "/readyz", wanted).await;
        assert_eq!(ask(health, "/livez").await.0, 200);
        handle.stop();
        serving.await.unwrap();
    });
}

/// Handlers that end when they are let to.
fn held() -> (Arc<Semaphore>, impl kafka_tower::App) {
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let handler = service_fn(move |_: ConsumerRecord| {
        let waits = Arc::clone(&waits);
        async move {
            waits.acquire().await?.forget();
            Ok::<_, BoxError>(())
        }
    });
    (gate, handler)
}

#[test]
fn stuck_is_what_has_run_for_long_and_slow_is_what_gets_on() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(5).await;
        let (gate, handler) = held();
        let running = bed.serve(handler);
        let health = Health::from(running.handle.clone());
        let stuck = health.clone().stuck_after(Duration::from_millis(10));
        let wanted = |status, answer: &Value| status == 503 && state(answer) == "stuck";
        let answer = answers(&stuck, "/livez", wanted).await;
        let expected = format!(
            "consumer is stuck at {}/0: calls run, and none has ended",
            bed.topic
        );
        assert!(reason(&answer).starts_with(&expected), "{answer}");
        // It takes what it may.
        let (status, answer) = ask(health.clone(), "/livez").await;
        assert_eq!((status, state(&answer)), (200, "working"));
        assert!(answer["consumers"][0]["partitions"][0]["seconds_busy"].is_number());
        // Others may take its place: being stuck doesn't take it off.
        assert_eq!(ask(stuck.clone(), "/readyz").await.0, 200);
        gate.add_permits(5);
        answers(&stuck, "/livez", |status, answer| {
            status == 200 && state(answer) == "idle"
        })
        .await;
        running.stop().await;
    });
}

#[test]
fn of_several_consumers_any_may_be_stuck() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let (gate, handler) = held();
        let running = bed.serve(handler);
        let (idle, _serve) = idle_consumer(bed.brokers());
        let health = Health::new()
            .consumer("one", idle)
            .consumer("two", running.handle.clone())
            .stuck_after(Duration::from_millis(10));
        let wanted =
            |status, answer: &Value| status == 503 && reason(answer).starts_with("two is stuck");
        answers(&health, "/livez", wanted).await;
        gate.add_permits(1);
        running.stop().await;
    });
}

#[test]
fn each_call_that_ends_starts_the_time_anew() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(2).await;
        let (gate, handler) = held();
        let running = bed.serve(handler);
        let long =
            |one: &kafka_tower::PartitionStatus| one.busy_for >= Some(Duration::from_millis(1500));
        running.status(0, "busy for long", long).await;
        let ended = Instant::now();
        gate.add_permits(1);
        let anew = |one: &kafka_tower::PartitionStatus| {
            // The first one was busy for longer than this already.
            let since = ended.elapsed() + Duration::from_secs(1);
            one.busy_for.is_some_and(|busy| busy < since)
        };
        running.status(0, "the next call", anew).await;
        gate.add_permits(1);
        let idle =
            |one: &kafka_tower::PartitionStatus| one.busy_for.is_none() && one.lag == Some(0);
        running.status(0, "idle", idle).await;
        running.stop().await;
    });
}

#[test]
fn a_call_that_blocks_its_thread_is_seen_too() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(1).await;
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let handler = service_fn(move |_: ConsumerRecord| {
            let _ = blocked.lock().unwrap().recv();
            async { Ok::<_, BoxError>(()) }
        });
        let running = bed.serve(handler);
        let busy = |one: &kafka_tower::PartitionStatus| one.busy_for.is_some();
        running.status(0, "busy", busy).await;
        let stuck = Health::from(running.handle.clone()).stuck_after(Duration::ZERO);
        assert_eq!(ask(stuck, "/livez").await.0, 503);
        release.send(()).unwrap();
        bed.committed_soon(&bed.all_at(1)).await;
        running.stop().await;
    });
}

#[test]
fn what_waits_or_is_paused_is_not_stuck() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(2).await;
        let handler = service_fn(async |_: ConsumerRecord| {
            Ok::<_, BoxError>(kafka_tower::Outcome::Defer { after: HOUR })
        });
        let running = bed.serve(handler);
        let health = Health::from(running.handle.clone()).stuck_after(Duration::ZERO);
        let waiting = |status, answer: &Value| status == 200 && state(answer) == "waiting";
        answers(&health, "/livez", waiting).await;
        running.handle.pause(&bed.topic, 0).await.unwrap();
        let paused = |status, answer: &Value| status == 200 && state(answer) == "paused";
        answers(&health, "/livez", paused).await;
        running.stop().await;
    });
}

#[tokio::test]
async fn circuits_are_shown_and_fail_nothing() {
    let layer = CircuitBreakerLayer::consecutive(1, HOUR);
    let health = Health::new().circuit("database", layer.monitor());
    let (status, answer) = ask(health.clone(), "/readyz").await;
    assert_eq!(
        (status, &answer["circuits"][0]["state"]),
        (200, &"closed".into())
    );
    let down = service_fn(async |_: ConsumerRecord| Err::<(), BoxError>("down".into()));
    let record = ConsumerRecord::builder("orders", 0, 7).build();
    let mut service = layer.layer(down);
    service
        .ready()
        .await
        .unwrap()
        .call(record)
        .await
        .unwrap_err();
    let (status, answer) = ask(health, "/readyz").await;
    let circuit = &answer["circuits"][0];
    assert_eq!((status, &circuit["name"]), (200, &"database".into()));
    assert_eq!(
        (&circuit["state"], &circuit["open_circuits"]),
        (&"open".into(), &1.into())
    );
}

#[tokio::test]
async fn metrics_are_offered_where_there_is_a_registry() {
    assert_eq!(get(Health::new(), "/metrics").await.0, 404);
    let registry = Registry::new();
    let counter = IntCounter::new("orders_total", "Orders.").unwrap();
    registry.register(Box::new(counter.clone())).unwrap();
    counter.inc();
    let (status, text) = get(Health::new().registry(registry), "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("\norders_total 1\n"), "{text}");
}

#[tokio::test]
async fn each_route_says_what_it_sends_and_takes_get_and_head() {
    let routes: Router = health_routes(Health::new().registry(Registry::new()));
    for (path, content_type) in [
        ("/livez", "application/json"),
        ("/readyz", "application/json"),
        ("/metrics", "text/plain; version=0.0.4"),
    ] {
        for (method, expected) in [("GET", 200), ("HEAD", 200), ("POST", 405)] {
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Body::empty()).unwrap();
            let response = routes.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), expected, "{method} {path}");
            if expected == 200 {
                assert_eq!(response.headers()["content-type"], content_type, "{path}");
            }
        }
    }
}

#[test]
fn of_several_consumers_each_counts() {
    run(async {
        let bed = Bed::new(1).await;
        let running: Running = bed.serve(Calls::default().acking());
        let (stopped, _serve) = idle_consumer(bed.brokers());
        let health = Health::new()
            .consumer("one", running.handle.clone())
            .consumer("two", stopped);
        let wanted = |status, answer: &Value| {
            status == 503 && answer["reasons"] == serde_json::json!(["two is not running"])
        };
        let answer = answers(&health, "/readyz", wanted).await;
        assert_eq!(answer["consumers"].as_array().unwrap().len(), 2);
        assert_eq!(answer["status"], "unavailable");
        running.stop().await;
    });
}

#[test]
fn a_consumer_that_has_failed_is_to_be_restarted_and_one_that_was_stopped_is_not() {
    run(async {
        let bed = Bed::for_several(1).await;
        bed.fill(1).await;
        let fails = service_fn(async |_: ConsumerRecord| Err::<(), BoxError>("broken".into()));
        let running = bed.serve(fails);
        let health = Health::from(running.handle.clone());
        running.end().await.expect_err("a failure");
        let (status, answer) = ask(health, "/livez").await;
        assert_eq!(status, 503);
        assert_eq!(reason(&answer), "consumer has ended with an error");

        let running = bed.serve(Calls::default().acking());
        let health = Health::from(running.handle.clone());
        running.stop().await;
        assert_eq!(ask(health, "/livez").await.0, 200);
    });
}
