//! What ends a consumer at once, and what it sits out.

#[path = "support/consume.rs"]
mod bed;
#[path = "support/capture.rs"]
mod capture;
mod support;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use bed::{Bed, Calls, Running, soon};
use capture::logs;
use kafka_tower::{
    App, BoxError, Consumer, ConsumerRecord, ConsumerSettings, ErrorClass, OffsetReset, ServeError,
    StopReason, serve,
    testing::{Request, TestKafka},
};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
    types::RDKafkaErrorCode as Code,
};
use support::run;
use tokio::time::interval;
use tower::util::BoxCloneService;
use uuid::Uuid;

/// Less than any time limit that might be waited out in vain.
const AT_ONCE: Duration = Duration::from_secs(20);

fn settings() -> ConsumerSettings {
    ConsumerSettings::new("127.0.0.1:1", "group")
}

fn refusal(settings: ConsumerSettings) -> String {
    let error = settings.build().expect_err("settings that can't work");
    format!("{error} {error:?}")
}

#[test]
fn without_a_topic_there_is_nothing_to_serve() {
    run(async {
        let consumer = Consumer::new("127.0.0.1:1", "group").expect("settings that can work");
        let error = serve(consumer, Calls::default().acking()).await;
        let error = error.expect_err("nothing to serve");
        assert!(matches!(error, ServeError::NoTopics), "{error:?}");
        assert!(
            error.to_string().contains("ConsumerSettings::topics"),
            "{error}"
        );
        assert_eq!(error.summary(), None);
    });
}

/// An app that names its topics.
struct Named(&'static [&'static str]);

impl App for Named {
    type Service = BoxCloneService<ConsumerRecord, (), BoxError>;

    fn topics(&self) -> Option<Vec<String>> {
        Some(self.0.iter().map(|&topic| topic.to_owned()).collect())
    }

    fn into_make_lane(self) -> impl Fn(&str, i32) -> Self::Service + Send + Sync + 'static {
        |_, _| unreachable!("nothing is assigned")
    }
}

#[test]
fn the_topics_of_an_app_have_to_be_legal() {
    run(async {
        let consumer = settings().topics(["fine"]).build().expect("a consumer");
        let error = serve(consumer, Named(&["fine", "not fine", ".."])).await;
        let error = error.expect_err("illegal names");
        let ServeError::Config(config) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(config.problems().len(), 2, "{config}");
        for name in ["`not fine`", "`..`"] {
            assert!(error.to_string().contains(name), "{error}");
        }
    });
}

#[test]
fn all_problems_are_said_at_once_and_no_secret() {
    let shown = refusal(
        ConsumerSettings::new("", "")
            .topics(["a topic"])
            .session_timeout(Duration::ZERO)
            .set("enable.auto.commit", "true")
            .set("no.such.setting", "x")
            .set("sasl.password", "hunter2\0"),
    );
    for part in [
        "`bootstrap.servers`",
        "`group.id`",
        "`a topic`",
        "`session.timeout.ms`",
        "`enable.auto.commit`",
        "`no.such.setting`",
        "`sasl.password`",
    ] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn librdkafka_may_not_commit_by_itself() {
    for name in [
        "enable.auto.commit",
        "auto.commit.enable",
        "enable.auto.offset.store",
    ] {
        for value in ["true", "TRUE", "1"] {
            let shown = refusal(settings().set(name, value));
            assert!(shown.contains(&format!("`{name}` can't be on")), "{shown}");
        }
        assert!(settings().set(name, "false").build().is_ok(), "{name}");
    }
}

#[test]
fn a_consumer_shows_no_secret() {
    let consumer = settings()
        .set("sasl.username", "alice")
        .set("sasl.password", "hunter2")
        .set("ssl.key.password", "hunter3");
    let shown = format!("{consumer:?} {:?}", consumer.clone().build());
    assert!(shown.contains("sasl.password"), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");
}

/// Checks that a client error came at once, with a code and as a fatal one.
fn assert_fatal(error: &ServeError, expected: Code, started: Instant) {
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    let ServeError::Client { code, class, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(*code, Some(expected as i32), "{error}");
    assert_eq!(*class, ErrorClass::Fatal, "{error}");
}

#[test]
fn a_group_without_the_right_to_it_is_an_error_at_once() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        kafka.fail_next(Request::JoinGroup, 30, 30);
        let started = Instant::now();
        let error = bed.serve(Calls::default().acking()).end().await;
        let error = error.expect_err("no right");
        assert_fatal(&error, Code::GroupAuthorizationFailed, started);
        let shown = error.to_string();
        assert!(
            shown.contains("grant this user Read on the consumer group"),
            "{shown}"
        );
    });
}

