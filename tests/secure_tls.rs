//! Encrypted connections, SCRAM and client certificates, on the cluster that `scripts/kafka up --secure`
//! starts:
//!
//! ```text
//! cargo test --test secure_tls --features ssl --target-dir target/ssl
//! ```
//!
//! Empty without the feature, and without `KAFKA_TLS` these tests do nothing.
#![cfg(any(feature = "ssl", feature = "ssl-vendored"))]

#[path = "support/consume.rs"]
mod bed;
#[path = "support/capture.rs"]
mod capture;
mod support;

use std::{
    env, fs,
    future::Future,
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bed::{Calls, Running, soon};
use capture::logs;
use kafka_tower::{
    ConsumerSettings, ErrorClass, Persistence, ProducerRecord, ProducerSettings, PublishError,
    PublishExt, Publisher, Security, ServeError, Tls, testing::TestKafka,
};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::task::spawn_blocking;

/// Less than any time limit that might be waited out in vain.
const AT_ONCE: Duration = Duration::from_secs(25);

/// The brokers of a listener.
fn brokers(listener: &str) -> String {
    env::var(format!("KAFKA_{listener}_BOOTSTRAP_SERVERS")).expect("the secure cluster's listeners")
}

fn file(name: &str) -> String {
    format!(
        "{}/{name}",
        env::var("KAFKA_TLS").expect("its certificates")
    )
}

fn text(name: &str) -> String {
    fs::read_to_string(file(name)).expect("a file")
}

fn trusting() -> Tls {
    Tls::ca_file(file("ca.pem"))
}

fn scram(password: &str) -> Security {
    Security::sasl_scram_sha512("alice", password).tls(trusting())
}

/// Runs a test if there is a secure cluster.
fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    if env::var("KAFKA_TLS").is_err() {
        println!("skipped: it takes the secure cluster of `scripts/kafka up --secure`");
        return;
    }
    support::run(async {
        logs();
        spawn_blocking(grant).await.expect("alice's rights");
        test().await;
    });
}

/// Lets alice do everything with topics and groups whose names begin with `tls-`: once for all tests.
fn grant() {
    static GRANTED: OnceLock<()> = OnceLock::new();
    GRANTED.get_or_init(|| {
        let mut tool = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka"));
        let plain = env::var("KAFKA_BOOTSTRAP_SERVERS").expect("the listener for set-up");
        tool.args(["tool", "acls", "--bootstrap-server", &plain, "--add"]);
        tool.args([
            "--allow-principal",
            "User:alice",
            "--producer",
            "--consumer",
        ]);
        tool.args(["--topic", "tls-", "--group", "tls-"]);
        tool.args(["--resource-pattern-type", "prefixed"]);
        let output = tool.output().expect("bash");
        assert!(output.status.success(), "{output:?}");
    });
}

fn publisher(brokers: &str, security: &Security) -> Publisher {
    let settings = ProducerSettings::high_reliability(brokers).security(security.clone());
    Publisher::new(settings).expect("settings that can work")
}

fn consumer(brokers: &str, security: &Security, topic: &str) -> ConsumerSettings {
    ConsumerSettings::new(brokers, topic)
        .topics([topic])
        .security(security.clone())
}

/// Publishes and consumes.
async fn goes_through(brokers: &str, security: impl Into<Security>) {
    let security = security.into();
    let kafka = TestKafka::from_env().await.expect("the cluster");
    let topic = kafka.unique_topic("tls", 1).await.expect("a topic");
    let record = ProducerRecord::to(topic.as_str()).payload("payload");
    let delivery = publisher(brokers, &security).send(record).await;
    assert_eq!(delivery.expect("a delivery").offset, Some(0));

    let calls = Calls::default();
    let running = Running::start(consumer(brokers, &security, &topic), calls.acking());
    soon("it is handled", running.handle.drained())
        .await
        .expect("it runs");
    assert_eq!(calls.offsets(0), [0]);
    let summary = running.stop().await;
    assert_eq!(summary.committed, [((topic, 0), 1)].into());
}

/// What came of publishing and of consuming.
struct Refused {
    published: PublishError,
    served: ServeError,
}

async fn refused(brokers: &str, security: impl Into<Security>) -> Refused {
    let security = security.into();
    let started = Instant::now();
    let publisher = publisher(brokers, &security);
    let send = async || {
        let record = ProducerRecord::to("tls-none").payload("payload");
        publisher.send(record).await.expect_err("a refusal")
    };
    let published = send().await;
    // Not only what was waiting for the connection.
    for _ in 0..3 {
        assert_eq!(send().await.code(), published.code());
    }
    let settings = consumer(brokers, &security, "tls-none");
    let running = Running::start(settings, Calls::default().acking());
    let served = running.end().await.expect_err("a refusal");
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    Refused { published, served }
}

