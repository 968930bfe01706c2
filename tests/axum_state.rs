//! A web service that has a publishing stack in its state, and a consumer beside it: how it ends.

#[path = "support/consume.rs"]
mod bed;
mod support;

use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, routing::post};
use bed::{Bed, Calls, soon};
use kafka_tower::{
    Backoff, BoxPublisher, ProducerRecord, PublishExt,
    layers::{CircuitBreakerLayer, ServiceBuilderExt},
};
use support::run;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::interval,
};
use tower::ServiceBuilder;

const BEGIN: &[u8] = b"POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
    expect: 100-continue\r\ncontent-length: 3\r\n\r\n";
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[derive(Clone)]
struct Outbox {
    topic: String,
    publisher: BoxPublisher,
}

async fn place(State(outbox): State<Outbox>, order: String) -> StatusCode {
    let record = ProducerRecord::to(outbox.topic).payload(order);
    match outbox.publisher.send(record).await {
        Ok(_) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// First HTTP, then the consumer, then the publisher: another order loses something.
#[test]
fn a_request_under_way_is_published_answered_and_handled_before_the_end() {
    run(async {
        let bed = Bed::new(1).await;
        let stack = ServiceBuilder::new()
            .retry_with(Backoff::default())
            .circuit_breaker(CircuitBreakerLayer::consecutive(5, Duration::from_secs(10)))
            .service(bed.publisher.clone());
        let http = Router::new().route("/", post(place)).with_state(Outbox {
            topic: bed.topic.clone(),
            publisher: stack.erased(),
        });
        let consumer = bed.serve(Calls::default().acking());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = axum::serve(listener, http)
            .with_graceful_shutdown(async { stopped.await.unwrap_or_default() });
        let server = tokio::spawn(server.into_future());

        // The handler has been called, and waits for the body.
        let mut request = TcpStream::connect(address).await.unwrap();
        request.write_all(BEGIN).await.unwrap();
        let mut answer = vec![0; GO_ON.len()];
        request.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, GO_ON);

        stop.send(()).unwrap();
        let mut often = interval(Duration::from_millis(10));
        soon("the server takes no more requests", async {
            while TcpStream::connect(address).await.is_ok() {
                often.tick().await;
            }
        })
        .await;
        request.write_all(b"tea").await.unwrap();
        let mut answer = String::new();
        request.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        soon("the server ends", server).await.unwrap().unwrap();

        let handled = consumer.status(0, "handled", |one| one.committed == Some(1));
        handled.await;
        assert_eq!(consumer.stop().await.acked, 1);
        let flushed = bed.publisher.close(Duration::from_secs(10)).await;
        assert!(flushed.undelivered.is_empty());
    });
}
