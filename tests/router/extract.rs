//! What handlers can ask for: there, missing, and not to be read.

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use kafka_tower::{
    BoxError, Classifier, Classify, ConsumerRecord, ConsumerRecordBuilder, ErrorClass, Headers,
    Lease, MatchedRoute, MessageId, Outcome, RecordKey, Rejection,
    extract::{
        Attempt, Extension, FromHeader, FromRecord, FromRef, Header, Json, Key, Offset, Partition,
        Payload, State, Timestamp, Topic,
    },
    router::handler_service,
};
use serde::Deserialize;
use tower::ServiceExt;
use uuid::Uuid;

fn record() -> ConsumerRecordBuilder {
    ConsumerRecord::builder("orders", 3, 7)
}

fn read<T: FromRecord<()>>(record: ConsumerRecordBuilder) -> Result<T, Rejection> {
    T::from_record(&record.build(), &())
}

/// The record is at fault, and nothing of it is shown.
fn unreadable<T: FromRecord<()> + Debug>(record: &ConsumerRecord, secret: &str) -> String {
    let optional = Option::<T>::from_record(record, &()).unwrap_err();
    let error: BoxError = optional.into();
    assert_eq!(
        Classifier::new().classify(&*error),
        ErrorClass::NonRetriable
    );
    let given: Result<T, Rejection> = FromRecord::from_record(record, &()).unwrap();
    let rejection = given.unwrap_err();
    assert_eq!(rejection.class(), ErrorClass::NonRetriable);
    assert!(!rejection.is_missing());
    let shown = format!(
        "{rejection}: {}",
        std::error::Error::source(&rejection).unwrap()
    );
    let debugged = format!("{rejection:?}");
    assert!(
        !shown.contains(secret) && !debugged.contains(secret),
        "{shown} {debugged}"
    );
    shown
}

/// The record has none of it.
fn missing<T: FromRecord<()> + Debug>(record: &ConsumerRecord, class: ErrorClass) -> String {
    let rejection = T::from_record(record, &()).unwrap_err();
    assert_eq!(rejection.class(), class);
    assert!(rejection.is_missing());
    assert!(Option::<T>::from_record(record, &()).unwrap().is_none());
    let given: Result<T, Rejection> = FromRecord::from_record(record, &()).unwrap();
    assert!(given.unwrap_err().is_missing());
    rejection.to_string()
}

fn there<T: FromRecord<()>>(record: &ConsumerRecord) -> T {
    assert!(Option::<T>::from_record(record, &()).unwrap().is_some());
    let given: Result<T, Rejection> = FromRecord::from_record(record, &()).unwrap();
    given.unwrap()
}

#[test]
fn what_every_record_has() {
    let mut headers = Headers::new();
    headers.append("a", "b");
    let lease = Lease::new(9);
    let record = record()
        .key("k")
        .payload("p")
        .headers(headers.clone())
        .timestamp(1500)
        .attempt(2)
        .lease(lease.clone())
        .build();
    assert_eq!(there::<Topic>(&record).0.as_ref(), "orders");
    assert_eq!(there::<Partition>(&record), Partition(3));
    assert_eq!(there::<Offset>(&record), Offset(7));
    assert_eq!(there::<Timestamp>(&record), Timestamp(1500));
    assert_eq!(there::<Attempt>(&record), Attempt(2));
    assert_eq!(there::<Headers>(&record), headers);
    assert_eq!(there::<MatchedRoute>(&record).as_str(), "orders");
    assert_eq!(there::<ConsumerRecord>(&record).key(), Some(&b"k"[..]));
    let extracted = there::<Lease>(&record);
    lease.revoke();
    assert!(!extracted.is_held(), "it is the record's own");
    assert_eq!(extracted.fencing_number(), 9);
}

#[test]
fn a_timestamp_may_be_missing() {
    let shown = missing::<Timestamp>(&record().build(), ErrorClass::NonRetriable);
    assert_eq!(shown, "the record has no timestamp");
    let epoch = std::time::UNIX_EPOCH;
    let ago = Timestamp(-1500).to_system_time();
    assert_eq!(ago, Some(epoch - Duration::from_millis(1500)));
    assert_eq!(
        Timestamp(1).to_system_time(),
        Some(epoch + Duration::from_millis(1))
    );
    assert_eq!(
        Timestamp(i64::MIN).to_system_time().is_some(),
        cfg!(target_os = "linux")
    );
}