impl Refused {
    /// Both are fatal, have this code, and say what to do.
    fn check(&self, expected: Code, advice: &str) {
        let Self { published, served } = self;
        assert_eq!(published.code(), Some(expected as i32), "{published}");
        assert_eq!(published.class(), ErrorClass::Fatal, "{published}");
        assert_eq!(published.persistence(), Persistence::NotPersisted);
        assert!(published.record().is_some());
        let ServeError::Client { code, class, .. } = served else {
            panic!("{served:?}");
        };
        assert_eq!(*code, Some(expected as i32), "{served}");
        assert_eq!(*class, ErrorClass::Fatal, "{served}");
        for shown in [published.to_string(), served.to_string()] {
            assert!(shown.contains(advice), "{shown}");
        }
        let shown = format!("{published} {published:?} {served} {served:?}");
        assert!(!shown.contains("-secret"), "{shown}");
        assert_eq!(logs().count(&["-secret"]), 0);
    }
}

#[test]
fn scram_over_tls() {
    run(async || goes_through(&brokers("SASL_SSL"), scram("alice-secret")).await);
}

#[test]
fn a_password_over_tls() {
    run(async || {
        let security = Security::sasl_plain("alice", "alice-secret").tls(trusting());
        goes_through(&brokers("SASL_SSL"), security).await;
    });
}

#[test]
fn a_client_certificate_from_files() {
    run(async || {
        let tls = trusting().client_certificate(file("alice.crt"), file("alice.key"));
        goes_through(&brokers("SSL"), tls).await;
    });
}

#[test]
fn a_client_certificate_as_text_with_an_encrypted_key() {
    run(async || {
        let tls = Tls::ca_pem(text("ca.pem"))
            .client_certificate_pem(text("alice.crt"), text("alice-encrypted.key"))
            .key_password("alice-secret");
        goes_through(&brokers("SSL"), tls).await;
    });
}

#[test]
fn a_broker_that_a_stranger_vouches_for_is_refused() {
    run(async || {
        let tls = Tls::ca_file(file("stranger.pem"));
        let security = Security::sasl_scram_sha512("alice", "alice-secret").tls(tls);
        let refused = refused(&brokers("SASL_SSL"), security).await;
        refused.check(Code::SSL, "signed by an authority of `ssl.ca.location`");
    });
}

#[test]
fn a_broker_that_the_system_does_not_know_is_refused() {
    run(async || {
        let security = Security::sasl_scram_sha512("alice", "alice-secret").tls(Tls::system());
        let refused = refused(&brokers("SASL_SSL"), security).await;
        refused.check(Code::SSL, "signed by an authority of `ssl.ca.location`");
    });
}

#[test]
fn an_unknown_user_is_refused() {
    run(async || {
        for security in [
            Security::sasl_scram_sha512("nobody", "hunter2-secret"),
            Security::sasl_plain("nobody", "hunter2-secret"),
        ] {
            let refused = refused(&brokers("SASL_SSL"), security.tls(trusting())).await;
            refused.check(Code::Authentication, "sasl.username");
        }
    });
}

#[test]
fn a_key_that_cannot_be_used_is_refused_before_connecting() {
    run(async || {
        let encrypted =
            || trusting().client_certificate(file("alice.crt"), file("alice-encrypted.key"));
        let wrong = encrypted().key_password("hunter2-secret");
        let anothers = trusting().client_certificate(file("alice.crt"), file("mallory.key"));
        for (tls, advice) in [
            (encrypted(), "`ssl.key.password` (`Tls::key_password`)"),
            (wrong, "`ssl.key.password` (`Tls::key_password`)"),
            (anothers, "has to be that of the client's certificate"),
        ] {
            let settings = ProducerSettings::high_reliability("127.0.0.1:1").security(tls.clone());
            let published = Publisher::new(settings).expect_err("a refusal");
            let settings = consumer("127.0.0.1:1", &tls.into(), "tls-none");
            let running = Running::start(settings, Calls::default().acking());
            let served = running.end().await.expect_err("a refusal");
            for shown in [published.to_string(), served.to_string()] {
                assert!(shown.contains(advice), "{shown}");
                assert!(!shown.contains("-secret"), "{shown}");
            }
        }
    });
}

#[test]
fn a_broker_of_another_name_is_refused() {
    run(async || {
        let elsewhere = brokers("SASL_SSL").replace("127.0.0.1", "localhost");
        let refused = refused(&elsewhere, scram("alice-secret")).await;
        refused.check(Code::SSL, "made out to the host");
    });
}

#[test]
fn a_wrong_password_is_refused_and_never_logged() {
    run(async || {
        let refused = refused(&brokers("SASL_SSL"), scram("hunter2-secret")).await;
        refused.check(Code::Authentication, "sasl.password");
    });
}

