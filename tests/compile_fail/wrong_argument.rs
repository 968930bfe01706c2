use kafka_tower::{Router, extract::Key};

pub struct Order;

async fn on_order(_: Key<String>, _: Order) {}

pub fn router() -> Router {
    Router::new().topic("orders", on_order)
    //~ is no handler for a router whose state is
    //~ check_handler!
}
