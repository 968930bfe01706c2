//! A web service around Kafka: an order comes by HTTP, is published, and is handled by a consumer in the same
//! process, in the trace of the request and under its id.
//!
//! * The routes' state holds a stack that publishes, with spans, metrics, retry and a circuit breaker. A
//!   publish that fails is a response by the class of its error: 503 with `Retry-After` while Kafka is away.
//! * tower-http's layers give a request its span and its id: the caller's, if it is a short one. The id becomes
//!   that of the message.
//! * `/livez`, `/readyz` and `/metrics` are on the same port.
//! * It ends from the outside in: first HTTP, then the consumer, then the publishers.
//!
//! ```text
//! cargo run --example axum
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It is its own client, and
//! ends. With `PORT` set it serves until Ctrl-C, with `RUST_LOG=info` it logs:
//!
//! ```text
//! PORT=8080 cargo run --example axum
//!
//! curl -i localhost:8080/orders --json '{"id": 42, "item": "tea"}' -H 'x-request-id: my-own'
//! curl -i localhost:8080/orders/42
//! curl -i localhost:8080/orders --json '{"id": "no number"}'
//! curl -i localhost:8080/returns --json '{"id": 42, "item": "tea"}'   # the second time at once
//! curl -i localhost:8080/readyz
//! curl -i localhost:8080/metrics
//! ```

use std::{
    collections::HashMap,
    env,
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Extension, Json,
    body::{Body, to_bytes},
    extract::{MatchedPath, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, response::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use kafka_tower::{
    Backoff, BoxError, BoxPublisher, Classifier, Classify, Consumer, ConsumerHandle, ErrorClass,
    Jitter, MessageId, ProducerSettings, PublishError, PublishExt, Publisher, Router, Topic,
    extract::{self, Header},
    health::{Health, health_routes},
    layers::{CircuitBreakerLayer, DeadLetter, MetricsLayer, ServiceBuilderExt},
    otel::OtelMetrics,
    serve,
    testing::TestKafka,
};
use opentelemetry::{
    global,
    propagation::Extractor,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_sdk::{
    metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    select,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, util::MapRequestLayer};
use tower_http::{
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    trace::TraceLayer,
};
use tracing::{Span, info_span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

const ORDERS: Topic<Order> = Topic::new("orders");
const DEADLINE: Duration = Duration::from_secs(10);
const REQUEST_ID: &str = "x-request-id";

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u32,
    item: String,
}

/// What a route publishes to, and by what.
#[derive(Clone)]
struct Outbox {
    topic: Topic<Order>,
    publisher: BoxPublisher,
}

/// `POST /orders`: answers when Kafka has the order. What is no order doesn't come here: axum answers 4xx.
async fn place(
    State(outbox): State<Outbox>,
    Extension(request_id): Extension<RequestId>,
    Json(order): Json<Order>,
) -> Result<(StatusCode, Json<Value>), Failed> {
    let record = outbox.topic.record(order.id.to_string(), &order);
    let mut record = record.map_err(Failed)?;
    let id = request_id.header_value().to_str();
    record.message_id = id.ok().map(MessageId::from);
    let delivery = outbox.publisher.send(record).await.map_err(Failed)?;
    let placed = json!({ "partition": delivery.partition, "offset": delivery.offset });
    Ok((StatusCode::ACCEPTED, Json(placed)))
}

/// A publish that failed, as a response.
struct Failed(PublishError);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let class = error.class();
        let body = Json(json!({ "class": class.to_string(), "reason": error.to_string() }));
        match class {
            ErrorClass::Retriable | ErrorClass::Unavailable => {
                // An open circuit says when it lets somebody pass.
                let wait = Classifier::new().retry_after(&error).unwrap_or_default();
                let seconds = (wait.as_secs() + 1).to_string();
                let retry_after = [(header::RETRY_AFTER, seconds)];
                (StatusCode::SERVICE_UNAVAILABLE, retry_after, body).into_response()
            }
            // It is the order's fault: too large, for instance.
            ErrorClass::NonRetriable => (StatusCode::UNPROCESSABLE_ENTITY, body).into_response(),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, body).into_response(),
        }
    }
}

/// Stands for a database.
type Shelf = Arc<Mutex<HashMap<u32, Value>>>;

/// The consumer: puts an order on the shelf, with its message id and its trace.
async fn on_order(
    extract::State(shelf): extract::State<Shelf>,
    Header(message_id): Header<MessageId>,
    order: Order,
) {
    let context = Span::current().context();
    let trace = context.span().span_context().trace_id().to_string();
    let handled =
        json!({ "item": order.item, "message_id": message_id.to_string(), "trace": trace });
    shelf.lock().expect("no panic").insert(order.id, handled);
}

