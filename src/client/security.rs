//! How a client proves who it is, and whom it trusts, as settings.

use std::{fmt, path::Path};

use super::properties::Properties;

/// How a client proves who it is and whom it trusts; for
/// [`ProducerSettings::security`](crate::ProducerSettings::security) and
/// [`ConsumerSettings::security`](crate::ConsumerSettings::security).
///
/// A [`Tls`] alone is one as well: then a client certificate, if there is any, says who the client is.
/// TLS, and the SCRAM mechanisms, need the Cargo feature `ssl` or `ssl-vendored`. What is
/// missing here (OAuth, Kerberos, cipher suites, revocation lists) goes through `set`.
///
/// No secret shows in `Debug`.
///
/// # Example
///
/// ```
/// use kafka_tower::{ConsumerSettings, ProducerSettings, Security, Tls};
///
/// # let password = String::from("from the environment or a secret store");
/// let security = Security::sasl_scram_sha512("order-service", password)
///     .tls(Tls::ca_file("/etc/kafka/ca.pem"));
///
/// let producer = ProducerSettings::high_reliability("kafka.internal:9094")
///     .security(security.clone());
/// let consumer = ConsumerSettings::new("kafka.internal:9094", "order-service")
///     .security(security);
/// ```
#[derive(Clone)]
#[must_use = "security does nothing until it is given to settings"]
pub struct Security {
    sasl: Option<Sasl>,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Sasl {
    mechanism: &'static str,
    user: String,
    password: String,
}

/// Whom an encrypted connection trusts, and by which certificate the client is known.
///
/// The broker's certificate has to be signed by an authority that is trusted here, and to be made out
/// to the host name, or the address, by which the client reaches the broker.
#[derive(Clone, Default)]
#[must_use = "TLS does nothing until it is given to settings"]
pub struct Tls {
    settings: Vec<(&'static str, String)>,
}

/// All that [`Security`] may set.
const NAMES: &[&str] = &[
    "security.protocol",
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
];

impl Security {
    /// A name and a password, which the brokers get to see (`PLAIN`): only with [`tls`](Self::tls).
    pub fn sasl_plain(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::sasl("PLAIN", user, password)
    }

    /// A name and a password that is proven and not sent (`SCRAM-SHA-256`).
    pub fn sasl_scram_sha256(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::sasl("SCRAM-SHA-256", user, password)
    }

    /// A name and a password that is proven and not sent (`SCRAM-SHA-512`).
    pub fn sasl_scram_sha512(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::sasl("SCRAM-SHA-512", user, password)
    }

    fn sasl(mechanism: &'static str, user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            sasl: Some(Sasl {
                mechanism,
                user: user.into(),
                password: password.into(),
            }),
            tls: None,
        }
    }

    /// Encrypts the connections. Without, anyone on the way can read and change everything.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Takes the place of whatever an earlier one has set.
    pub(crate) fn apply(self, properties: &mut Properties) {
        for name in NAMES {
            properties.remove(name);
        }
        let protocol = match (&self.sasl, &self.tls) {
            (None, None) => "plaintext",
            (None, Some(_)) => "ssl",
            (Some(_), None) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        properties.set("security.protocol", protocol);
        if let Some(sasl) = self.sasl {
            properties.set("sasl.mechanism", sasl.mechanism);
            properties.set("sasl.username", sasl.user);
            properties.set("sasl.password", sasl.password);
        }
        for (name, value) in self.tls.into_iter().flat_map(|tls| tls.settings) {
            properties.set(name, value);
        }
    }
}

impl From<Tls> for Security {
    fn from(tls: Tls) -> Self {
        Self {
            sasl: None,
            tls: Some(tls),
        }
    }
}

impl Tls {
    /// Trusts the authorities that the system trusts.
    pub fn system() -> Self {
        Self::default()
    }

    /// Trusts the authorities of a file, or a folder of files, in PEM (`ssl.ca.location`).
    pub fn ca_file(path: impl AsRef<Path>) -> Self {
        Self::default().with("ssl.ca.location", location(path))
    }

    /// Trusts these authorities, in PEM (`ssl.ca.pem`).
    pub fn ca_pem(pem: impl Into<String>) -> Self {
        Self::default().with("ssl.ca.pem", pem)
    }