#[test]
fn keys() {
    fn key<T: RecordKey + PartialEq + Debug>(text: &str, expected: T) {
        assert_eq!(read::<Key<T>>(record().key(text)).unwrap().0, expected);
        assert_eq!(expected.into_key(), Some(Bytes::from(text.to_owned())));
    }
    key("42", "42".to_owned());
    key("42", Bytes::from_static(b"42"));
    key("42", b"42".to_vec());
    key("42", 42_u8);
    key("42", 42_u16);
    key("42", 42_usize);
    key("-42", -42_i8);
    key("-42", -42_i64);
    key("42", Some("42".to_owned()));
    let uuid = Uuid::now_v7();
    key(&uuid.to_string(), uuid);
    assert_eq!(read::<Key<()>>(record().key("42")).unwrap().0, ());
    assert_eq!(().into_key(), None);
    assert_eq!(None::<u32>.into_key(), None);

    let null = record().payload("p").build();
    let shown = missing::<Key<String>>(&null, ErrorClass::NonRetriable);
    assert_eq!(shown, "the record has no key");
    missing::<Key<Uuid>>(&null, ErrorClass::NonRetriable);
    missing::<Key<Bytes>>(&null, ErrorClass::NonRetriable);
    missing::<Key<Vec<u8>>>(&null, ErrorClass::NonRetriable);
    missing::<Key<u64>>(&null, ErrorClass::NonRetriable);
    assert_eq!(there::<Key<Option<u64>>>(&null).0, None);
    assert_eq!(there::<Key<()>>(&null).0, ());
    // Empty is not null.
    assert_eq!(there::<Key<String>>(&record().key("").build()).0, "");

    let odd = record().key(&b"sec\xff"[..]).build();
    let shown = unreadable::<Key<String>>(&odd, "sec");
    assert!(
        shown.starts_with("the key of the record can't be read: invalid utf-8"),
        "{shown}"
    );
    let text = record().key("secret").build();
    unreadable::<Key<u64>>(&text, "secret");
    let shown = unreadable::<Key<Uuid>>(&text, "secret");
    assert!(shown.ends_with("it is no UUID"), "not a character: {shown}");
    unreadable::<Key<Option<u64>>>(&text, "secret");
}

#[test]
fn payloads() {
    let text = record().payload("tea").build();
    assert_eq!(there::<Payload<String>>(&text).0, "tea");
    assert_eq!(there::<Payload<Bytes>>(&text).0, "tea");
    assert_eq!(there::<Payload<Vec<u8>>>(&text).0, b"tea");
    let tombstone = record().key("k").build();
    let shown = missing::<Payload<String>>(&tombstone, ErrorClass::NonRetriable);
    assert_eq!(shown, "the record has no payload: it is a tombstone");
    missing::<Payload<Bytes>>(&tombstone, ErrorClass::NonRetriable);
    missing::<Payload<Vec<u8>>>(&tombstone, ErrorClass::NonRetriable);
    let odd = record().payload(&b"sec\xff"[..]).build();
    let shown = unreadable::<Payload<String>>(&odd, "sec");
    assert!(shown.contains("from index 3"), "{shown}");
    assert_eq!(there::<Payload<Vec<u8>>>(&odd).0, b"sec\xff");
}

