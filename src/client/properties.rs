//! The settings of a client by librdkafka's names, and all that is wrong with them at once.

mod bootstrap;
mod security;
mod setting;
mod unused;

use std::{collections::BTreeMap, fmt};

use rdkafka::ClientConfig;

use super::{
    known,
    redact::{self, HIDDEN},
};

/// Settings by their one canonical name; the last value set is the one that counts.
#[derive(Clone, Default)]
pub(crate) struct Properties(BTreeMap<String, String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Producer,
    Consumer,
}

impl Properties {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        let name = match known::canonical(&name) {
            canonical if canonical == name => name,
            canonical => canonical.to_owned(),
        };
        self.0.insert(name, value.into());
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(known::canonical(name));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(known::canonical(name)).map(String::as_str)
    }

    /// All that is wrong, one line each, without any value that may be secret.
    pub(crate) fn problems(&self, kind: ClientKind) -> Vec<String> {
        let mut problems: Vec<String> = self
            .0
            .iter()
            .filter_map(|(name, value)| setting::problem(name, value))
            .collect();
        problems.extend(bootstrap::problems(
            self.get("bootstrap.servers"),
            self.get("security.protocol"),
        ));
        problems.extend(self.mechanism_problem());
        problems.extend(self.credentials_problem());
        problems.extend(security::problems(self));
        problems.extend(unused::problems(self, kind));
        if kind == ClientKind::Consumer && self.get("group.id").is_none_or(str::is_empty) {
            problems
                .push("`group.id` is missing: a consumer commits its offsets for a group".into());
        }
        problems
    }

    /// For librdkafka only: rdkafka's own `Debug` of it doesn't hide every secret.
    pub(crate) fn client_config(&self) -> ClientConfig {
        self.0.clone().into_iter().collect()
    }

    /// librdkafka takes any text for a mechanism, and finds out when the client is made.
    fn mechanism_problem(&self) -> Option<String> {
        let protocol = self.get("security.protocol")?.trim().to_lowercase();
        if !protocol.starts_with("sasl_") {
            return None;
        }
        let mechanism = self.get("sasl.mechanism").map(str::trim_start);
        let feature = match mechanism.unwrap_or("GSSAPI") {
            "GSSAPI" => "sasl_gssapi",
            "PLAIN" => "sasl_plain",
            "SCRAM-SHA-256" | "SCRAM-SHA-512" => "sasl_scram",
            "OAUTHBEARER" => "sasl_oauthbearer",
            _ => {
                return Some(
                    "`sasl.mechanism` must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, \
                     OAUTHBEARER, GSSAPI"
                        .into(),
                );
            }
        };
        let why = setting::lacking(feature)?;
        Some(match mechanism {
            Some(mechanism) => format!("`sasl.mechanism` can't be `{mechanism}`: {why}"),
            None => format!("`sasl.mechanism` is missing, and can't be its default, GSSAPI: {why}"),
        })
    }
}