#[test]
fn a_commit_without_the_right_to_it_is_an_error_at_once() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        kafka.fail_next(Request::OffsetCommit, 1000, 30);
        bed.fill(5).await;
        let started = Instant::now();
        let error = bed.serve(Calls::default().acking()).end().await;
        let error = error.expect_err("no right");
        assert_fatal(&error, Code::GroupAuthorizationFailed, started);
        let summary = error.summary().expect("a summary");
        assert!(summary.committed.is_empty(), "{summary}");
        assert_eq!(summary.commits, 0);
        assert!(summary.commits_refused > 0, "{summary:?}");
        kafka.stop_failing(Request::OffsetCommit);
        assert!(bed.committed().await.is_empty());
    });
}

#[test]
fn an_operator_decides_where_to_start_if_told_so() {
    run(async {
        let bed = Bed::new(1).await;
        bed.fill(5).await;
        let started = Instant::now();
        let settings = bed.settings().offset_reset(OffsetReset::Fail);
        let calls = Calls::default();
        let error = Running::start(settings, calls.acking()).end().await;
        let error = error.expect_err("nothing was committed");
        assert_fatal(&error, Code::AutoOffsetReset, started);
        assert_eq!(calls.all(), []);
    });
}

#[test]
fn unreachable_brokers_are_waited_for_and_do_not_hold_up_the_shutdown() {
    run(async {
        // Nobody listens there any more.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = address.expect("a free port").to_string();
        let logs = logs();
        let settings = ConsumerSettings::new(&address, "group").topics(["topic"]);
        let running = Running::start(settings, Calls::default().acking());
        logs.line(&[
            "the consumer keeps trying",
            &address,
            "whether Kafka listens there",
        ])
        .await;
        assert!(!running.task.is_finished());
        // It is said once, and librdkafka's own line is for those who look closely.
        assert_eq!(logs.count(&["ERROR librdkafka", &address]), 0);
        let kinds = [" is down", "Connection refused"];
        for kind in kinds {
            assert!(
                logs.count(&["WARN kafka_tower", kind, &address]) <= 1,
                "{kind}"
            );
        }
        let stopped = Instant::now();
        let summary = running.stop().await;
        assert!(stopped.elapsed() < AT_ONCE, "{:?}", stopped.elapsed());
        assert_eq!(summary.stop, Some(StopReason::Shutdown));
        assert_eq!((summary.acked, summary.undone.len()), (0, 0));
    });
}

#[test]
fn each_outage_is_logged_once() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        bed.fill(1).await;
        let logs = logs();
        let calls = Calls::default();
        // No rebalance comes of it.
        let settings = bed.plain_settings().set("group.protocol", "consumer");
        let settings = settings.set("reconnect.backoff.max.ms", "500");
        let running = Running::start(settings, calls.acking());
        calls.reach(1).await;
        let mut often = interval(Duration::from_millis(20));
        for outages in 1..=2 {
            for up in [false, true] {
                match up {
                    false => kafka.broker_down(1).expect("a broker"),
                    true => kafka.broker_up(1).expect("a broker"),
                }
                soon("it is noticed", async {
                    while running.handle.stats().brokers_reachable != Some(up) {
                        often.tick().await;
                    }
                })
                .await;
                let line = [
                    "WARN",
                    "the consumer keeps trying",
                    "refused",
                    bed.brokers(),
                ];
                logs.lines(outages, &line).await;
                assert_eq!(logs.count(&line), outages);
            }
        }
        running.stop().await;
    });
}

#[test]
fn a_connection_that_is_not_set_up_in_time_is_logged() {
    run(async {
        // It listens and says nothing, as behind a firewall.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = silent.local_addr().expect("its address").to_string();
        let logs = logs();
        let settings = ConsumerSettings::new(&address, "group").topics(["topic"]);
        let settings = settings.set("socket.connection.setup.timeout.ms", "1000");
        let running = Running::start(settings, Calls::default().acking());
        logs.line(&["WARN librdkafka", "setup timed out", &address])
            .await;
        running.stop().await;
    });
}

