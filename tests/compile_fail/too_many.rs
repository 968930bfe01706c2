use kafka_tower::{Router, check_handler, extract::Offset};

#[rustfmt::skip]
pub async fn on_order(
    _: Offset, _: Offset, _: Offset, _: Offset, _: Offset, _: Offset,
    _: Offset, _: Offset, _: Offset, _: Offset, _: Offset, _: Offset,
    _: Offset,
) {}

check_handler!((), on_order(_, _, _, _, _, _, _, _, _, _, _, _, _));
//~ a handler has up to 12 arguments

pub fn router() -> Router {
    Router::new().topic("orders", on_order)
    //~ with up to 12 arguments
}
