use kafka_tower::{Router, Topic};

const NUMBERS: Topic<u32> = Topic::new("numbers");

async fn on_text(_: String) {}

pub fn router() -> Router {
    Router::new().route(NUMBERS.handle(on_text))
    //~ Topic<u32>` in a router whose state is
    //~ its last argument is the topic's value
}