#[test]
fn a_secret_is_not_even_logged_for_debugging() {
    run(async || {
        let tls = trusting()
            .client_certificate_pem(text("alice.crt"), text("alice-encrypted.key"))
            .key_password("alice-secret");
        let scram = Security::sasl_scram_sha512("alice", "hunter2-secret").tls(tls.clone());
        let plain = Security::sasl_plain("alice", "hunter2-secret").tls(tls);
        for security in [scram, plain] {
            let brokers = brokers("SASL_SSL");
            let settings = consumer(&brokers, &security, "tls-none").set("debug", "all");
            let running = Running::start(settings, Calls::default().acking());
            running.end().await.expect_err("a refusal");
        }
        assert!(logs().count(&["librdkafka", "SASL"]) > 0);
        assert_eq!(logs().count(&["-secret"]), 0);
        assert_eq!(logs().count(&["PRIVATE KEY"]), 0);
    });
}

#[test]
fn a_mechanism_that_the_brokers_lack_is_refused() {
    run(async || {
        let security = Security::sasl_scram_sha256("alice", "alice-secret").tls(trusting());
        let refused = refused(&brokers("SASL_SSL"), security).await;
        refused.check(
            Code::Authentication,
            "supported mechanisms: PLAIN,SCRAM-SHA-512",
        );
    });
}

#[test]
fn a_client_without_a_certificate_or_with_a_strangers_is_refused() {
    run(async || {
        for tls in [
            trusting(),
            trusting().client_certificate(file("mallory.crt"), file("mallory.key")),
        ] {
            let refused = refused(&brokers("SSL"), tls).await;
            refused.check(
                Code::SSL,
                "set `ssl.certificate.location` and `ssl.key.location`",
            );
        }
    });
}

#[test]
fn rights_are_those_of_the_name_in_the_certificate() {
    run(async || {
        let tls = trusting().client_certificate(file("alice.crt"), file("alice.key"));
        let publisher = publisher(&brokers("SSL"), &tls.clone().into());
        let error = publisher.send(ProducerRecord::to("others")).await;
        let error = error.expect_err("a refusal");
        let code = Code::TopicAuthorizationFailed as i32;
        assert_eq!(error.code(), Some(code), "{error}");
        assert!(error.to_string().contains("right to WRITE"), "{error}");

        let settings = consumer(&brokers("SSL"), &tls.into(), "others");
        let running = Running::start(settings, Calls::default().acking());
        let error = running.end().await.expect_err("a refusal");
        let shown = error.to_string();
        assert!(
            shown.contains("grant this user Read on the consumer group"),
            "{shown}"
        );
    });
}

#[test]
fn a_listener_of_another_protocol_is_hinted_at() {
    run(async || {
        let plain = env::var("KAFKA_BOOTSTRAP_SERVERS").expect("the listener for set-up");
        let password = || Security::sasl_plain("alice", "alice-secret");
        let hint = "by the `security.protocol` that is set";
        for (brokers, security) in [
            (plain, password().tls(trusting())),
            (brokers("SSL"), password()),
            (brokers("SASL_SSL"), trusting().into()),
        ] {
            let settings = ProducerSettings::high_reliability(&brokers)
                .security(security.clone())
                .delivery_timeout(Duration::from_secs(5));
            let publisher = Publisher::new(settings).expect("settings that can work");
            let error = publisher.send(ProducerRecord::to("tls-none")).await;
            let error = error.expect_err("a time-out");
            assert_eq!(error.class(), ErrorClass::Retriable, "{error}");
            assert!(error.to_string().contains(hint), "{error}");

            // It may be a broker that is starting: the consumer keeps trying, and says so.
            let settings = consumer(&brokers, &security, "tls-none");
            let running = Running::start(settings, Calls::default().acking());
            logs().line(&["the consumer keeps trying", hint]).await;
            running.stop().await;
        }
    });
}

#[test]
fn certificates_that_cannot_be_used_are_refused_before_connecting() {
    let refused = |tls: Tls| {
        let settings = ProducerSettings::high_reliability("127.0.0.1:1").security(tls);
        Publisher::new(settings).expect_err("a refusal").to_string()
    };
    let shown = refused(Tls::ca_file("/no/such/file"));
    assert!(
        shown.contains("`ssl.ca.location` can't be read: No such file"),
        "{shown}"
    );
    let shown = refused(Tls::ca_pem("hunter2"));
    assert!(shown.contains("ssl.ca.pem: not in PEM format"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let shown = refused(Tls::system().client_certificate_pem("hunter2", "hunter2"));
    assert!(
        shown.contains("ssl.certificate.pem failed: not in PEM"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}
