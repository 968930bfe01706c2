//! Spans as any subscriber sees them; `tests/otel_trace` has what an exporter of OpenTelemetry sees.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use kafka_tower::{
    BoxError, ConsumerRecord, Delivery, ErrorClass, Outcome, ProducerRecord, PublishError,
    layers::{
        RetryLayer, ServiceBuilderExt, TraceLayer, TrackLayer,
        trace::{DefaultMakeSpan, OnFailure, OnOutcome},
        track::{DeliveryContext, DeliveryHooks},
    },
};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer};
use tracing::{
    Event, Level, Metadata, Span,
    field::{Field, Visit},
    info, info_span,
    span::{Attributes, Id, Record as Values},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

use crate::fake::{Fake, delivered, order, read, refused};

/// What was traced so far.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<Line>>>);

/// A span or an event.
#[derive(Debug, Clone, Default)]
struct Line {
    id: u64,
    name: String,
    target: String,
    level: String,
    /// The name of the span that it is in.
    parent: Option<String>,
    fields: BTreeMap<String, String>,
    ended: bool,
}

impl Line {
    fn of(metadata: &Metadata<'_>) -> Self {
        Self {
            name: metadata.name().to_owned(),
            target: metadata.target().to_owned(),
            level: metadata.level().to_string(),
            ..Self::default()
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Traced {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut line = Line::of(attributes.metadata());
        attributes.record(&mut line);
        line.id = id.into_u64();
        let parent = context.span(id).and_then(|span| span.parent());
        line.parent = parent.map(|parent| parent.name().to_owned());
        self.0.lock().unwrap().push(line);
    }

    fn on_record(&self, id: &Id, values: &Values<'_>, _: Context<'_, S>) {
        self.change(id, |line| values.record(line));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Line::of(event.metadata());
        event.record(&mut line);
        line.parent = context
            .event_span(event)
            .map(|parent| parent.name().to_owned());
        self.0.lock().unwrap().push(line);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.change(&id, |line| line.ended = true);
    }
}

impl Traced {
    /// On this thread, from a level on.
    fn from(level: LevelFilter) -> (Self, DefaultGuard) {
        let traced = Self::default();
        let subscriber = tracing_subscriber::registry()
            .with(level)
            .with(traced.clone());
        (traced, tracing::subscriber::set_default(subscriber))
    }

    fn change(&self, id: &Id, change: impl FnOnce(&mut Line)) {
        let mut lines = self.0.lock().unwrap();
        let mut lines = lines.iter_mut().rev();
        if let Some(line) = lines.find(|line| line.id == id.into_u64() && !line.ended) {
            change(line);
        }
    }

    fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }

    /// The first of this name.
    fn named(&self, name: &str) -> Line {
        let lines = self.lines();
        let found = lines.iter().find(|line| line.name == name).cloned();
        found.unwrap_or_else(|| panic!("no `{name}` in {lines:?}"))
    }
}

#[tokio::test]
async fn a_publish_is_a_span_around_call_and_future() {
    let (traced, _guard) = Traced::from(LevelFilter::INFO);
    let stack =
        ServiceBuilder::new()
            .kafka_trace()
            .service(service_fn(|record: ProducerRecord| {
                info!(name: "called", "called");
                async move {
                    tokio::task::yield_now().await;
                    info!(name: "polled", "polled");
                    assert_eq!(record.headers.len(), 0);
                    delivered()
                }
            }));
    let caller = info_span!("caller");
    let publish = caller.in_scope(|| stack.oneshot(order()));
    // `oneshot` calls when it is polled.
    tracing::Instrument::instrument(publish, caller)
        .await
        .unwrap();
    let span = traced.named("send");
    assert_eq!(span.target, "kafka_tower::send");
    assert_eq!(
        (&*span.level, span.parent.as_deref()),
        ("INFO", Some("caller"))
    );
    for name in ["called", "polled"] {
        assert_eq!(traced.named(name).parent.as_deref(), Some("send"));
    }
    assert_eq!(span.field("otel.name"), Some("send orders"));
    assert_eq!(span.field("otel.kind"), Some("\"producer\""));
    assert_eq!(span.field("messaging.system"), Some("\"kafka\""));
    assert_eq!(span.field("messaging.destination.partition.id"), Some("0"));
    assert_eq!(span.field("messaging.kafka.offset"), Some("7"));
    assert_eq!(span.field("kafka_tower.outcome"), Some("\"delivered\""));
    assert!(span.ended);
}

#[tokio::test]
async fn a_consumed_record_is_a_span_without_a_parent() {
    let (traced, _guard) = Traced::from(LevelFilter::INFO);
    let stack = TraceLayer::new().layer(service_fn(async |_: ConsumerRecord| {
        info!(name: "handled", "handled");
        Err::<Outcome, BoxError>("42 has no tea".into())
    }));
    let around = info_span!("around");
    let call = stack.oneshot(read(2));
    let error = tracing::Instrument::instrument(call, around).await;
    assert_eq!(error.unwrap_err().to_string(), "42 has no tea");
    let span = traced.named("process");
    assert_eq!(
        (&*span.target, span.parent.as_deref()),
        ("kafka_tower::process", None)
    );
    assert_eq!(traced.named("handled").parent.as_deref(), Some("process"));
    assert_eq!(span.field("otel.name"), Some("process orders"));
    assert_eq!(span.field("messaging.kafka.offset"), Some("7"));
    assert_eq!(span.field("kafka_tower.attempt"), Some("2"));
    assert_eq!(span.field("otel.status_code"), Some("\"ERROR\""));
    assert_eq!(span.field("error.type"), Some("\"retriable\""));
    assert!(span.ended);
}

#[tokio::test]
async fn neither_key_nor_payload_is_shown() {
    let (traced, _guard) = Traced::from(LevelFilter::TRACE);
    let layer = TraceLayer::new();
    let record = order().key("secret").payload("secret");
    let failing = Fake::new([Err(PublishError::new(
        ErrorClass::NonRetriable,
        kafka_tower::Persistence::NotPersisted,
        "secret",
    ))]);
    layer.layer(failing).oneshot(record).await.unwrap_err();
    let record = ConsumerRecord::builder("orders", 0, 7).key("secret");
    let record = record.payload("secret").build();
    let failing = Fake::new([Err("secret".into())]);
    layer.layer(failing).oneshot(record).await.unwrap_err();
    let shown = format!("{:?}", traced.lines());
    assert!(!shown.contains("secret"), "{shown}");
    assert!(!shown.contains("messaging.message.body.size"), "{shown}");
}

/// Counts what it is told of repetitions.
#[derive(Default)]
struct Told(Mutex<Vec<u32>>);

impl DeliveryHooks for Told {
    fn on_retry_scheduled(&self, context: &DeliveryContext<'_>, _: Duration) {
        self.0.lock().unwrap().push(context.attempt);
    }
}

#[tokio::test(start_paused = true)]
async fn repetitions_are_events_and_others_are_told_as_well() {
    let (traced, _guard) = Traced::from(LevelFilter::INFO);
    let told = Arc::new(Told::default());
    let answers = [refused(ErrorClass::Retriable), delivered()];
    let stack = ServiceBuilder::new()
        .kafka_trace()
        .layer(TrackLayer::new(Arc::clone(&told)))
        .layer(RetryLayer::default())
        .service(Fake::new(answers));
    stack.oneshot(order()).await.unwrap();
    let lines = traced.lines();
    let events: Vec<_> = lines.iter().filter(|line| line.id == 0).collect();
    let [event] = &events[..] else {
        panic!("one event: {lines:?}");
    };
    assert_eq!(event.parent.as_deref(), Some("send"));
    assert_eq!(event.field("attempt"), Some("2"));
    assert_eq!(event.field("after_ms"), Some("1000"));
    assert_eq!(*told.0.lock().unwrap(), [2]);
}

#[tokio::test]
async fn a_span_of_another_level_and_maker() {
    let (traced, _guard) = Traced::from(LevelFilter::TRACE);
    for level in [
        Level::ERROR,
        Level::WARN,
        Level::INFO,
        Level::DEBUG,
        Level::TRACE,
    ] {
        let layer = TraceLayer::new().level(level);
        layer
            .layer(Fake::new([delivered()]))
            .oneshot(order())
            .await
            .unwrap();
        let stack = layer.layer(Fake::new([Ok(Outcome::Ack)]));
        let _ = stack.oneshot(read(1)).await.unwrap();
        let lines = traced.0.lock().unwrap().split_off(0);
        let levels: Vec<_> = lines.iter().map(|line| line.level.as_str()).collect();
        assert_eq!(levels, [level.as_str(), level.as_str()]);
    }
    let maker = DefaultMakeSpan::default()
        .include_key(true)
        .include_body_size(true);
    let stack = TraceLayer::new()
        .make_span_with(maker)
        .layer(Fake::new([Ok(Outcome::Ack)]));
    let _ = stack.oneshot(read(1)).await.unwrap();
    let span = traced.named("process");
    assert_eq!(span.field("messaging.kafka.message.key"), Some("\"42\""));
    assert_eq!(span.field("messaging.message.body.size"), Some("3"));
}

#[tokio::test]
async fn functions_make_spans_and_are_told_of_results_also_without_a_span() {
    let (traced, _guard) = Traced::from(LevelFilter::INFO);
    let told = Arc::new(Mutex::new(Vec::new()));
    let (ok, failed) = (Arc::clone(&told), Arc::clone(&told));
    let layer = TraceLayer::new()
        .make_span_with(|record: &ProducerRecord| match record.partition {
            Some(partition) => info_span!("mine", partition),
            None => Span::none(),
        })
        .on_outcome(move |delivery: &Delivery, _: Duration, span: &Span| {
            let told = (format!("{:?}", delivery.offset), span.is_none());
            ok.lock().unwrap().push(told);
        })
        .on_failure(move |error: &PublishError, _: Duration, span: &Span| {
            let told = (error.class().to_string(), span.is_none());
            failed.lock().unwrap().push(told);
        });
    let answers = [delivered(), refused(ErrorClass::Fatal)];
    let stack = layer.layer(Fake::new(answers));
    stack.clone().oneshot(order().partition(3)).await.unwrap();
    stack.oneshot(order()).await.unwrap_err();
    let told = told.lock().unwrap();
    assert_eq!(
        *told,
        [("Some(7)".to_owned(), false), ("fatal".to_owned(), true)]
    );
    assert_eq!(traced.named("mine").field("partition"), Some("3"));
    assert_eq!(traced.lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_latency_is_the_services() {
    let told = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&told);
    let on_outcome = move |_: &Outcome, latency: Duration, _: &Span| {
        *noted.lock().unwrap() = Some(latency);
    };
    let stack = TraceLayer::new()
        .on_outcome(on_outcome)
        .on_failure(())
        .layer(service_fn(async |_: ConsumerRecord| {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok::<_, BoxError>(())
        }));
    let _ = stack.oneshot(read(1)).await.unwrap();
    assert_eq!(*told.lock().unwrap(), Some(Duration::from_secs(5)));
}

#[test]
fn nobody_who_does_nothing_is_wanted() {
    let (_traced, _guard) = Traced::from(LevelFilter::INFO);
    let span = info_span!("enabled");
    assert!(!OnOutcome::<ProducerRecord>::is_wanted(&(), &span));
    assert!(!OnFailure::<ConsumerRecord>::is_wanted(&(), &span));
}

#[tokio::test(start_paused = true)]
async fn the_record_comes_back_above_a_foreign_layer() {
    let stack = ServiceBuilder::new()
        .kafka_trace()
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .service(service_fn(|_: ProducerRecord| {
            std::future::pending::<Result<Delivery, PublishError>>()
        }));
    let error = stack.oneshot(order()).await.unwrap_err();
    assert_eq!(&*error.record().expect("the record").topic, "orders");
}

#[tokio::test]
async fn a_service_that_has_ended_says_so() {
    let fake = Fake::<ProducerRecord>::new([]);
    fake.end();
    let mut service = TraceLayer::new().layer(fake);
    let error = Service::poll_ready(
        &mut service,
        &mut std::task::Context::from_waker(std::task::Waker::noop()),
    );
    let std::task::Poll::Ready(Err(error)) = error else {
        panic!("it has ended");
    };
    assert_eq!(error.class(), ErrorClass::Fatal);
    service.get_mut().end();
    assert_eq!(
        service.get_ref().calls().len(),
        service.into_inner().clones()
    );
}