    /// Shows the brokers a certificate and holds its key, from two files in PEM
    /// (`ssl.certificate.location`, `ssl.key.location`).
    pub fn client_certificate(self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.with("ssl.certificate.location", location(certificate))
            .with("ssl.key.location", location(key))
    }

    /// The same from text (`ssl.certificate.pem`, `ssl.key.pem`).
    pub fn client_certificate_pem(
        self,
        certificate: impl Into<String>,
        key: impl Into<String>,
    ) -> Self {
        self.with("ssl.certificate.pem", certificate)
            .with("ssl.key.pem", key)
    }

    /// What the key is encrypted with (`ssl.key.password`).
    pub fn key_password(self, password: impl Into<String>) -> Self {
        self.with("ssl.key.password", password)
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }
}

/// librdkafka takes text; of a path that is none it says that there is no such file.
fn location(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mechanism = self.sasl.as_ref().map(|sasl| sasl.mechanism);
        f.debug_struct("Security")
            .field("sasl", &mechanism)
            .field("tls", &self.tls)
            .finish()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.settings.iter().map(|(name, _)| name);
        f.debug_tuple("Tls").field(&Vec::from_iter(names)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(security: Security) -> Properties {
        let mut properties = Properties::default();
        security.apply(&mut properties);
        properties
    }

    #[test]
    fn it_says_which_protocol() {
        let plain = || Security::sasl_plain("me", "hunter2");
        for (security, protocol) in [
            (Security::from(Tls::system()), "ssl"),
            (plain(), "sasl_plaintext"),
            (plain().tls(Tls::system()), "sasl_ssl"),
        ] {
            let properties = applied(security);
            assert_eq!(properties.get("security.protocol"), Some(protocol));
        }
        let properties = applied(Security::sasl_scram_sha512("me", "hunter2"));
        assert_eq!(properties.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(properties.get("sasl.username"), Some("me"));
        assert_eq!(properties.get("sasl.password"), Some("hunter2"));
    }

    #[test]
    fn each_says_it_under_the_name_that_librdkafka_has_for_it() {
        let files = Tls::ca_file("/ca").client_certificate("/crt", "/key");
        let text = Tls::ca_pem("ca").client_certificate_pem("crt", "key");
        for (security, settings) in [
            (
                Security::sasl_plain("me", "hunter2"),
                &[("sasl.mechanism", "PLAIN")][..],
            ),
            (
                Security::sasl_scram_sha256("me", "hunter2"),
                &[("sasl.mechanism", "SCRAM-SHA-256")],
            ),
            (
                files.key_password("open").into(),
                &[
                    ("ssl.ca.location", "/ca"),
                    ("ssl.certificate.location", "/crt"),
                    ("ssl.key.location", "/key"),
                    ("ssl.key.password", "open"),
                ],
            ),
            (
                text.into(),
                &[
                    ("ssl.ca.pem", "ca"),
                    ("ssl.certificate.pem", "crt"),
                    ("ssl.key.pem", "key"),
                ],
            ),
        ] {
            let properties = applied(security);
            for (name, value) in settings {
                assert_eq!(properties.get(name), Some(*value), "{name}");
            }
        }
    }

    #[test]
    fn the_last_one_counts_and_leaves_nothing_of_others() {
        let mut properties = Properties::default();
        properties.set("sasl.mechanisms", "OAUTHBEARER");
        let certificate = Tls::ca_pem("a")
            .client_certificate("b", "c")
            .key_password("d");
        Security::sasl_plain("me", "hunter2")
            .tls(certificate)
            .apply(&mut properties);
        Security::from(Tls::ca_file("/ca.pem")).apply(&mut properties);
        let shown = format!("{properties:?}");
        assert_eq!(
            shown,
            r#"{"security.protocol": "ssl", "ssl.ca.location": "***"}"#
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let certificate = Tls::ca_pem("hunter2")
            .client_certificate("hunter2", "hunter2")
            .client_certificate_pem("hunter2", "hunter2")
            .key_password("hunter2");
        let security = Security::sasl_scram_sha256("hunter2", "hunter2").tls(certificate);
        let shown = format!("{security:?} {security:#?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("SCRAM-SHA-256"), "{shown}");
    }
}
