use kafka_tower::{BoxError, ProducerRecord, Publisher, Router, router::transform};

async fn on_order() -> u32 {
    0
}

pub fn router() -> Router {
    Router::new().topic("orders", on_order)
    //~ a handler can't return `u32`
    //~ a handler returns `()`, `Outcome`, `Delivery`
}

async fn on_invoice() -> Result<ProducerRecord, BoxError> {
    Ok(ProducerRecord::to("invoices"))
}

pub fn result() -> Router {
    Router::new().topic("invoices", on_invoice)
    //~ a handler can't return `ProducerRecord`
    //~ goes through `transform`
}

pub fn transformed(publisher: Publisher) -> Router {
    Router::new().topic("orders", transform(publisher, on_order))
    //~ a function in `transform` returns what is `IntoRecords`
}