/// `GET /orders/{id}`: what the consumer has made of an order.
async fn find(State(shelf): State<Shelf>, Path(id): Path<u32>) -> Result<Json<Value>, StatusCode> {
    let order = shelf.lock().expect("no panic").get(&id).cloned();
    order.map(Json).ok_or(StatusCode::NOT_FOUND)
}

fn routes(orders: Outbox, returns: Outbox, shelf: Shelf) -> axum::Router {
    axum::Router::new()
        .route("/orders", post(place).with_state(orders))
        .route("/orders/{id}", get(find).with_state(shelf))
        .route("/returns", post(place).with_state(returns))
        .layer((
            MapRequestLayer::new(without_odd_id),
            SetRequestIdLayer::x_request_id(MakeRequestUuid),
            TraceLayer::new_for_http().make_span_with(request_span),
            PropagateRequestIdLayer::x_request_id(),
        ))
}

/// An id goes into spans, the record and the response: one that is empty, long or no ASCII gives way to one
/// of ours.
fn without_odd_id(mut request: Request) -> Request {
    let headers = request.headers_mut();
    let is_odd = |id: &HeaderValue| id.is_empty() || id.len() > 128 || id.to_str().is_err();
    if headers.get(REQUEST_ID).is_some_and(is_odd) {
        headers.remove(REQUEST_ID);
    }
    request
}

/// The span of a request, in the trace of the caller.
fn request_span(request: &Request) -> Span {
    let route = request.extensions().get().map(MatchedPath::as_str);
    let span = info_span!(
        "request",
        otel.kind = "server",
        otel.name = %format_args!("{} {}", request.method(), route.unwrap_or_default()),
        request_id = ?request.extensions().get().map(RequestId::header_value),
    );
    let headers = HttpHeaders(request.headers());
    let caller = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    // It fails where the span is filtered out.
    let _ = span.set_parent(caller);
    span
}

struct HttpHeaders<'a>(&'a HeaderMap);

impl Extractor for HttpHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(header::HeaderName::as_str).collect()
    }
}

/// A cluster to publish to, with a circuit of its own.
struct Cluster {
    publisher: Publisher,
    circuit: CircuitBreakerLayer,
}

impl Cluster {
    fn connect(brokers: &str) -> Result<Self, BoxError> {
        // Requests wait for these.
        let settings = ProducerSettings::low_latency(brokers)
            .message_id_header("message-id")
            .delivery_timeout(Duration::from_secs(5));
        Ok(Self {
            publisher: Publisher::new(settings)?,
            circuit: CircuitBreakerLayer::consecutive(2, Duration::from_secs(20)),
        })
    }

    /// What becomes the state of a route.
    fn outbox(&self, topic: &Topic<Order>, metrics: &OtelMetrics) -> Outbox {
        // An open circuit is open for longer than retry has time, so that requests fail at once.
        let waits = Duration::from_millis(50)..=Duration::from_millis(500);
        let backoff = Backoff::exponential(waits).jitter(Jitter::Full);
        let stack = ServiceBuilder::new()
            .kafka_trace()
            .kafka_metrics(metrics.clone())
            .retry_with(backoff.max_elapsed(Duration::from_secs(8)))
            .circuit_breaker(self.circuit.clone())
            .service(self.publisher.clone());
        Outbox {
            topic: topic.clone(),
            publisher: stack.erased(),
        }
    }

    async fn close(self) {
        let flushed = self.publisher.close(DEADLINE).await;
        assert!(flushed.undelivered.is_empty(), "somebody waited for each");
    }
}

/// Spans carry on traces, and nobody collects them; metrics go to the registry. `examples/opentelemetry` is
/// about the SDK.
fn telemetry() -> Result<Registry, BoxError> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let logs = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    let tracer = SdkTracerProvider::default().tracer("order-service");
    tracing_subscriber::registry()
        .with(
            tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_filter(LevelFilter::INFO),
        )
        .with(tracing_subscriber::fmt::layer().with_filter(logs))
        .try_init()?;

    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
    let meters = SdkMeterProvider::builder().with_reader(exporter.build()?);
    global::set_meter_provider(meters.build());
    Ok(registry)
}

