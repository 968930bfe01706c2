//! Credentials and rights, on the cluster that `scripts/kafka up --secure` starts.
//!
//! Without `KAFKA_SASL_BOOTSTRAP_SERVERS` these tests do nothing.

#[path = "support/consume.rs"]
mod bed;
#[path = "support/capture.rs"]
mod capture;
mod support;

use std::{
    env, fs,
    future::Future,
    process::Command,
    time::{Duration, Instant},
};

use bed::{Calls, Running, soon};
use capture::logs;
use kafka_tower::{
    ConsumerSettings, ErrorClass, Persistence, ProducerRecord, ProducerSettings, PublishExt,
    Publisher, ServeError,
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode as Code,
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// Less than any time limit that might be waited out in vain.
const AT_ONCE: Duration = Duration::from_secs(25);

const ADMIN: (&str, &str) = ("admin", "admin-secret");
const ALICE: (&str, &str) = ("alice", "alice-secret");
const WRONG: (&str, &str) = ("alice", "hunter2-secret");

type User = (&'static str, &'static str);

/// A topic and a group of a secure cluster, to which only the admin has any right.
struct Secure {
    brokers: String,
    topic: String,
}

/// Runs a test if there is a secure cluster.
fn run<F: Future<Output = ()>>(test: impl FnOnce(Secure) -> F) {
    let Ok(brokers) = env::var("KAFKA_SASL_BOOTSTRAP_SERVERS") else {
        println!("skipped: it takes a secure cluster in KAFKA_SASL_BOOTSTRAP_SERVERS");
        return;
    };
    support::run(async {
        let topic = format!("secure-{}", Uuid::now_v7().simple());
        let secure = Secure { brokers, topic };
        secure.create_topic().await;
        test(secure).await;
    });
}

fn sasl((name, password): User) -> [(&'static str, &'static str); 4] {
    [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", name),
        ("sasl.password", password),
    ]
}

impl Secure {
    async fn create_topic(&self) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.extend(sasl(ADMIN).map(|(name, value)| (name.to_owned(), value.to_owned())));
        let admin: AdminClient<DefaultClientContext> = config.create().expect("a client");
        let topic = NewTopic::new(&self.topic, 1, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(AT_ONCE));
        let created = admin.create_topics([&topic], &options).await;
        created.expect("an answer")[0].as_ref().expect("a topic");
    }

    /// Settings for a group with the topic's name.
    fn consumer(&self, user: User) -> ConsumerSettings {
        let settings = ConsumerSettings::new(&self.brokers, &self.topic).topics([&self.topic]);
        let set = |settings: ConsumerSettings, (name, value)| settings.set(name, value);
        sasl(user).into_iter().fold(settings, set)
    }

    fn publisher(&self, user: User) -> Publisher {
        let settings = ProducerSettings::high_reliability(&self.brokers);
        let set = |settings: ProducerSettings, (name, value)| settings.set(name, value);
        let settings = sasl(user).into_iter().fold(settings, set);
        Publisher::new(settings).expect("settings that can work")
    }

    fn record(&self) -> ProducerRecord {
        ProducerRecord::to(self.topic.as_str()).payload("payload")
    }

    /// Serves as a user who may not, and gives the error.
    async fn refused(&self, user: User) -> ServeError {
        let started = Instant::now();
        let running = Running::start(self.consumer(user), Calls::default().acking());
        let error = running.end().await.expect_err("a refusal");
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        error
    }

    /// Lets alice do something with what has the topic's name: Kafka's tool knows how.
    async fn grant(&self, right: &str, kind: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
        let file = format!("{}/{}.properties", env!("CARGO_TARGET_TMPDIR"), self.topic);
        let login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        let properties = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n\
             sasl.jaas.config={login} username=\"{}\" password=\"{}\";\n",
            ADMIN.0, ADMIN.1
        );
        fs::write(&file, properties).expect("a file");
        let mut tool = Command::new(script);
        tool.args(["tool", "acls", "--bootstrap-server", &self.brokers]);
        tool.args(["--command-config", &file, "--add"]);
        tool.args(["--allow-principal", "User:alice", "--operation", right]);
        tool.args([kind, &self.topic]);
        let output = spawn_blocking(move || tool.output()).await;
        let output = output.expect("no panic").expect("bash");
        let _ = fs::remove_file(&file);
        assert!(output.status.success(), "{output:?}");
    }
}

