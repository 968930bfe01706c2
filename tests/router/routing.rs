//! Which route a record takes, and which layers stand around it.

use std::{
    future::{Future, Ready, poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use kafka_tower::{
    App, BoxError, Classifier, Classify, ConsumerRecord, ErrorClass, MatchedRoute, Outcome, Router,
    extract::Extension,
};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tower::{Layer, Service, layer::layer_fn, service_fn, util::MapRequest};

use crate::{ack, answer};

/// Handlers that say who they are, by what was noted.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// A handler that notes its name and the route.
    fn handler(
        &self,
        name: &'static str,
    ) -> impl FnOnce(MatchedRoute) -> Ready<()> + Clone + Send + Sync + 'static + use<> {
        let notes = self.clone();
        move |route: MatchedRoute| {
            notes.note(format!("{name} by {}", route.as_str()));
            ready(())
        }
    }

    /// A layer that notes its name at each call.
    fn layer<S>(
        &self,
        name: &'static str,
    ) -> impl Layer<S, Service = Noting<S>> + Clone + Send + Sync + 'static + use<S>
    where
        S: Service<ConsumerRecord> + 'static,
    {
        let notes = self.clone();
        layer_fn(move |inner: S| {
            let notes = notes.clone();
            let note: Note = Arc::new(move |record| {
                notes.note(name);
                record
            });
            Noting { inner, note }
        })
    }
}

type Note = Arc<dyn Fn(ConsumerRecord) -> ConsumerRecord + Send + Sync>;

#[derive(Clone)]
struct Noting<S> {
    inner: S,
    note: Note,
}

impl<S: Service<ConsumerRecord>> Service<ConsumerRecord> for Noting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, record: ConsumerRecord) -> S::Future {
        self.inner.call((self.note)(record))
    }
}

fn record(topic: &str) -> ConsumerRecord {
    ConsumerRecord::builder(topic, 0, 0).build()
}

#[tokio::test]
async fn a_topic_goes_before_prefixes_and_a_long_one_before_a_short_one() {
    let notes = Notes::default();
    let routes = || {
        Router::new()
            .topic_prefix("tenant-", notes.handler("short"))
            .topic("tenant-a", notes.handler("topic"))
            .topic_prefix("tenant-b", notes.handler("long"))
            .fallback(notes.handler("fallback"))
    };
    for (topic, expected) in [
        ("tenant-a", "topic by tenant-a"),
        ("tenant-aa", "short by tenant-*"),
        ("tenant-", "short by tenant-*"),
        ("tenant-b", "long by tenant-b*"),
        ("tenant-bc", "long by tenant-b*"),
        ("tenant", "fallback by *"),
        // Dead letters are not found by a prefix.
        ("tenant-a.dlq", "fallback by *"),
    ] {
        ack(routes(), record(topic)).await;
        assert_eq!(notes.take(), [expected], "{topic}");
    }
}

#[tokio::test]
async fn without_a_route_a_record_is_a_fatal_error_that_names_the_topic() {
    let error = answer(Router::new().topic("a", async || {}), record("b")).await;
    let error = error.unwrap_err();
    assert_eq!(Classifier::new().classify(&*error), ErrorClass::Fatal);
    assert!(
        error.to_string().contains("no route for the topic `b`"),
        "{error}"
    );
}

#[tokio::test]
async fn the_route_is_among_the_extensions_only_where_it_is_not_the_topic() {
    async fn handler(route: Option<Extension<MatchedRoute>>) -> Outcome {
        match route {
            Some(Extension(route)) if route.as_str() == "a*" => Outcome::Skip,
            Some(_) => panic!("another route"),
            None => Outcome::Ack,
        }
    }
    let routes = || Router::new().topic("a", handler).topic_prefix("a", handler);
    assert_eq!(answer(routes(), record("a")).await.unwrap(), Outcome::Ack);
    assert_eq!(answer(routes(), record("ab")).await.unwrap(), Outcome::Skip);
    // Beside others.
    let mut other = record("ab");
    other.extensions_mut().insert(1_u32);
    let both = Router::new().topic_prefix(
        "a",
        async |Extension(number): Extension<u32>, route: Extension<MatchedRoute>| {
            assert_eq!((number, route.0.as_str()), (1, "a*"));
        },
    );
    ack(both, other).await;
}

