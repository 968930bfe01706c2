//! What is wrong with one setting by itself.

use rdkafka::{ClientConfig, config::NativeClientConfig, error::KafkaError, types::RDKafkaConfRes};

use crate::client::{
    known,
    redact::{self, HIDDEN},
};

/// librdkafka's word against a setting.
enum Refusal {
    UnknownName,
    /// In words that may quote the value.
    Value(String),
}

pub(super) fn problem(name: &str, value: &str) -> Option<String> {
    let escaped = redact::escape(name);
    if name.is_empty() {
        return Some("the name of a setting is empty".into());
    }
    if name.contains('\0') {
        return Some(format!("the setting's name `{escaped}` contains a NUL"));
    }
    if value.contains('\0') {
        return Some(format!("the value of `{escaped}` contains a NUL"));
    }
    if known::is_set_in_code(name) {
        return Some(format!(
            "`{name}` can't be set: it is a callback or a pointer of librdkafka's C interface"
        ));
    }
    // librdkafka would take `topic.acks` for `acks`, and the two could contradict each other.
    if name.starts_with("topic.") && !known::is_known(name) {
        return Some(unknown(name));
    }
    // Trying this one would load and run the plugin.
    if name == "plugin.library.paths" {
        return None;
    }
    let shown = redact::shown(name, value);
    match (attempt(name, value), shown) {
        (Ok(native), shown) => {
            let taken = native.get(name).ok()?;
            is_misread(value, &taken).then(|| match shown {
                Some(shown) => {
                    format!("`{name}` can't be `{shown}`: librdkafka would take it for {taken}")
                }
                None => format!("`{escaped}` is not a plain number"),
            })
        }
        (Err(Refusal::UnknownName), _) => Some(unknown(name)),
        (Err(Refusal::Value(why)), Some(shown)) => {
            Some(format!("`{name}` can't be `{shown}`: {why}"))
        }
        // What it says of another value can't quote this one.
        (Err(Refusal::Value(_)), None) => Some(match attempt(name, HIDDEN) {
            Err(Refusal::Value(why)) => format!("`{escaped}` is refused: {why}"),
            _ => format!("`{escaped}` is refused for its value, which is not shown here"),
        }),
    }
}

/// Why this build of librdkafka lacks one of its features, if it does.
pub(super) fn lacking(feature: &str) -> Option<String> {
    match attempt("builtin.features", feature) {
        Err(Refusal::Value(why)) => Some(why),
        _ => None,
    }
}

fn unknown(name: &str) -> String {
    let escaped = redact::escape(name);
    match (known::instead(name), known::nearest(name)) {
        (Some(instead), _) => format!("unknown setting `{escaped}`: {instead}"),
        (None, Some(near)) => format!("unknown setting `{escaped}`; did you mean `{near}`?"),
        (None, None) => format!("unknown setting `{escaped}`"),
    }
}

fn attempt(name: &str, value: &str) -> Result<NativeClientConfig, Refusal> {
    let native = ClientConfig::new().set(name, value).create_native_config();
    native.map_err(|error| match error {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..) => Refusal::UnknownName,
        KafkaError::ClientConfig(_, why, ..) => {
            let remedy = remedy(&why);
            Refusal::Value(format!("{}{remedy}", redact::escape(why.trim())))
        }
        // Its text may hold the value.
        _ => Refusal::Value("librdkafka can't take it".into()),
    })
}

/// What brings that which librdkafka says this build lacks.
fn remedy(why: &str) -> &'static str {
    // With one of these, it is OpenSSL's version that librdkafka complains about.
    let has_tls = cfg!(any(
        feature = "ssl",
        feature = "ssl-vendored",
        feature = "sasl"
    ));
    if why.contains("libcurl") {
        "; depend on `rdkafka` with its cargo features `curl` and `ssl` to have it"
    } else if why.contains("OpenSSL") && !has_tls {
        "; kafka-tower's cargo feature `ssl` brings it"
    } else if why.contains("cyrus-sasl") {
        "; kafka-tower's cargo feature `sasl` brings it"
    } else if why.contains("libzstd") {
        "; kafka-tower's cargo feature `zstd` brings it"
    } else {
        ""
    }
}

