//! A gRPC service around Kafka: orders come by a call or by a stream of many, are published, and are handled
//! by a consumer in the same process.
//!
//! * `Place` answers when Kafka has the order, `PlaceMany` when it has all orders of the stream.
//! * A publish that fails is a `tonic::Status` by the class of its error, with the reason.
//! * A stream ends at the first order that fails. Whenever it ends early, some of its orders are published: who
//!   places it again, under the same id, repeats their message ids.
//! * tower-http's layers give a call its span and its id: the caller's, if it is a short one. The id becomes
//!   that of the message; in a stream with a number behind it.
//! * In the records, orders are protobuf as well, by a codec.
//! * It ends from the outside in: first gRPC, then the consumer, then the publisher.
//!
//! ```text
//! cargo run --example tonic
//! ```
//!
//! Runs on an embedded broker; with `KAFKA_BOOTSTRAP_SERVERS` set, on that cluster. It is its own client, and
//! ends. With `PORT` set it serves until Ctrl-C, with `RUST_LOG=tower_http=debug` it logs each call.

// `orders.rs` is made of `orders.proto`, and kept so that nobody needs `protoc` for this example. A service
// of yours has tonic-prost-build 0.14 among its build-dependencies, this in its `build.rs`:
//
//     tonic_prost_build::compile_protos("orders.proto")?;
//
// and `tonic::include_proto!("orders.v1")` in place of `mod orders`. The file that is included there,
// `$OUT_DIR/orders.v1.rs`, is this `orders.rs`.
#[allow(unreachable_pub)]
#[rustfmt::skip]
mod orders;

use std::{env, future::pending, io, iter, net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use kafka_tower::{
    Backoff, BoxError, BoxPublisher, Codec, Consumer, ErrorClass, MessageId, Persistence,
    ProducerSettings, PublishError, PublishExt, Publisher, Router, Topic,
    extract::Header,
    layers::{CircuitBreakerLayer, DeadLetter, ServiceBuilderExt},
    serve,
    testing::{MockPublisher, TestKafka},
};
use orders::{
    Order, Placed, PlacedMany,
    orders_client::OrdersClient,
    orders_server::{Orders, OrdersServer},
};
use tokio::{
    net::TcpListener,
    select,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    time::timeout,
};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Extensions, Request, Response, Status, Streaming,
    codegen::http::{self, HeaderValue},
    transport::Server,
};
use tower::{ServiceBuilder, util::MapRequestLayer};
use tower_http::{
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    trace::TraceLayer,
};
use tracing_subscriber::EnvFilter;

const DEADLINE: Duration = Duration::from_secs(10);
const REQUEST_ID: &str = "x-request-id";
const ORDERS: Topic<Order, Protobuf, u32> = Topic::with_codec("orders", Protobuf);

/// Any message as the value of a record.
#[derive(Debug, Clone, Copy)]
struct Protobuf;

impl<T: prost::Message + Default> Codec<T> for Protobuf {
    fn encode(&self, message: &T) -> Result<Bytes, BoxError> {
        Ok(message.encode_to_vec().into())
    }

    fn decode(&self, payload: &[u8]) -> Result<T, BoxError> {
        Ok(T::decode(payload)?)
    }
}

struct OrderService {
    topic: Topic<Order, Protobuf, u32>,
    publisher: BoxPublisher,
}

#[tonic::async_trait]
impl Orders for OrderService {
    async fn place(&self, request: Request<Order>) -> Result<Response<Placed>, Status> {
        let id = request_id(request.extensions()).map(MessageId::from);
        let order = request.into_inner();
        let mut record = self.topic.record(order.id, &order).map_err(status)?;
        record.message_id = id;
        let delivery = self.publisher.send(record).await.map_err(status)?;
        Ok(Response::new(Placed {
            message_id: delivery.message_id.to_string(),
            partition: delivery.partition,
            offset: delivery.offset.unwrap_or_default(),
        }))
    }

    async fn place_many(
        &self,
        request: Request<Streaming<Order>>,
    ) -> Result<Response<PlacedMany>, Status> {
        // Many are on their way at once. While there is no room, the stream isn't read.
        let queue = self.publisher.clone().queue(100);
        let id = request_id(request.extensions()).map(str::to_owned);
        let mut orders = request.into_inner();
        let mut number = 0_u64;
        while let Some(order) = orders.message().await? {
            let mut record = self.topic.record(order.id, &order).map_err(status)?;
            number += 1;
            record.message_id = id.as_ref().map(|id| format!("{id}-{number}").into());
            queue.push(record).await.map_err(status)?;
            // Kept until the end, failures would pile up.
            if let Some(error) = queue.take_failed().into_iter().next() {
                return Err(status(error));
            }
        }
        let flushed = queue.close(DEADLINE).await;
        if let Some(error) = flushed.failed.into_iter().next() {
            return Err(status(error));
        }
        match flushed.undelivered.len() {
            0 => Ok(Response::new(PlacedMany {
                delivered: flushed.delivered as u32,
            })),
            left => Err(Status::deadline_exceeded(format!(
                "{left} orders are on their way yet"
            ))),
        }
    }
}

fn request_id(extensions: &Extensions) -> Option<&str> {
    let id = extensions.get::<RequestId>()?;
    id.header_value().to_str().ok()
}

/// An id goes into spans, the record and the response: one that is empty, long or no ASCII gives way to one
/// of ours.
fn without_odd_id<B>(mut request: http::Request<B>) -> http::Request<B> {
    let headers = request.headers_mut();
    let is_odd = |id: &HeaderValue| id.is_empty() || id.len() > 128 || id.to_str().is_err();
    if headers.get(REQUEST_ID).is_some_and(is_odd) {
        headers.remove(REQUEST_ID);
    }
    request
}

