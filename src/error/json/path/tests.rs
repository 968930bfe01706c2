use std::collections::HashMap;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only read")]
struct Order {
    id: u32,
    #[serde(rename = "kind-of")]
    kind: Option<Kind>,
    #[serde(default)]
    lines: Vec<Line>,
    #[serde(default)]
    tags: HashMap<u32, bool>,
    #[serde(default)]
    wrapped: Option<Wrapped>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only read")]
enum Kind {
    Plain,
    One(u32),
    Two(u32, bool),
    Named { price: f32 },
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only read")]
struct Line {
    price: i64,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only read")]
struct Wrapped((u8, Line));

#[track_caller]
fn path(json: &str) -> String {
    let error = serde_json::from_str::<Order>(json);
    assert!(error.is_err(), "{json} can be read");
    of_failure::<Order>(json.as_bytes())
}

#[test]
fn the_place_is_told_in_the_words_of_the_type() {
    for (json, expected) in [
        (r#"[]"#, ""),
        (r#"["x"]"#, "[0]"),
        (r#"7"#, ""),
        (r#"{"id": "x"}"#, "id"),
        (
            r#"{"id": 1, "lines": [{"price": 1}, {"price": "x"}]}"#,
            "lines[1].price",
        ),
        (r#"{"id": 1, "lines": [{}]}"#, "lines[0]"),
        (r#"{"id": 1, "kind-of": "Other"}"#, "kind-of"),
        (r#"{"id": 1, "kind-of": "One"}"#, "kind-of.One"),
        (r#"{"id": 1, "kind-of": {"One": "x"}}"#, "kind-of.One"),
        (r#"{"id": 1, "kind-of": {"Two": [1, 2]}}"#, "kind-of.Two[1]"),
        (
            r#"{"id": 1, "kind-of": {"Named": {"price": "x"}}}"#,
            "kind-of.Named.price",
        ),
        (r#"{"id": 1, "tags": {"1": true, "2": "x"}}"#, "tags[*]"),
        (
            r#"{"id": 1, "wrapped": [1, {"price": 2.5}]}"#,
            "wrapped[1].price",
        ),
        (
            r#"{"id": 1, "unknown": [{"price": 2.5}], "lines": 1}"#,
            "lines",
        ),
        (r#"{"id": 1, "lines": [{"price": 2"#, "lines[0]"),
        (r#"{"id": 1"#, ""),
    ] {
        assert_eq!(path(json), expected, "{json}");
    }
}

#[test]
fn what_can_be_read_has_none() {
    let json = br#"{"id": 1, "kind-of": "Plain", "tags": {"1": true}}"#;
    assert_eq!(of_failure::<Order>(json), "");
    assert_eq!(
        of_failure::<(f64, Option<u128>, char, ())>(br#"[1, 2, "x", null]"#),
        ""
    );
}