/// Whether a text looks like a number, and librdkafka took another. It reads the digits it finds
/// and forgets the rest: `5s` is 5, `010` is 8, `4294967297` is 1.
fn is_misread(value: &str, taken: &str) -> bool {
    let value = value.trim();
    let looks_like_one = value.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let Ok(number) = taken.parse::<f64>() else {
        return false;
    };
    // It answers with six digits of a fraction.
    let same = |meant: f64| (meant - number).abs() <= meant.abs() * 1e-5;
    looks_like_one && value != taken && !value.parse().is_ok_and(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(name: &str, value: &str) -> String {
        problem(name, value).unwrap_or_default()
    }

    #[test]
    fn names_must_be_names() {
        assert_eq!(problem_of("", "1"), "the name of a setting is empty");
        assert_eq!(
            problem_of("a\0b", "1"),
            "the setting's name `a\\u{0}b` contains a NUL"
        );
        assert_eq!(
            problem_of("ac\nks", "1"),
            "unknown setting `ac\\nks`; did you mean `acks`?"
        );
    }

    #[test]
    fn an_unknown_name_comes_with_the_nearest() {
        assert_eq!(
            problem_of("bootstrap.server", "x"),
            "unknown setting `bootstrap.server`; did you mean `bootstrap.servers`?"
        );
        assert_eq!(
            problem_of("buffer.memory", "1"),
            "unknown setting `buffer.memory`"
        );
    }

    #[test]
    fn what_kafkas_java_client_has_comes_with_what_is_here_instead() {
        for (name, instead) in [
            ("max.poll.records", "`ConsumerSettings::max_in_flight`"),
            ("key.serializer", "`Codec`"),
            ("value.serializer", "`Codec`"),
            ("key.deserializer", "`Codec`"),
            ("value.deserializer", "`Codec`"),
        ] {
            let problem = problem_of(name, "500");
            assert!(problem.contains("unknown setting"), "{problem}");
            assert!(problem.contains(instead), "{problem}");
        }
    }

    #[test]
    fn a_prefix_is_no_second_spelling() {
        assert_eq!(
            problem_of("topic.acks", "0"),
            "unknown setting `topic.acks`; did you mean `acks`?"
        );
        assert_eq!(problem("topic.metadata.refresh.sparse", "true"), None);
    }

    #[test]
    fn a_nul_in_a_value_is_refused() {
        assert_eq!(
            problem_of("client.id", "a\0"),
            "the value of `client.id` contains a NUL"
        );
    }

    #[test]
    fn callbacks_have_no_text() {
        for name in [
            "dr_msg_cb",
            "opaque",
            "default_topic_conf",
            "ut_handle_ProduceResponse",
        ] {
            assert!(problem_of(name, "0").contains("can't be set"), "{name}");
        }
    }

    #[test]
    fn a_plugin_is_not_loaded_to_check_it() {
        assert_eq!(problem("plugin.library.paths", "/no/such/plugin"), None);
    }

    #[test]
    fn librdkafkas_own_words_are_passed_on() {
        for (name, value, words) in [
            ("acks", "some", "Invalid value"),
            ("acks", "", "cannot be set to empty value"),
            ("retries", "-1", "outside allowed range 0..2147483647"),
            ("linger.ms", "soon", "Invalid value"),
            ("enable.idempotence", "yes", "true or false"),
            ("compression.type", "rar", "Invalid value \"rar\""),
            ("partitioner", "mine\n", "Invalid value"),
            ("topic.blacklist", "^(", "Failed to parse pattern"),
            ("auto.offset.reset", "first", "Invalid value"),
            ("ssl.truststore.location", "x", "use `ssl.ca.location`"),
            (
                "sasl.jaas.config",
                "x",
                "JAAS configuration is not supported",
            ),
        ] {
            let problem = problem_of(name, value);
            assert!(problem.starts_with(&format!("`{name}` ")), "{problem}");
            assert!(problem.contains(words), "{problem}");
            assert!(!problem.contains(char::is_control), "{problem:?}");
        }
    }

    #[test]
    fn a_value_that_is_not_shown_is_not_quoted() {
        // In no list of ours, as a setting of a later librdkafka would be.
        let name = "test.mock.broker.rtt";
        assert_eq!(problem(name, "5"), None);
        assert_eq!(
            problem_of(name, "5 hunter2"),
            "`test.mock.broker.rtt` is not a plain number"
        );
        for value in ["hunter2", "3600001"] {
            let problem = problem_of(name, value);
            assert!(problem.contains("Invalid value"), "{problem}");
            assert!(!problem.contains(value), "{problem}");
        }
    }

    #[test]
    fn text_that_is_not_quite_a_number_is_refused() {
        for (name, value, taken) in [
            ("delivery.timeout.ms", "30s", "30"),
            ("retries", "1e3", "1"),
            ("retries", "010", "8"),
            ("retries", "10.5", "10"),
            ("retries", " 5s", "5"),
            ("retries", "4294967297", "1"),
            ("linger.ms", "5ms", "5"),
            ("acks", "1 all", "1"),
        ] {
            let end = format!("librdkafka would take it for {taken}");
            let problem = problem_of(name, value);
            assert!(problem.ends_with(&end), "{problem}");
        }
        for (name, value) in [
            ("acks", "-1"),
            ("acks", "all"),
            ("retries", " +5 "),
            ("retries", "2147483647"),
            ("linger.ms", "0.123456789"),
            ("linger.ms", "1e3"),
            ("enable.idempotence", "1"),
            ("client.id", "010"),
            ("client.id", "5s"),
            ("client.id", "1e999"),
        ] {
            assert_eq!(problem(name, value), None, "{name}={value}");
        }
    }

    #[cfg(not(any(feature = "ssl", feature = "ssl-vendored", feature = "sasl")))]
    #[test]
    fn what_needs_tls_names_the_feature() {
        for (name, value) in [
            ("security.protocol", "ssl"),
            ("ssl.ca.location", "/ca.pem"),
            ("ssl.key.pem", "x"),
            ("ssl.curves.list", "x"),
        ] {
            let problem = problem_of(name, value);
            assert!(
                problem.contains("OpenSSL") && problem.contains("feature `ssl`"),
                "{problem}"
            );
        }
        let problem = problem_of("sasl.oauthbearer.client.secret", "x");
        assert!(problem.contains("`curl`"), "{problem}");
    }

    #[cfg(not(feature = "zstd"))]
    #[test]
    fn what_needs_zstd_names_the_feature() {
        let problem = problem_of("compression.type", "zstd");
        assert!(problem.contains("feature `zstd`"), "{problem}");
    }
}
