use kafka_tower::{check_handler, extract::{Key, State}};

#[derive(Clone)]
pub struct Db;

pub async fn on_order(_: State<Db>, _: Key<String>, _: String) {}

check_handler!(Db, on_order(
    _,
    _,
    _
    //~ `String` can't be an argument of a handler whose router has the state `Db`
));

pub async fn on_invoice(_: State<Db>) -> u32 {
    0
}

check_handler!(Db, on_invoice(_));
//~ a handler can't return `u32`
