//! Kafka's rule for the names of topics (`org.apache.kafka.common.internals.Topic`).

use super::redact::escape;

const MAX_LENGTH: usize = 249;
/// What the names of dead-letter topics end with, unless the layer is told otherwise.
pub(crate) const DEAD_LETTERS: &str = ".dlq";

pub(crate) fn is_legal(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..") && name.len() <= MAX_LENGTH && name.bytes().all(legal)
}

/// What is wrong with an illegal name.
pub(crate) fn problem(name: &str) -> String {
    let wrong = match name {
        "" => "is empty".to_owned(),
        "." | ".." => "is reserved".to_owned(),
        _ if name.len() > MAX_LENGTH => format!("is {} bytes long", name.len()),
        _ => "has an illegal character".to_owned(),
    };
    let shown: String = name.chars().take(MAX_LENGTH).collect();
    format!(
        "the topic name `{}` {wrong}; a name has 1 to {MAX_LENGTH} characters, each an ASCII \
         letter, a digit, `.`, `_` or `-`, and is neither `.` nor `..`",
        escape(&shown)
    )
}

/// What is wrong with an illegal name that is to be subscribed to: librdkafka takes `^…` for a pattern.
pub(crate) fn subscription_problem(name: &str) -> String {
    let hint = match name.starts_with('^') {
        true => {
            "; patterns can't be subscribed to, all topics whose names begin with a prefix can: by \
             `Router::topic_prefix`, or `App::topic_prefixes`"
        }
        false => "",
    };
    format!("{}{hint}", problem(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_rule() {
        let longest = "a".repeat(249);
        for legal in ["a", "...", "Orders_1.dlq-x", &longest] {
            assert!(is_legal(legal), "{legal}");
        }
        let too_long = "a".repeat(250);
        for (illegal, why) in [
            ("", "is empty"),
            (".", "is reserved"),
            ("..", "is reserved"),
            ("a b", "illegal character"),
            ("a\0", r"`a\u{0}` has an illegal"),
            ("a\r\n", r"`a\r\n` has an illegal"),
            ("ü", "illegal character"),
            (&too_long, "is 250 bytes long"),
        ] {
            assert!(!is_legal(illegal), "{illegal:?}");
            let problem = problem(illegal);
            assert!(problem.contains(why), "{problem}");
            assert!(!problem.contains(|c: char| c.is_control()), "{problem:?}");
        }
    }

    #[test]
    fn a_pattern_is_told_of_prefixes() {
        let problem = subscription_problem("^(a|b)$");
        assert!(problem.contains("`^(a|b)$` has an illegal"), "{problem}");
        assert!(problem.contains("`Router::topic_prefix`"), "{problem}");
        assert!(!subscription_problem("a|b").contains("pattern"));
    }
}