fn assert_code(error: &ServeError, expected: Code) {
    let ServeError::Client { code, class, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(*code, Some(expected as i32), "{error}");
    assert_eq!(*class, ErrorClass::Fatal, "{error}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("-secret"), "{shown}");
}

#[test]
fn a_wrong_password_ends_the_consumer_at_once_and_is_not_shown() {
    run(async |secure: Secure| {
        let logs = logs();
        let settings = secure.consumer(WRONG).set("debug", "all");
        let started = Instant::now();
        let running = Running::start(settings, Calls::default().acking());
        let error = running.end().await.expect_err("a refusal");
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        assert_code(&error, Code::Authentication);
        assert!(error.to_string().contains("check sasl.username"), "{error}");
        assert!(logs.count(&["librdkafka"]) > 0);
        assert_eq!(logs.count(&["hunter2"]), 0);
    });
}

#[test]
fn a_consumer_needs_the_right_to_the_group_and_to_the_topic() {
    run(async |secure: Secure| {
        let delivery = secure.publisher(ADMIN).send(secure.record()).await;
        delivery.expect("a delivery");

        secure.grant("Read", "--topic").await;
        let error = secure.refused(ALICE).await;
        assert_code(&error, Code::GroupAuthorizationFailed);

        secure.grant("Read", "--group").await;
        let calls = Calls::default();
        let running = Running::start(secure.consumer(ALICE), calls.acking());
        // Which asks the brokers as well.
        soon("it is handled", running.handle.drained())
            .await
            .expect("it runs");
        assert_eq!(calls.offsets(0), [0]);
        let summary = running.stop().await;
        assert_eq!(summary.committed.values().copied().collect::<Vec<_>>(), [1]);
    });
}

#[test]
fn a_consumer_without_the_right_to_the_topic_ends_at_once() {
    run(async |secure: Secure| {
        secure.grant("Read", "--group").await;
        let error = secure.refused(ALICE).await;
        assert_code(&error, Code::TopicAuthorizationFailed);
        let shown = error.to_string();
        assert!(
            shown.contains("grant this user Read and Describe"),
            "{shown}"
        );
    });
}

#[test]
fn a_wrong_password_fails_a_publish_at_once_and_is_not_shown() {
    run(async |secure: Secure| {
        let logs = logs();
        let started = Instant::now();
        let publisher = secure.publisher(WRONG);
        let error = publisher.send(secure.record()).await;
        let error = error.expect_err("a refusal");
        // Not only what waited for the connection.
        for _ in 0..3 {
            let again = publisher.send(secure.record()).await;
            assert_eq!(again.expect_err("a refusal").code(), error.code());
        }
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        assert_eq!(error.code(), Some(-169), "{error}");
        assert_eq!(error.class(), ErrorClass::Fatal);
        assert_eq!(error.persistence(), Persistence::NotPersisted);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(logs.count(&["hunter2"]), 0);
        let record = error.into_record().expect("the record");
        assert_eq!(record.payload.as_deref(), Some(&b"payload"[..]));
    });
}

#[test]
fn a_publisher_needs_the_right_to_write() {
    run(async |secure: Secure| {
        let started = Instant::now();
        let error = secure.publisher(ALICE).send(secure.record()).await;
        let error = error.expect_err("a refusal");
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        let expected = Code::TopicAuthorizationFailed as i32;
        assert_eq!(error.code(), Some(expected), "{error}");
        assert_eq!(error.class(), ErrorClass::Fatal);
        assert!(error.record().is_some());

        secure.grant("Write", "--topic").await;
        let delivery = secure.publisher(ALICE).send(secure.record()).await;
        assert_eq!(delivery.expect("a delivery").offset, Some(0));
    });
}
