//! Subscribing to all topics whose names begin alike.

use crate::client::topic_name::{self, DEAD_LETTERS};

/// Kafka's own topics.
const INTERNAL: [&str; 4] = [
    "__cluster_metadata",
    "__consumer_offsets",
    "__share_group_state",
    "__transaction_state",
];

/// Whether a subscription by prefix includes a topic: dead letters are not, for a service would
/// consume its own.
pub(crate) fn includes(prefix: &str, topic: &str) -> bool {
    topic.starts_with(prefix) && !topic.ends_with(DEAD_LETTERS)
}

/// The subscription as a pattern that librdkafka (POSIX) and the broker (RE2) read alike.
pub(super) fn pattern(prefix: &str) -> String {
    let mut rest = ".*([^q]|[^l]q|[^d]lq|[^.]dlq)".to_owned();
    for short in ["q", "lq", "dlq"] {
        if includes(prefix, &format!("{prefix}{short}")) {
            rest = format!("{rest}|{short}");
        }
    }
    let prefix_itself = if includes(prefix, prefix) { "?" } else { "" };
    format!("^{}({rest}){prefix_itself}$", prefix.replace('.', r"\."))
}

/// The prefix whose pattern an error of the client is about.
pub(super) fn named_in(error: &str, subscribed: &[String]) -> Option<String> {
    let pattern = subscribed.iter().find(|name| error.contains(*name))?;
    let (prefix, _) = pattern.strip_prefix('^')?.split_once('(')?;
    Some(prefix.replace(r"\.", "."))
}

/// What is wrong with a prefix.
pub(super) fn problem(prefix: &str) -> Option<String> {
    if let Some(internal) = INTERNAL.iter().find(|topic| topic.starts_with(prefix)) {
        return Some(format!(
            "the topic prefix `{prefix}` would match Kafka's own topics, `{internal}` for one; use a \
             longer one"
        ));
    }
    // A name may begin with what is none by itself.
    let is_legal = matches!(prefix, "." | "..") || topic_name::is_legal(prefix);
    (!is_legal).then(|| topic_name::problem(prefix))
}

#[cfg(test)]
mod tests {
    use regex_automata::{
        Input,
        dfa::{Automaton, dense::DFA},
    };

    use super::*;

    #[test]
    fn an_error_about_a_pattern_names_its_prefix() {
        let subscribed = ["orders".to_owned(), pattern("tenant-a."), pattern("audit")];
        let error = |name: &str| format!("Subscribed topic not available: {name}: unknown topic");
        let named = |name: &str| named_in(&error(name), &subscribed);
        assert_eq!(named(&pattern("tenant-a.")).as_deref(), Some("tenant-a."));
        assert_eq!(named(&pattern("audit")).as_deref(), Some("audit"));
        assert_eq!(named("orders"), None);
    }

    fn matches(pattern: &DFA<Vec<u32>>, topic: &str) -> bool {
        let found = pattern.try_search_fwd(&Input::new(topic));
        found.expect("text").is_some()
    }

    fn compiled(prefix: &str) -> DFA<Vec<u32>> {
        DFA::new(&pattern(prefix)).expect("a pattern")
    }

    /// Topics made of what can make a difference.
    fn topics() -> impl Iterator<Item = String> {
        let parts = [
            "", "a", "q", "lq", "dlq", ".dlq", ".", "l", "d", "tenant", "-", "x.dlq.x",
        ];
        parts.into_iter().flat_map(move |first| {
            parts.into_iter().flat_map(move |second| {
                parts
                    .into_iter()
                    .map(move |third| format!("{first}{second}{third}"))
            })
        })
    }

    #[test]
    fn a_pattern_says_what_is_included() {
        for prefix in [
            "tenant", "tenant-", "a.", "a.d", "a.dl", "a.dlq", "d", ".", "q",
        ] {
            let pattern = compiled(prefix);
            for topic in topics() {
                assert_eq!(
                    matches(&pattern, &topic),
                    includes(prefix, &topic),
                    "{topic} by {prefix}"
                );
            }
        }
    }

    #[test]
    fn the_dot_of_a_prefix_is_a_dot() {
        assert!(!matches(&compiled("a.b"), "axbc"));
    }

    #[test]
    fn prefixes_of_kafkas_own_topics_are_refused() {
        for prefix in ["", "_", "__", "__consumer_", "__t"] {
            let problem = problem(prefix).expect(prefix);
            assert!(problem.contains("use a longer one"), "{problem}");
        }
        assert!(problem("a b").expect("a space").contains("illegal"));
        let too_long = "a".repeat(250);
        assert!(problem(&too_long).expect("too long").contains("250 bytes"));
        for prefix in ["__debezium-heartbeat.", "_schemas", ".", "tenant-"] {
            assert_eq!(problem(prefix), None);
        }
    }
}
