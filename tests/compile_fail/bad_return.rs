use kafka_tower::Router;

async fn on_order() -> u32 {
    0
}

pub fn router() -> Router {
    Router::new().topic("orders", on_order)
    //~ a handler can't return `u32`
    //~ a handler returns `()`, `Outcome`, `Delivery`
}