/// Ctrl-C, or what an orchestrator sends.
async fn stop_signal() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    select! {
        result = ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let registry = telemetry()?;
    let metrics = OtelMetrics::new();
    let kafka = TestKafka::from_env().await?;
    let topic = ORDERS.named(kafka.unique_topic(ORDERS.name(), 3).await?);
    kafka
        .create_topic(&format!("{}.dlq", topic.name()), 1)
        .await?;

    let orders = Cluster::connect(kafka.bootstrap_servers())?;
    // Nobody is there.
    let returns = Cluster::connect("127.0.0.1:1")?;

    let shelf = Shelf::default();
    let group = format!("{}-service", topic.name());
    let app = Router::new()
        .route(topic.handle(on_order))
        .layer(ServiceBuilder::new().consuming(
            MetricsLayer::new(metrics.clone()).group(group.as_str()),
            DeadLetter::to(orders.publisher.clone()),
            Backoff::default(),
        ))
        .with_state(shelf.clone());
    let serving = serve(
        Consumer::new(kafka.bootstrap_servers(), group.as_str())?,
        app,
    );
    let consumer = serving.handle();
    metrics.observe_consumer(&consumer, group);

    let health = Health::new()
        .consumer("orders", consumer.clone())
        .circuit("orders", orders.circuit.monitor())
        .circuit("returns", returns.circuit.monitor())
        .registry(registry);
    let outboxes = [&orders, &returns].map(|cluster| cluster.outbox(&topic, &metrics));
    let [to_orders, to_returns] = outboxes;
    let http = routes(to_orders, to_returns, shelf).merge(health_routes(health));

    // A consumer that ends by itself ends the service.
    let stop = CancellationToken::new();
    let on_end = stop.clone().drop_guard();
    let consuming = tokio::spawn(async {
        let _on_end = on_end;
        serving.await
    });
    let port = env::var("PORT").ok();
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port.as_deref().unwrap_or("0").parse()?)).await?;
    let address = listener.local_addr()?;
    println!("serving at http://{address}");
    let server = axum::serve(listener, http).with_graceful_shutdown(stop.clone().cancelled_owned());
    let server = tokio::spawn(server.into_future());

    let client = async {
        match port {
            Some(_) => pending().await,
            None => be_a_client(address, &consumer).await,
        }
    };
    let result = select! {
        result = client => result,
        result = stop_signal() => Ok(result?),
        () = stop.cancelled() => Ok(()),
    };

    // From the outside in: requests under way are answered, then running handlers end, then what they
    // have published is delivered.
    stop.cancel();
    match timeout(DEADLINE, server).await {
        Ok(ended) => ended??,
        Err(_) => println!("requests are cut off"),
    }
    println!("no more requests");
    consumer.stop();
    println!("{}", consuming.await??);
    orders.close().await;
    returns.close().await;
    println!("all is published");
    result
}

/// Calls each route, and checks what it answers.
async fn be_a_client(address: SocketAddr, consumer: &ConsumerHandle) -> Result<(), BoxError> {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let client = Client::builder(TokioExecutor::new()).build_http();
    let call = async |method: &str, path: &str, body: &str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
            .header(REQUEST_ID, "request-1")
            .body(body.to_owned())?;
        let (head, body) = client.request(request).await?.into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await?;
        let body = String::from_utf8(body.to_vec())?;
        let start = body.lines().next().unwrap_or_default();
        println!("{method} {path}: {}, {start:.160}", head.status);
        Ok::<(Parts, String), BoxError>((head, body))
    };

    let tea = r#"{"id": 42, "item": "tea"}"#;
    let (head, _) = call("POST", "/orders", tea).await?;
    assert_eq!(head.status, StatusCode::ACCEPTED);
    assert_eq!(head.headers[REQUEST_ID], "request-1");
    consumer.drained().await?;
    let (head, order) = call("GET", "/orders/42", "").await?;
    assert_eq!(head.status, StatusCode::OK);
    let expected = json!({ "item": "tea", "message_id": "request-1", "trace": TRACE });
    assert_eq!(serde_json::from_str::<Value>(&order)?, expected);

    let (head, _) = call("POST", "/orders", "{ this is no JSON").await?;
    assert_eq!(head.status, StatusCode::BAD_REQUEST);
    let (head, _) = call("POST", "/orders", r#"{"id": "no number"}"#).await?;
    assert_eq!(head.status, StatusCode::UNPROCESSABLE_ENTITY);

    // Two attempts fail, which opens the circuit; then none is made.
    let (head, _) = call("POST", "/returns", tea).await?;
    assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
    let (head, reason) = call("POST", "/returns", tea).await?;
    assert_eq!(head.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reason.contains("the circuit is open"));
    let seconds: u64 = head.headers[header::RETRY_AFTER].to_str()?.parse()?;
    assert!((1..=20).contains(&seconds));

    for odd in [String::new(), "x".repeat(100_000), "é".to_owned()] {
        let request = Request::post(format!("http://{address}/orders")).header(REQUEST_ID, odd);
        let response = client.request(request.body(String::new())?).await?;
        assert_eq!(response.headers()[REQUEST_ID].len(), 36);
    }

    for path in ["/livez", "/readyz"] {
        assert_eq!(call("GET", path, "").await?.0.status, StatusCode::OK);
    }
    let (_, metrics) = call("GET", "/metrics", "").await?;
    assert!(metrics.contains("messaging_client_sent_messages"));
    assert!(metrics.contains("kafka_tower_consumer_lag"));
    Ok(())
}
