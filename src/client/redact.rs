//! What of a setting or of foreign text may reach a log or an error message.

use std::borrow::Cow;

use rdkafka::error::KafkaError;

use super::{known, tls};

/// What stands in `Debug` for a value that isn't shown.
pub(crate) const HIDDEN: &str = "***";

/// The value of a setting, fit to be printed; `None` if it is or may hold a secret.
pub(crate) fn shown<'a>(name: &str, value: &'a str) -> Option<Cow<'a, str>> {
    // `user:password@host`: librdkafka has no such thing, but people paste it.
    let harmless = known::is_harmless(name) && !value.contains('@');
    harmless.then(|| escape(value))
}

/// Why librdkafka made no client, with what to do where that is known.
pub(crate) fn refusal(error: &KafkaError) -> String {
    // The others may show a value.
    let KafkaError::ClientCreation(reason) = error else {
        return "librdkafka refused the settings".to_owned();
    };
    match tls::creation_advice(reason) {
        Some(advice) => format!("{}: {advice}", escape(reason)),
        None => escape(reason).into_owned(),
    }
}

/// Makes control characters, and those that reorder or hide text, visible: foreign text can then
/// neither forge a line of a log nor command a terminal.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unprintable(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_harmless_is_shown() {
        assert_eq!(shown("acks", "all").as_deref(), Some("all"));
        assert_eq!(shown("request.required.acks", "1").as_deref(), Some("1"));
        assert_eq!(shown("client.id", "a\nb").as_deref(), Some("a\\nb"));
        for name in [
            "sasl.password",
            "ssl.key.pem",
            "sasl.jaas.config",
            "new.setting",
            "",
        ] {
            assert_eq!(shown(name, "hunter2"), None, "{name}");
        }
        assert_eq!(shown("bootstrap.servers", "me:hunter2@host:9092"), None);
    }

    #[test]
    fn what_could_forge_a_line_is_escaped() {
        assert_eq!(escape("a\r\n\tb"), "a\\r\\n\\tb");
        assert_eq!(
            escape("\0\u{1b}[2J\u{7f}\u{9b}"),
            "\\u{0}\\u{1b}[2J\\u{7f}\\u{9b}"
        );
        assert_eq!(
            escape("\u{202e}\u{2028}\u{feff}"),
            "\\u{202e}\\u{2028}\\u{feff}"
        );
    }

    #[test]
    fn other_text_is_left_alone() {
        for text in ["", "plain \"text\" with \\ and `ticks`", "größer, 注文, 🦀"] {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text));
        }
    }
}