#[test]
fn the_router_names_its_topics_and_prefixes() {
    let router: Router = Router::new()
        .topic("b", async || {})
        .topic_service("a", service_fn(async |_| Ok::<_, BoxError>(())))
        .topic_prefix("c.", async || {})
        .fallback(async || {});
    assert_eq!(router.topics(), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(router.topic_prefixes(), ["c."]);
}

#[tokio::test]
async fn merged_routers_keep_their_own_layers() {
    let notes = Notes::default();
    let both = || {
        let orders = Router::new()
            .topic("orders", notes.handler("orders"))
            .layer(notes.layer("around orders"));
        let invoices = Router::new().topic("invoices", notes.handler("invoices"));
        orders.merge(invoices).layer(notes.layer("around both"))
    };
    ack(both(), record("orders")).await;
    assert_eq!(
        notes.take(),
        ["around both", "around orders", "orders by orders"]
    );
    ack(both(), record("invoices")).await;
    assert_eq!(notes.take(), ["around both", "invoices by invoices"]);
}

#[tokio::test]
async fn a_layer_is_around_what_was_added_before_it() {
    let notes = Notes::default();
    let router = || {
        Router::new()
            .topic("before", notes.handler("before"))
            .topic_prefix("prefix", notes.handler("prefix"))
            .fallback(notes.handler("fallback"))
            .layer(notes.layer("layer"))
            .topic("after", notes.handler("after"))
    };
    ack(router(), record("before")).await;
    assert_eq!(notes.take(), ["layer", "before by before"]);
    ack(router(), record("prefixed")).await;
    assert_eq!(notes.take(), ["layer", "prefix by prefix*"]);
    ack(router(), record("other")).await;
    assert_eq!(notes.take(), ["layer", "fallback by *"]);
    ack(router(), record("after")).await;
    assert_eq!(notes.take(), ["after by after"]);
}

fn panics(make: impl FnOnce() -> Router) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(make()))).unwrap_err();
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn two_routes_for_the_same_are_refused() {
    let handler = async || {};
    let topic = || Router::new().topic("a", handler);
    let shown = panics(|| topic().topic("a", handler));
    assert_eq!(
        shown,
        "there are two routes for the same topic `a`; a topic has one"
    );
    panics(|| topic().topic_service("a", service_fn(async |_| Ok::<_, BoxError>(()))));
    assert!(panics(|| topic().merge(topic())).contains("topic `a`"));
    let prefix = || Router::new().topic_prefix("a", handler);
    assert!(panics(|| prefix().merge(prefix())).contains("prefix `a`"));
    let fallback = || Router::new().fallback(handler);
    assert!(panics(|| fallback().merge(fallback())).contains("fallback"));
    // A topic and a prefix of the same name are two.
    drop(topic().merge(prefix()).merge(fallback()));
}

#[test]
fn routers_with_and_without_state_are_merged() {
    #[derive(Clone)]
    struct Db;
    async fn on_order(_: kafka_tower::extract::State<Db>) {}
    let orders = Router::new().topic("orders", on_order).with_state(Db);
    let others = Router::new().topic("numbers", async |_: kafka_tower::extract::State<u32>| {});
    let router: Router = orders.merge(others).with_state(7);
    assert_eq!(router.topics().unwrap().len(), 2);
}

/// The lane of a partition, polled by hand.
fn poll_ready(lane: &mut impl Service<ConsumerRecord>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    lane.poll_ready(&mut context).is_ready()
}

#[tokio::test]
async fn a_limit_is_one_for_all_partitions_of_a_route_and_for_that_route_alone() {
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let waiting = move || async move { released.notified().await };
    let router: Router = Router::new()
        .topic("orders", waiting)
        .topic_prefix("tenant-", async || {})
        .layer(tower::limit::ConcurrencyLimitLayer::new(1));
    let make = router.into_make_lane();
    let (mut first, mut second) = (make("orders", 0), make("orders", 1));
    let mut other = make("tenant-a", 0);

    assert!(poll_ready(&mut first));
    let mut running = pin!(first.call(record("orders")));
    assert!(running.as_mut().now_or_never().is_none());
    assert!(
        !poll_ready(&mut second),
        "one at a time, over both partitions"
    );
    assert!(poll_ready(&mut other), "the limit of another route");
    assert_eq!(other.call(record("tenant-a")).await.unwrap(), Outcome::Ack);

    release.notify_one();
    assert_eq!(running.await.unwrap(), Outcome::Ack);
    poll_fn(|context| second.poll_ready(context)).await.unwrap();
}

#[tokio::test]
async fn a_layer_is_applied_once_a_route() {
    let applied = Arc::new(Mutex::new(0));
    let count = Arc::clone(&applied);
    let layer = layer_fn(move |inner| {
        *count.lock().unwrap() += 1;
        MapRequest::new(inner, |record: ConsumerRecord| record)
    });
    let router: Router = Router::new()
        .topic("a", async || {})
        .topic("b", async || {})
        .layer(layer);
    let make = router.into_make_lane();
    for partition in 0..10 {
        for topic in ["a", "b"] {
            let answered = make(topic, partition).call(record(topic)).await;
            assert_eq!(answered.unwrap(), Outcome::Ack);
        }
    }
    assert_eq!(*applied.lock().unwrap(), 2);
}

#[tokio::test]
async fn as_a_service_it_waits_for_the_readiness_of_the_route() {
    let free = Arc::new(AsyncMutex::new(()));
    let taken = Arc::clone(&free);
    let router: Router = Router::new()
        .topic("a", move || async move { drop(taken.lock().await) })
        .layer(tower::limit::ConcurrencyLimitLayer::new(1));
    let mut service = router.into_service();
    let guard = free.lock().await;
    let mut first = service.call(record("a"));
    assert!(first.as_mut().now_or_never().is_none());
    let mut second = service.clone().call(record("a"));
    assert!(second.as_mut().now_or_never().is_none());
    drop(guard);
    assert_eq!(first.await.unwrap(), Outcome::Ack);
    assert_eq!(second.await.unwrap(), Outcome::Ack);
}

#[test]
fn debug_shows_the_routes() {
    let router: Router = Router::new()
        .topic("a", async || {})
        .topic_prefix("b", async || {})
        .fallback(async || {});
    let shown = format!("{router:?}");
    assert_eq!(shown, r#"[Topic("a"), Prefix("b"), Fallback]"#);
    fn is_future<F: Future>(_: &F) {}
    is_future(&router.into_service().call(record("a")));
}