#[derive(Debug, PartialEq, Deserialize)]
struct Order {
    id: u32,
    kind: Kind,
    lines: Vec<Line>,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Kind {
    Tea,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Line {
    price: u32,
}

#[test]
fn json() {
    let good = r#"{"id": 1, "kind": "Tea", "lines": [{"price": 2}]}"#;
    let order = there::<Json<Order>>(&record().payload(good).build()).0;
    assert_eq!((order.id, order.lines[0].price), (1, 2));
    let tombstone = record().key("k").build();
    missing::<Json<Order>>(&tombstone, ErrorClass::NonRetriable);

    let shown = |payload: &str| {
        let record = record().payload(payload).build();
        unreadable::<Json<Order>>(&record, "secret")
    };
    let place = shown("{\"id\": 1,\n\"kind\": \"secret\"}");
    assert!(place.contains("Order"), "{place}");
    assert!(place.contains("line 2 column"), "{place}");
    let place = shown(r#"{"id": 1, "kind": "Tea", "lines": [{"price": 2}, {"price": "secret"}]}"#);
    assert!(place.contains("the JSON isn't one"), "{place}");
    assert!(place.ends_with(", in `lines[1].price`"), "{place}");
    assert!(shown("secret").contains("it can't be read as JSON"));
    assert!(shown(&format!("{good} secret")).contains("it can't be read as JSON at line 1 column"));
    assert!(shown(r#"{"id": "#).contains("ends early"));
    assert!(shown("").contains("ends early"));
    // `null` is no tombstone.
    assert!(shown("null").contains("isn't one"));
    let null = record().payload("null").build();
    assert_eq!(there::<Json<Option<Order>>>(&null).0, None);
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Event {
    #[allow(dead_code, reason = "it is never read")]
    Paid { amount: u32 },
}

#[test]
fn json_that_is_none_of_the_variants_has_a_place_as_well() {
    let record = record().payload(r#"{"amount": "secret"}"#).build();
    let shown = unreadable::<Json<Event>>(&record, "secret");
    assert!(
        shown.ends_with("the JSON isn't one at line 1 column 1"),
        "{shown}"
    );
}

#[test]
fn json_that_is_too_deep_is_not_said_to_be_none() {
    let deep = format!(r#"{}"secret""#, "[".repeat(100_000));
    let record = record().payload(deep).build();
    let shown = unreadable::<Json<serde_json::Value>>(&record, "secret");
    assert!(
        shown.contains("it can't be read as JSON at line 1 column 128"),
        "{shown}"
    );
}

#[derive(Debug, PartialEq)]
struct Tenant(u32);

impl FromHeader for Tenant {
    const NAME: &'static str = "tenant";

    fn from_header(value: &[u8]) -> Result<Self, BoxError> {
        Ok(Self(std::str::from_utf8(value)?.parse()?))
    }
}

#[test]
fn typed_headers() {
    let with = |values: &[Option<&str>]| {
        let mut headers = Headers::new();
        for value in values {
            match value {
                Some(value) => headers.append("tenant", *value),
                None => headers.append_null("tenant"),
            }
        }
        headers.append("message-id", "m-1");
        record().headers(headers).build()
    };
    // The last one counts.
    let tenant = there::<Header<Tenant>>(&with(&[Some("1"), Some("2")]));
    assert_eq!(tenant.0, Tenant(2));
    let shown = missing::<Header<Tenant>>(&with(&[]), ErrorClass::NonRetriable);
    assert_eq!(shown, "the record has no header `tenant`");
    missing::<Header<Tenant>>(&with(&[Some("1"), None]), ErrorClass::NonRetriable);
    let shown = unreadable::<Header<Tenant>>(&with(&[Some("secret")]), "secret");
    assert!(shown.contains("header `tenant`"), "{shown}");
    let id = there::<Header<MessageId>>(&with(&[])).0;
    assert_eq!(id, MessageId::from("m-1"));
}

#[test]
fn a_missing_extension_is_the_programs_fault() {
    #[derive(Debug, Clone, PartialEq)]
    struct User(u32);
    let mut record = record().build();
    let shown = missing::<Extension<User>>(&record, ErrorClass::Fatal);
    assert!(shown.contains("User") && shown.contains("layer"), "{shown}");
    record.extensions_mut().insert(User(1));
    assert_eq!(there::<Extension<User>>(&record).0, User(1));
}

#[derive(Clone)]
struct App {
    db: Db,
}

#[derive(Clone, Debug, PartialEq)]
struct Db(&'static str);

impl FromRef<App> for Db {
    fn from_ref(app: &App) -> Self {
        app.db.clone()
    }
}

#[tokio::test]
async fn twelve_arguments_and_parts_of_the_state() {
    #[allow(clippy::too_many_arguments, reason = "that is the point")]
    async fn handler(
        State(app): State<App>,
        State(db): State<Db>,
        Key(key): Key<String>,
        payload: Option<Json<Order>>,
        Topic(topic): Topic,
        partition: Partition,
        Offset(offset): Offset,
        timestamp: Result<Timestamp, Rejection>,
        Attempt(attempt): Attempt,
        headers: Headers,
        lease: Lease,
        record: ConsumerRecord,
    ) {
        assert_eq!((app.db, db), (Db("orders"), Db("orders")));
        assert_eq!((key.as_str(), payload.is_none()), ("k", true));
        assert_eq!((&*topic, partition.0, offset, attempt), ("orders", 3, 7, 1));
        assert!(timestamp.is_err() && headers.is_empty() && lease.is_held());
        assert_eq!(record.offset(), offset);
    }
    let service = handler_service(handler, App { db: Db("orders") });
    let record = record().key("k").build();
    assert_eq!(service.oneshot(record).await.unwrap(), Outcome::Ack);
}
