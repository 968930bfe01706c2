use axum::{
    Router,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::TextEncoder;
use serde_json::{Value, json};

use super::{Health, judge};

/// Routes for `/livez`, `/readyz` and, with a registry, `/metrics`, to be merged into a router or served
/// beside.
pub fn health_routes<S>(health: impl Into<Health>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let health = health.into();
    let (live, ready, registry) = (health.clone(), health.clone(), health.registry);
    let router = Router::new()
        .route("/livez", get(async move || live.live()))
        .route("/readyz", get(async move || ready.ready()));
    match registry {
        Some(registry) => router.route("/metrics", get(async move || metrics(&registry))),
        None => router,
    }
}

impl Health {
    fn live(&self) -> Response {
        let reasons = self.consumers.iter().flat_map(|(name, consumer)| {
            let (stats, partitions) = (consumer.stats(), consumer.partitions());
            judge::not_live(name, &stats, &partitions, self.stuck_after)
        });
        self.answer(reasons.collect())
    }

    fn ready(&self) -> Response {
        let consumers = self.consumers.iter();
        let reasons = consumers.filter_map(|(name, one)| judge::not_ready(name, &one.stats()));
        self.answer(reasons.collect())
    }

    fn answer(&self, reasons: Vec<String>) -> Response {
        let (status, word) = match reasons.is_empty() {
            true => (StatusCode::OK, "ok"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        let consumers = self.consumers.iter().map(|(name, consumer)| {
            let (stats, partitions) = (consumer.stats(), consumer.partitions());
            judge::consumer(name, &stats, &partitions, self.stuck_after)
        });
        let circuits = self.circuits.iter();
        let circuits =
            circuits.map(|(name, one)| judge::circuit(name, one.state(), one.open_circuits()));
        let body = json!({
            "status": word,
            "reasons": reasons,
            "consumers": consumers.collect::<Value>(),
            "circuits": circuits.collect::<Value>(),
        });
        of_type(
            "application/json",
            (status, body.to_string()).into_response(),
        )
    }
}

fn metrics(registry: &prometheus::Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => of_type(prometheus::TEXT_FORMAT, text.into_response()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn of_type(content_type: &'static str, mut response: Response) -> Response {
    let value = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}
