use kafka_tower::{Consumer, Router, extract::State, serve};

#[derive(Clone)]
pub struct Db;

async fn on_order(_: State<Db>) {}

pub fn inferred(consumer: Consumer) {
    let router = Router::new().topic("orders", on_order);
    let _ = serve(consumer, router);
    //~ `Router<Db>` can't be served
    //~ call `.with_state(...)` on it
}

pub fn named(consumer: Consumer, router: Router<Db>) {
    let _ = serve(consumer, router);
    //~ call `.with_state(...)` on it
}