#[test]
fn brokers_that_come_back_are_consumed_from() {
    run(async {
        let bed = Bed::embedded(1).await;
        let kafka = bed.mock().expect("an embedded cluster");
        bed.fill(5).await;
        kafka.broker_down(1).expect("a broker");
        let logs = logs();
        let calls = Calls::default();
        let settings = bed.settings().set("reconnect.backoff.max.ms", "500");
        let running = Running::start(settings, calls.acking());
        logs.line(&["the consumer keeps trying", bed.brokers()])
            .await;
        kafka.broker_up(1).expect("a broker");
        calls.reach(5).await;
        logs.line(&["a broker can be reached again"]).await;
        running.stop().await;
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}

#[test]
fn passing_errors_of_a_fetch_lose_nothing() {
    // Not leader for partition, a broken connection, unknown topic or partition, storage error.
    for code in [6, -195, 3, 56] {
        run(async {
            let bed = Bed::embedded(2).await;
            let kafka = bed.mock().expect("an embedded cluster");
            let calls = Calls::default();
            let settings = bed.settings().set("reconnect.backoff.max.ms", "500");
            let running = Running::start(settings, calls.acking());
            bed.fill(5).await;
            calls.reach(10).await;
            kafka.fail_next(Request::Fetch, 3, code);
            bed.fill(5).await;
            calls.reach(20).await;
            running.stop().await;
            for partition in 0..2 {
                assert_eq!(calls.offsets(partition), Vec::from_iter(0..10), "{code}");
            }
            assert_eq!(bed.committed().await, bed.all_at(10), "{code}");
        });
    }
}

/// A real cluster, or `None` and a note.
async fn real() -> Option<TestKafka> {
    let kafka = TestKafka::from_env().await.expect("a cluster");
    if kafka.embedded().is_some() {
        println!("skipped: it takes a real cluster in KAFKA_BOOTSTRAP_SERVERS");
        return None;
    }
    Some(kafka)
}

#[test]
fn a_topic_that_does_not_exist_yet_is_picked_up_when_it_is_created() {
    run(async {
        // The embedded cluster creates every topic that it is asked for.
        let Some(kafka) = real().await else { return };
        let mut bed = Bed::new(1).await;
        bed.topic = format!("late-{}", Uuid::now_v7().simple());
        let logs = logs();
        let calls = Calls::default();
        let settings = bed
            .settings()
            .set("topic.metadata.refresh.interval.ms", "500");
        let running = Running::start(settings, calls.acking());
        logs.line(&["the consumer keeps trying", &bed.topic]).await;
        let created = kafka.create_topic(&bed.topic, 1).await;
        created.expect("a topic");
        bed.fill(5).await;
        calls.reach(5).await;
        running.stop().await;
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}

#[test]
fn a_static_member_ends_when_another_takes_its_id() {
    run(async {
        // The embedded cluster fences nobody.
        if real().await.is_none() {
            return;
        }
        let bed = Bed::new(1).await;
        bed.fill(5).await;
        let settings = || bed.settings().group_instance_id("the-only-one");
        let calls = Calls::default();
        let first = Running::start(settings(), calls.acking());
        calls.reach(5).await;
        bed.committed_soon(&bed.all_at(5)).await;

        let next = Calls::default();
        let second = Running::start(settings(), next.acking());
        let error = soon("the first ends", first.end()).await;
        let error = error.expect_err("it is fenced");
        assert_fatal(&error, Code::FencedInstanceId, Instant::now());
        bed.fill(5).await;
        next.reach(5).await;
        second.stop().await;
        assert_eq!(next.offsets(0), [5, 6, 7, 8, 9]);
    });
}

#[test]
fn a_static_member_waits_for_the_place_of_its_former_self() {
    run(async {
        // The embedded cluster gives any place away.
        if real().await.is_none() {
            return;
        }
        let bed = Bed::new(1).await;
        bed.fill(5).await;
        let logs = logs();
        // Holds the place, as one that was killed does until its session is over.
        let former: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bed.brokers())
            .set("group.id", &bed.group)
            .set("group.protocol", "consumer")
            .set("group.instance.id", "the-only-one")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        former.subscribe(&[&bed.topic]).expect("subscribed");
        let former = tokio::task::spawn_blocking(move || {
            while former.assignment().expect("an assignment").count() == 0 {
                former.poll(Duration::from_millis(100));
            }
            former
        });
        let former = soon("the former self is assigned", former).await;
        let former = former.expect("no panic");

        let calls = Calls::default();
        let settings = bed
            .plain_settings()
            .set("group.protocol", "consumer")
            .group_instance_id("the-only-one");
        let running = Running::start(settings, calls.acking());
        logs.line(&["the place of this static member isn't free yet"])
            .await;
        assert_eq!(calls.all(), []);
        drop(former);
        calls.reach(5).await;
        running.stop().await;
        assert_eq!(bed.committed().await, bed.all_at(5));
    });
}
