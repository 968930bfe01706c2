//! The settings of a publisher: all that is wrong is said at once, and no secret with it.

use std::time::Duration;

use kafka_tower::{Acks, ConfigError, ProducerSettings, Publisher};

type Change = fn(ProducerSettings) -> ProducerSettings;

fn settings() -> ProducerSettings {
    ProducerSettings::high_reliability("127.0.0.1:1")
}

fn refused(settings: ProducerSettings) -> ConfigError {
    Publisher::new(settings).expect_err("settings that can't work")
}

#[test]
fn each_preset_is_free_of_contradictions() {
    for preset in [
        ProducerSettings::high_reliability("127.0.0.1:1"),
        ProducerSettings::high_throughput("127.0.0.1:1"),
        ProducerSettings::low_latency("127.0.0.1:1"),
    ] {
        assert!(Publisher::new(preset.clone()).is_ok(), "{preset:?}");
    }
}

#[test]
fn each_contradiction_is_refused_alone_and_says_what_to_change() {
    #[rustfmt::skip]
    let contradictions: [(Change, &[&str]); 19] = [
        (|s| s.acks(Acks::Leader), &["`acks=all`", "`Acks::All`", "idempotence off"]),
        (|s| s.acks(Acks::None), &["`acks=all`", "`Acks::All`", "idempotence off"]),
        (|s| s.set("request.required.acks", "1"), &["`acks=all`"]),
        (|s| s.set("retries", "0"), &["`retries`", "idempotence off"]),
        (|s| s.set("message.send.max.retries", "0"), &["`retries`", "idempotence off"]),
        (|s| s.set("max.in.flight", "6"), &["`max.in.flight.requests.per.connection`", "5 or less"]),
        (|s| s.set("queuing.strategy", "lifo"), &["`queuing.strategy=fifo`"]),
        (|s| s.idempotence(false).set("transactional.id", "a"), &["`transactional.id`"]),
        (|s| s.idempotence(false).set("enable.gapless.guarantee", "true"), &["`enable.gapless.guarantee`"]),
        (|s| s.delivery_timeout(Duration::ZERO), &["`message.timeout.ms`", "wait for ever"]),
        (|s| s.set("delivery.timeout.ms", "0"), &["`message.timeout.ms`", "wait for ever"]),
        (|s| s.linger(Duration::from_secs(1)).delivery_timeout(Duration::from_secs(1)), &["`linger.ms`", "`message.timeout.ms`"]),
        (|s| s.max_in_flight_records(0), &["`max_in_flight_records`", "1 or more"]),
        (|s| s.max_in_flight_records(usize::MAX), &["`max_in_flight_records`", "fewer"]),
        (|s| s.max_in_flight_bytes(0), &["`max_in_flight_bytes`", "1 or more"]),
        (|s| s.message_id_header(""), &["`without_message_id_header`"]),
        (|s| s.set("queue.buffering.max.messages", "10"), &["`queue.buffering.max.messages`", "`max_in_flight_records`"]),
        (|s| s.set("queue.buffering.max.kbytes", "10"), &["`queue.buffering.max.kbytes`", "`max_in_flight_bytes`"]),
        (|s| s.set("delivery.report.only.error", "true"), &["`delivery.report.only.error`", "leave it out"]),
    ];
    for (change, words) in contradictions {
        let error = refused(change(settings()));
        assert_eq!(error.problems().len(), 1, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
    }
}

/// Without its transactions begun, librdkafka refuses every record of such a producer.
#[test]
fn a_transactional_id_is_refused() {
    let error = refused(settings().set("transactional.id", "a"));
    assert!(error.to_string().contains("`transactional.id`"), "{error}");
}

#[test]
fn what_only_looks_like_a_contradiction_is_taken() {
    let harmless: [Change; 8] = [
        |s| s.set("acks", "-1"),
        |s| s.idempotence(false).acks(Acks::Leader),
        |s| s.idempotence(false).set("retries", "0"),
        |s| s.idempotence(false).set("max.in.flight", "6"),
        |s| s.set("queuing.strategy", "fifo"),
        |s| s.set("transactional.id", ""),
        |s| s.set("delivery.report.only.error", "false"),
        |s| s.max_in_flight_records(1).max_in_flight_bytes(usize::MAX),
    ];
    for change in harmless {
        let settings = change(settings());
        let made = Publisher::new(settings.clone());
        assert!(made.is_ok(), "{settings:?}: {made:?}");
    }
}

#[test]
fn all_problems_come_at_once() {
    let error = refused(
        ProducerSettings::high_reliability("")
            .acks(Acks::Leader)
            .delivery_timeout(Duration::ZERO)
            .max_in_flight_records(0)
            .max_in_flight_bytes(0)
            .message_id_header("")
            .set("linger.msec", "5")
            .set("client.id", "a\0b")
            .set("retries", "-1")
            .set("compression.type", "rar"),
    );
    let expected = [
        "`bootstrap.servers` is missing",
        "`acks=all`",
        "`message.timeout.ms`",
        "`max_in_flight_records`",
        "`max_in_flight_bytes`",
        "message id header",
        "unknown setting `linger.msec`; did you mean `linger.ms`?",
        "`client.id` contains a NUL",
        "`retries` can't be `-1`",
        "`compression.type` can't be `rar`",
    ];
    for words in expected {
        let found = error
            .problems()
            .iter()
            .any(|problem| problem.contains(words));
        assert!(found, "{words}: {error}");
    }
}

#[test]
fn a_nul_is_refused_wherever_it_stands() {
    let nuls: [Change; 5] = [
        |s| s.set("bootstrap.servers", "a:1\0"),
        |s| s.client_id("\0"),
        |s| s.set("sasl.password", "a\0b"),
        |s| s.set("client\0.id", "a"),
        |s| s.set("\0", "a"),
    ];
    for change in nuls {
        let error = refused(change(settings()));
        assert!(error.to_string().contains("NUL"), "{error}");
        let problems = error.problems().iter();
        for problem in problems {
            assert!(!problem.contains(char::is_control), "{problem:?}");
        }
    }
}

#[test]
fn brokers_are_needed_and_must_be_addresses() {
    for brokers in ["", " ", ",", " , "] {
        let error = refused(ProducerSettings::high_reliability(brokers));
        let words = "`bootstrap.servers` is missing: name a broker as `host:port`";
        assert_eq!(error.problems(), [words]);
    }
    for brokers in ["a:0", ":9092", "a:9092,b:port", "http://a:9092"] {
        let error = refused(ProducerSettings::low_latency(brokers));
        assert!(
            error.to_string().contains("`bootstrap.servers`, entry"),
            "{error}"
        );
    }
}

#[test]
fn values_out_of_every_range_are_problems_and_no_panics() {
    let absurd: [(Change, &str); 4] = [
        (|s| s.linger(Duration::MAX), "`linger.ms`"),
        (
            |s| s.delivery_timeout(Duration::MAX),
            "`delivery.timeout.ms`",
        ),
        (|s| s.max_record_bytes(usize::MAX), "`message.max.bytes`"),
        (|s| s.max_record_bytes(0), "`message.max.bytes`"),
    ];
    for (change, name) in absurd {
        let error = refused(change(settings()));
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[cfg(not(feature = "zstd"))]
#[test]
fn zstd_without_its_feature_names_the_feature() {
    let error = refused(settings().compression(kafka_tower::Compression::Zstd));
    assert!(
        error.to_string().contains("cargo feature `zstd`"),
        "{error}"
    );
}

#[test]
fn no_secret_is_ever_printed() {
    let secrets = [
        "sasl.password",
        "sasl.passwrod",
        "ssl.key.pem",
        "ssl.key.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "some.new.secret",
    ];
    let settings = secrets
        .iter()
        .fold(settings(), |settings, name| settings.set(*name, "hunter2"))
        .set("metadata.broker.list", "me:hunter2@broker:9092")
        .set("retries", "0")
        .set("security.protocol", "sasl_plaintext")
        .set("sasl.mechanism", "PLAIN");
    let shown = format!("{settings:?} {settings:#?}");
    let error = refused(settings);
    for printed in [shown, error.to_string(), format!("{error:?} {error:#?}")] {
        assert!(!printed.contains("hunter"), "{printed}");
    }
    let words = "did you mean `sasl.password`?";
    assert!(error.to_string().contains(words), "{error}");
    assert!(error.to_string().contains("`retries`"), "{error}");
}

#[test]
fn a_whole_number_may_be_written_with_a_point() {
    let refused_by = |change: Change| refused(change(settings())).to_string();
    assert!(refused_by(|s| s.set("message.timeout.ms", "0.0")).contains("for ever"));
    assert!(refused_by(|s| s.set("retries", "0.0")).contains("`retries`"));
    assert!(refused_by(|s| s.set("max.in.flight", "10.0")).contains("at most 5"));
}

#[test]
fn a_header_name_with_a_nul_is_refused() {
    let error = refused(settings().message_id_header("a\0b"));
    assert!(error.to_string().contains("NUL"), "{error}");
}

#[test]
fn credentials_that_are_missing_are_asked_for() {
    let sasl = settings()
        .set("security.protocol", "sasl_plaintext")
        .set("sasl.mechanism", "PLAIN");
    let error = refused(sasl.clone().set("sasl.username", "a")).to_string();
    assert!(
        error.contains("`sasl.password`") && !error.contains("`sasl.username`"),
        "{error}"
    );
    let error = refused(sasl).to_string();
    assert!(
        error.contains("`sasl.username` and `sasl.password`"),
        "{error}"
    );
}
