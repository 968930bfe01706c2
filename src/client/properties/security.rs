//! Credentials and certificates that would not be used: what looks safe and isn't.

use std::{fs::File, io};

use super::Properties;

/// The values of `security.protocol`, which may also stand before a broker's `://`.
pub(super) const PROTOCOLS: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
const CREDENTIALS: [&str; 2] = ["sasl.username", "sasl.password"];
const CERTIFICATES: [&str; 9] = [
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
];

const LOCATIONS: [&str; 4] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

pub(super) fn problems(properties: &Properties) -> Vec<String> {
    let protocol = properties.get("security.protocol").unwrap_or("plaintext");
    let protocol = protocol.trim().to_lowercase();
    let mut problems = Vec::new();
    // What is no protocol at all is another problem.
    if !PROTOCOLS.contains(&&*protocol) {
        return problems;
    }
    let credentials = named(properties, &CREDENTIALS);
    if !protocol.starts_with("sasl_") && !credentials.is_empty() {
        problems.push(format!(
            "{} would not be used with the `security.protocol` {protocol}: set sasl_ssl, or \
             sasl_plaintext where nobody can listen, or leave the credentials out",
            credentials.join(" and ")
        ));
    }
    let certificates = named(properties, &CERTIFICATES);
    if !protocol.ends_with("ssl") && !certificates.is_empty() {
        let with_tls = match protocol.starts_with("sasl_") {
            true => "sasl_ssl",
            false => "ssl",
        };
        problems.push(format!(
            "{} would not be used with the `security.protocol` {protocol}, which encrypts nothing: \
             set {with_tls}, or leave them out",
            certificates.join(" and ")
        ));
    }
    for name in LOCATIONS.iter().filter(|name| is_set(properties, name)) {
        if let Some(error) = properties.get(name).and_then(unreadable) {
            problems.push(format!("the file of `{name}` can't be read: {error}"));
        }
    }
    for (one, others) in [
        ("ssl.certificate", "ssl.key"),
        ("ssl.key", "ssl.certificate"),
    ] {
        if has(properties, one) && !has(properties, others) {
            problems.push(format!(
                "`{one}.location` or `{one}.pem` is set without `{others}.location` or \
                 `{others}.pem`: a client certificate takes both"
            ));
        }
    }
    problems
}

/// librdkafka would pass OpenSSL's words on, which name no cause.
fn unreadable(path: &str) -> Option<io::Error> {
    // A word that makes librdkafka look for the system's authorities.
    (path != "probe").then(|| File::open(path).err()).flatten()
}

fn is_set(properties: &Properties, name: &str) -> bool {
    properties.get(name).is_some_and(|value| !value.is_empty())
}

fn named(properties: &Properties, names: &[&str]) -> Vec<String> {
    let set = names.iter().filter(|name| is_set(properties, name));
    set.map(|name| format!("`{name}`")).collect()
}

fn has(properties: &Properties, part: &str) -> bool {
    is_set(properties, &format!("{part}.location")) || is_set(properties, &format!("{part}.pem"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(settings: &[(&str, &str)]) -> Vec<String> {
        let mut properties = Properties::default();
        for (name, value) in settings {
            properties.set(*name, *value);
        }
        problems(&properties)
    }

    #[test]
    fn credentials_that_nobody_asks_for_are_refused() {
        let password = ("sasl.password", "hunter2");
        for settings in [
            vec![password],
            vec![password, ("security.protocol", "SSL")],
            vec![password, ("security.protocol", "plaintext")],
        ] {
            let problems = problems_of(&settings);
            assert_eq!(problems.len(), 1, "{settings:?}");
            let start = "`sasl.password` would not be used with";
            assert!(problems[0].starts_with(start), "{problems:?}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
        for used in ["sasl_plaintext", " SASL_SSL", "nonsense"] {
            let settings = [password, ("security.protocol", used)];
            assert_eq!(problems_of(&settings), [""; 0], "{used}");
        }
    }

    #[test]
    fn certificates_without_encryption_are_refused() {
        let ca = ("ssl.ca.pem", "x");
        let problems = problems_of(&[ca, ("security.protocol", "sasl_plaintext")]);
        assert!(
            problems[0].contains("encrypts nothing: set sasl_ssl"),
            "{problems:?}"
        );
        let problems = problems_of(&[ca]);
        assert!(
            problems[0].contains("encrypts nothing: set ssl"),
            "{problems:?}"
        );
        assert_eq!(problems_of(&[ca, ("security.protocol", "ssl")]), [""; 0]);
        assert_eq!(problems_of(&[("ssl.ca.pem", "")]), [""; 0]);
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        let tls = ("security.protocol", "ssl");
        let certificate = ("ssl.certificate.pem", "x");
        let key = ("ssl.key.pem", "hunter2");
        let problems = problems_of(&[tls, certificate]);
        assert!(
            problems[0].contains("without `ssl.key.location` or"),
            "{problems:?}"
        );
        let problems = problems_of(&[tls, key]);
        assert!(
            problems[0].contains("without `ssl.certificate.location` or"),
            "{problems:?}"
        );
        assert_eq!(problems_of(&[tls, certificate, key]), [""; 0]);
    }

    #[test]
    fn files_have_to_be_there() {
        let tls = ("security.protocol", "ssl");
        for name in ["ssl.ca.location", "ssl.keystore.location"] {
            let problems = problems_of(&[tls, (name, "/no/such/hunter2.pem")]);
            assert_eq!(problems.len(), 1, "{problems:?}");
            let start = format!("the file of `{name}` can't be read: No such file");
            assert!(problems[0].starts_with(&start), "{problems:?}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
        assert_eq!(problems_of(&[tls, ("ssl.ca.location", "/")]), [""; 0]);
        assert_eq!(problems_of(&[tls, ("ssl.ca.location", "probe")]), [""; 0]);
    }
}