/// A publish that failed, as a status.
fn status(error: PublishError) -> Status {
    let reason = error.to_string();
    match error.class() {
        ErrorClass::Retriable | ErrorClass::Unavailable => Status::unavailable(reason),
        // It is the order's fault: too large, for instance.
        ErrorClass::NonRetriable => Status::invalid_argument(reason),
        _ => Status::internal(reason),
    }
}

/// The consumer.
async fn on_order(Header(message_id): Header<MessageId>, order: Order) {
    println!("  order {}: {}, message {message_id}", order.id, order.item);
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
    let logs = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(logs).init();
    let kafka = TestKafka::from_env().await?;
    let topic = ORDERS.named(kafka.unique_topic(ORDERS.name(), 3).await?);
    kafka
        .create_topic(&format!("{}.dlq", topic.name()), 1)
        .await?;

    let settings = ProducerSettings::low_latency(kafka.bootstrap_servers())
        .message_id_header("message-id")
        .delivery_timeout(Duration::from_secs(5));
    let publisher = Publisher::new(settings)?;
    let stack = ServiceBuilder::new()
        .kafka_trace()
        .retry_with(
            Backoff::constant(Duration::from_millis(100)).max_elapsed(Duration::from_secs(8)),
        )
        .circuit_breaker(CircuitBreakerLayer::consecutive(5, Duration::from_secs(10)))
        .service(publisher.clone());
    let service = OrderService {
        topic: topic.clone(),
        publisher: stack.erased(),
    };

    let letters = DeadLetter::to(publisher.clone());
    let app = Router::new()
        .route(topic.handle(on_order))
        .layer(ServiceBuilder::new().consuming((), letters, Backoff::default()));
    let group = format!("{}-service", topic.name());
    let serving = serve(Consumer::new(kafka.bootstrap_servers(), group)?, app);
    let consumer = serving.handle();

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
    let address = format!("http://{}", listener.local_addr()?);
    println!("serving at {address}");
    let server = Server::builder()
        .layer(MapRequestLayer::new(without_odd_id))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_grpc())
        .layer(PropagateRequestIdLayer::x_request_id())
        .add_service(OrdersServer::new(service))
        .serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            stop.clone().cancelled_owned(),
        );
    let server = tokio::spawn(server);

    let client = async {
        if port.is_some() {
            return pending().await;
        }
        call(address).await?;
        fail().await?;
        consumer.drained().await?;
        assert_eq!(consumer.stats().acked, 5);
        Ok(())
    };
    let result = select! {
        result = client => result,
        result = stop_signal() => Ok(result?),
        () = stop.cancelled() => Ok(()),
    };

    // From the outside in: calls under way are answered, then running handlers end, then what they have
    // published is delivered.
    stop.cancel();
    match timeout(DEADLINE, server).await {
        Ok(ended) => ended??,
        Err(_) => println!("calls are cut off"),
    }
    consumer.stop();
    println!("{}", consuming.await??);
    let flushed = publisher.close(DEADLINE).await;
    assert!(flushed.undelivered.is_empty(), "somebody waited for each");
    result
}

fn order(id: u32, item: &str) -> Order {
    Order {
        id,
        item: item.to_owned(),
    }
}

/// A client of the server.
async fn call(address: String) -> Result<(), BoxError> {
    let mut client = OrdersClient::connect(address).await?;
    let mut request = Request::new(order(1, "tea"));
    request
        .metadata_mut()
        .insert(REQUEST_ID, "request-1".parse()?);
    let response = client.place(request).await?;
    assert_eq!(response.metadata().get(REQUEST_ID).unwrap(), "request-1");
    assert_eq!(response.get_ref().message_id, "request-1");
    println!("Place: {:?}", response.into_inner());

    let orders = [order(2, "coffee"), order(3, "milk"), order(4, "sugar")];
    let placed = client
        .place_many(tokio_stream::iter(orders))
        .await?
        .into_inner();
    println!("PlaceMany: {placed:?}");
    assert_eq!(placed.delivered, 3);

    let mut request = Request::new(order(5, "tea"));
    let long = "x".repeat(1000).parse()?;
    request.metadata_mut().insert(REQUEST_ID, long);
    let placed = client.place(request).await?.into_inner();
    assert_eq!(placed.message_id.len(), 36);

    let too_large = "x".repeat(2_000_000);
    let status = client.place(order(5, &too_large)).await.unwrap_err();
    println!("Place: {:?}, {}", status.code(), status.message());
    assert_eq!(status.code(), Code::InvalidArgument);
    Ok(())
}

/// The same service without server and Kafka, to see what failures become.
async fn fail() -> Result<(), BoxError> {
    for (class, code) in [
        (ErrorClass::Unavailable, Code::Unavailable),
        (ErrorClass::Fatal, Code::Internal),
    ] {
        // One for each: orders of a stream that has failed may be on their way yet.
        let kafka = MockPublisher::new();
        kafka.fail_next(2, class, Persistence::NotPersisted);
        let mut client = OrdersClient::new(OrdersServer::new(OrderService {
            topic: ORDERS,
            publisher: kafka.erased(),
        }));
        let status = client.place(order(6, "tea")).await.unwrap_err();
        println!("Place: {:?}, {}", status.code(), status.message());
        assert_eq!(status.code(), code);
        // A stream without an end gets its answer, too.
        let orders = tokio_stream::iter(iter::repeat_with(|| order(7, "tea")));
        let status = client.place_many(orders).await.unwrap_err();
        assert_eq!(status.code(), code);
    }
    Ok(())
}
