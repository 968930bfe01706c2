//! The page that Prometheus reads.

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use kafka_tower::{
    BoxError, ConsumerRecord, ProducerRecord, PublishExt,
    health::{Health, health_routes},
    otel::OtelMetrics,
    serve,
    testing::EmbeddedKafka,
};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;
use tower::{ServiceExt, service_fn};

use crate::support::run;

#[test]
fn what_is_observed_has_the_documented_names() {
    run(async {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter().scope_info_enabled(false);
        let exporter = exporter.with_registry(registry.clone()).build().unwrap();
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let metrics = OtelMetrics::builder().meter(provider.meter("test")).build();

        let kafka = EmbeddedKafka::start().await.unwrap();
        let publisher = kafka.publisher();
        metrics.observe_publisher(&publisher, "order-service");
        publisher.send(ProducerRecord::to("orders")).await.unwrap();

        let handler = service_fn(async |_: ConsumerRecord| Ok::<_, BoxError>(()));
        let settings = kafka.settings("order-service").topics(["orders"]);
        let serve = serve(settings.build().unwrap(), handler);
        let handle = serve.handle();
        metrics.observe_consumer(&handle, "order-service");
        let health = Health::new().consumer("order-service", handle.clone());
        let routes: axum::Router = health_routes(health.registry(registry));
        let done = async move {
            handle.drained().await.unwrap();
            let request = Request::get("/metrics").body(Body::empty()).unwrap();
            let page = routes.oneshot(request).await.unwrap().into_body();
            let page = String::from_utf8(to_bytes(page, 1 << 20).await.unwrap().to_vec()).unwrap();
            for name in [
                "assigned_partitions",
                "paused_partitions",
                "in_flight",
                "waiting",
                "bytes_held_bytes",
                "poll_age_seconds",
                "rebalances_total",
                "stale_completions_total",
                "commits_total",
                "commits_refused_total",
            ] {
                let group = "messaging_consumer_group_name=\"order-service\"";
                let line = format!("\nkafka_tower_consumer_{name}{{{group}");
                assert!(page.contains(&line), "{line}: {page}");
            }
            let publisher = "\nkafka_tower_publisher_in_flight{messaging_client_id";
            assert!(page.contains(publisher), "{page}");
            assert!(!page.contains("otel_scope"), "{page}");
        };
        serve.with_graceful_shutdown(done).await.unwrap();
    });
}
