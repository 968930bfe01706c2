use kafka_tower::{Publisher, Router, Topic, router::transform};

const NUMBERS: Topic<u32> = Topic::new("numbers");

async fn on_text(_: String) {}

pub fn router() -> Router {
    Router::new().route(NUMBERS.handle(on_text))
    //~ Topic<u32>` in a router whose state is
    //~ its last argument is the topic's value
}

async fn on_number(number: u32) -> u32 {
    number
}

pub fn transformed(publisher: Publisher) -> Router {
    Router::new().route(NUMBERS.handle(transform(publisher, on_number)))
    //~ a function in `transform` returns what is `IntoRecords`
}