impl Properties {
    fn credentials_problem(&self) -> Option<String> {
        let sasl = self.get("security.protocol")?.trim().to_lowercase();
        let by_password = matches!(
            self.get("sasl.mechanism").map(str::trim_start),
            Some("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512")
        );
        let missing: Vec<_> = ["sasl.username", "sasl.password"]
            .into_iter()
            .filter(|name| self.get(name).is_none_or(str::is_empty))
            .map(|name| format!("`{name}`"))
            .collect();
        (sasl.starts_with("sasl_") && by_password && !missing.is_empty()).then(|| {
            let missing = missing.join(" and ");
            format!("`sasl.mechanism` needs {missing}: set the user's name and password")
        })
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in &self.0 {
            map.entry(name, &redact::shown(name, value).unwrap_or(HIDDEN.into()));
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use ClientKind::{Consumer, Producer};

    use super::*;
    use crate::error::ConfigError;

    fn properties(settings: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::default();
        properties.set("bootstrap.servers", "localhost:9092");
        for (name, value) in settings {
            properties.set(*name, *value);
        }
        properties
    }

    #[test]
    fn two_spellings_are_one_setting() {
        for (one, other) in [
            ("acks", "request.required.acks"),
            ("compression.type", "compression.codec"),
            ("bootstrap.servers", "metadata.broker.list"),
            ("delivery.timeout.ms", "message.timeout.ms"),
            ("max.in.flight.requests.per.connection", "max.in.flight"),
            ("linger.ms", "queue.buffering.max.ms"),
            ("retries", "message.send.max.retries"),
        ] {
            let mut properties = Properties::default();
            properties.set(one, "1");
            properties.set(other, "2");
            assert_eq!(properties.get(one), Some("2"), "{one}");
            properties.set(one, "3");
            assert_eq!(properties.get(other), Some("3"), "{other}");
            let config = properties.client_config();
            assert_eq!((config.get(one), config.get(other)), (Some("3"), None));
        }
    }

    #[test]
    fn what_librdkafka_takes_has_no_problem() {
        let settings = [
            ("acks", "all"),
            ("linger.ms", "0.5"),
            ("enable.idempotence", "true"),
            (
                "client.software.name",
                "in no list, but librdkafka knows it",
            ),
        ];
        assert_eq!(properties(&settings).problems(Producer), [""; 0]);
        assert_eq!(
            properties(&[("group.id", "orders"), ("acks", "all")]).problems(Consumer),
            [""; 0]
        );
    }

    #[test]
    fn all_problems_come_at_once() {
        let mut properties = Properties::default();
        for (name, value) in [
            ("", "x"),
            ("acks", "some"),
            ("bootstrap.server", "localhost:9092"),
            ("dr_cb", "0"),
            ("enable.idempotence", "maybe"),
            ("retries", "-1"),
            ("sasl.username", "a\0b"),
        ] {
            properties.set(name, value);
        }
        let problems = properties.problems(Consumer);
        let starts = [
            "the name of a setting is empty",
            "`acks` can't be `some`: ",
            "unknown setting `bootstrap.server`; did you mean `bootstrap.servers`?",
            "`dr_cb` can't be set: ",
            "`enable.idempotence` can't be `maybe`: ",
            "`retries` can't be `-1`: ",
            "the value of `sasl.username` contains a NUL",
            "`bootstrap.servers` is missing: ",
            "`sasl.username` would not be used",
            "`group.id` is missing: ",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:#?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem}");
            assert!(!problem.contains(char::is_control), "{problem:?}");
        }
    }

    #[test]
    fn a_consumer_needs_a_group_and_a_producer_does_not() {
        assert_eq!(properties(&[]).problems(Producer), [""; 0]);
        assert_eq!(properties(&[]).problems(Consumer).len(), 1);
        assert_eq!(properties(&[("group.id", "")]).problems(Consumer).len(), 1);
    }

    #[test]
    fn a_mechanism_is_checked_when_sasl_is_used() {
        let sasl = |mechanism| {
            let settings = [
                ("security.protocol", "SASL_plaintext"),
                ("sasl.mechanism", mechanism),
                ("sasl.username", "a"),
                ("sasl.password", "b"),
            ];
            properties(&settings).problems(Producer)
        };
        assert_eq!(sasl("PLAIN"), [""; 0]);
        for wrong in ["plain", "SCRAM-SHA-1", "hunter2"] {
            let problems = sasl(wrong);
            assert!(problems[0].contains("must be one of PLAIN"), "{problems:?}");
            assert!(!problems[0].contains("hunter2"));
        }
        for unused in [("client.id", "a"), ("security.protocol", "plaintext")] {
            let settings = [unused, ("sasl.mechanism", "plain")];
            assert_eq!(properties(&settings).problems(Producer), [""; 0]);
        }
    }

    #[cfg(not(any(feature = "ssl", feature = "ssl-vendored", feature = "sasl")))]
    #[test]
    fn a_mechanism_that_this_build_lacks_names_the_feature() {
        for (mechanism, feature) in [("SCRAM-SHA-256", "`ssl`"), ("GSSAPI", "`sasl`")] {
            let settings = [
                ("security.protocol", "sasl_plaintext"),
                ("sasl.mechanism", mechanism),
            ];
            let problems = properties(&settings).problems(Producer);
            assert!(
                problems[0].contains(feature) && problems[0].contains(mechanism),
                "{problems:?}"
            );
        }
        let problems = properties(&[("security.protocol", "sasl_plaintext")]).problems(Producer);
        assert!(
            problems[0].contains("is missing") && problems[0].contains("`sasl`"),
            "{problems:?}"
        );
    }

    #[test]
    fn no_secret_is_printed() {
        let names = [
            "sasl.password",
            "sasl.username",
            "sasl.jaas.config",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.client.credentials.client.secret",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.assertion.private.key.pem",
            "ssl.key.pem",
            "ssl.key.password",
            "ssl.keystore.password",
            "ssl.truststore.password",
            "ssl.truststore.location",
            "sasl.passwrod",
            "dr_cb",
            "topic.sasl.password",
            "\0",
        ];
        for value in [
            "hunter2",
            "hunter2\0",
            " \0hunter2",
            "hunter2\n",
            "5hunter2",
        ] {
            for name in names {
                let properties = properties(&[(name, value)]);
                let error = ConfigError::new(properties.problems(Producer));
                let printed = format!("{properties:?} {properties:#?} {error} {error:?}");
                assert!(!printed.contains("hunter"), "{printed}");
                assert!(printed.contains(HIDDEN), "{printed}");
            }
        }
        let pasted = properties(&[("bootstrap.servers", "ok:9092,me:hunter2@broker:9092")]);
        let error = ConfigError::new(pasted.problems(Producer));
        assert!(error.problems()[0].contains("entry 2"), "{error}");
        assert!(
            !format!("{pasted:?} {error} {error:?}").contains("hunter"),
            "{error}"
        );
    }

    #[test]
    fn what_is_harmless_is_printed() {
        let properties = properties(&[("acks", "all"), ("sasl.password", "hunter2")]);
        assert_eq!(
            format!("{properties:?}"),
            r#"{"acks": "all", "bootstrap.servers": "localhost:9092", "sasl.password": "***"}"#
        );
    }
}
