//! The names of librdkafka's settings: which there are, which are the same, which may be shown.

use Known::{Hidden, SameAs, Shown};

enum Known {
    /// Its value is surely harmless: a number, a switch, a choice, an identity known to the broker.
    Shown,
    /// Its value is or may hold a secret, or leads to one.
    Hidden,
    /// Another spelling of the name given.
    SameAs(&'static str),
}

/// The one name under which a setting is kept: that of Kafka's Java client where librdkafka has
/// two. A name that isn't known is its own.
pub(crate) fn canonical(name: &str) -> &str {
    match find(name) {
        Some((_, SameAs(canonical))) => canonical,
        _ => name,
    }
}

/// Whether the value of a setting is surely harmless. That of an unknown one is not.
pub(crate) fn is_harmless(name: &str) -> bool {
    matches!(find(canonical(name)), Some((_, Shown)))
}

pub(crate) fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// Whether the setting is a callback or a pointer, which has no text.
pub(crate) fn is_set_in_code(name: &str) -> bool {
    SET_IN_CODE.binary_search(&name).is_ok()
}

/// What there is instead of a setting of Kafka's Java client.
pub(crate) fn instead(name: &str) -> Option<&'static str> {
    match name {
        "max.poll.records" => {
            Some("`ConsumerSettings::max_in_flight` says how many records are handled at a time")
        }
        "key.serializer" | "value.serializer" | "key.deserializer" | "value.deserializer" => {
            Some("a `Topic` and its `Codec` say how records are written and read")
        }
        _ => None,
    }
}

/// The known name that was probably meant, if one is near enough.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let meant = plain(name);
    let known = || KNOWN.iter().map(|(known, _)| *known);
    // `topic.acks` and `kafka.bootstrap.servers`, then `BOOTSTRAP_SERVERS` and misspellings.
    let tail = || {
        known()
            .filter(|known| {
                let head = meant.strip_suffix(plain(known).as_str());
                head.is_some_and(|head| head.ends_with('.'))
            })
            .max_by_key(|known| known.len())
    };
    let near = || {
        known()
            .map(|known| (strsim::osa_distance(&plain(known), &meant), known))
            .min()
            .filter(|(distance, _)| *distance <= (meant.len() / 5).max(2))
            .map(|(_, known)| known)
    };
    tail().or_else(near)
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace(['_', '-'], ".")
}

fn find(name: &str) -> Option<&'static (&'static str, Known)> {
    let at = KNOWN
        .binary_search_by(|(known, _)| (*known).cmp(name))
        .ok()?;
    Some(&KNOWN[at])
}

// From librdkafka 2.12.1's CONFIGURATION.md, sorted.
const KNOWN: &[(&str, Known)] = &[
    ("acks", Shown),
    ("allow.auto.create.topics", Shown),
    ("api.version.fallback.ms", Shown),
    ("api.version.request", Shown),
    ("api.version.request.timeout.ms", Shown),
    ("auto.commit.enable", Shown),
    ("auto.commit.interval.ms", Shown),
    ("auto.offset.reset", Shown),
    ("batch.num.messages", Shown),
    ("batch.size", Shown),
    ("bootstrap.servers", Shown),
    ("broker.address.family", Shown),
    ("broker.address.ttl", Shown),
    ("broker.version.fallback", Shown),
    ("builtin.features", Shown),
    ("check.crcs", Shown),
    ("client.dns.lookup", Shown),
    ("client.id", Shown),
    ("client.rack", Shown),
    ("compression.codec", SameAs("compression.type")),
    ("compression.level", Shown),
    ("compression.type", Shown),
    ("connections.max.idle.ms", Shown),
    ("consume.callback.max.messages", Shown),
    ("coordinator.query.interval.ms", Shown),
    ("debug", Shown),
    ("delivery.report.only.error", Shown),
    ("delivery.timeout.ms", Shown),
    ("enable.auto.commit", Shown),
    ("enable.auto.offset.store", Shown),
    ("enable.gapless.guarantee", Shown),
    ("enable.idempotence", Shown),
    ("enable.metrics.push", Shown),
    ("enable.partition.eof", Shown),
    ("enable.random.seed", Shown),
    ("enable.sasl.oauthbearer.unsecure.jwt", Shown),
    ("enable.ssl.certificate.verification", Shown),
    ("enabled_events", Shown),
    ("fetch.error.backoff.ms", Shown),
    ("fetch.max.bytes", Shown),
    (
        "fetch.message.max.bytes",
        SameAs("max.partition.fetch.bytes"),
    ),
    ("fetch.min.bytes", Shown),
    ("fetch.queue.backoff.ms", Shown),
    ("fetch.wait.max.ms", Shown),
    ("group.id", Shown),
    ("group.instance.id", Shown),
    ("group.protocol", Shown),
    ("group.protocol.type", Shown),
    ("group.remote.assignor", Shown),
    ("heartbeat.interval.ms", Shown),
    ("https.ca.location", Hidden),
    ("https.ca.pem", Hidden),
    ("internal.termination.signal", Shown),
    ("isolation.level", Shown),
    ("linger.ms", Shown),
    ("log.connection.close", Shown),
    ("log.queue", Shown),
    ("log.thread.name", Shown),
    ("log_level", Shown),
    (
        "max.in.flight",
        SameAs("max.in.flight.requests.per.connection"),
    ),
    ("max.in.flight.requests.per.connection", Shown),
    ("max.partition.fetch.bytes", Shown),
    ("max.poll.interval.ms", Shown),
    ("message.copy.max.bytes", Shown),
    ("message.max.bytes", Shown),
    ("message.send.max.retries", SameAs("retries")),
    ("message.timeout.ms", SameAs("delivery.timeout.ms")),
    ("metadata.broker.list", SameAs("bootstrap.servers")),
    ("metadata.max.age.ms", Shown),
    ("metadata.recovery.rebootstrap.trigger.ms", Shown),
    ("metadata.recovery.strategy", Shown),
    ("offset.store.method", Shown),
    ("offset.store.path", Hidden),
    ("offset.store.sync.interval.ms", Shown),
    ("partition.assignment.strategy", Shown),
    ("partitioner", Shown),
    ("plugin.library.paths", Hidden),
    ("produce.offset.report", Shown),
    ("queue.buffering.backpressure.threshold", Shown),
    ("queue.buffering.max.kbytes", Shown),
    ("queue.buffering.max.messages", Shown),
    ("queue.buffering.max.ms", SameAs("linger.ms")),
    ("queued.max.messages.kbytes", Shown),
    ("queued.min.messages", Shown),
    ("queuing.strategy", Shown),
    ("receive.message.max.bytes", Shown),
    ("reconnect.backoff.jitter.ms", Shown),
    ("reconnect.backoff.max.ms", Shown),
    ("reconnect.backoff.ms", Shown),
    ("request.required.acks", SameAs("acks")),
    ("request.timeout.ms", Shown),
    ("retries", Shown),
    ("retry.backoff.max.ms", Shown),
    ("retry.backoff.ms", Shown),
    ("sasl.kerberos.keytab", Hidden),
    ("sasl.kerberos.min.time.before.relogin", Shown),
    ("sasl.kerberos.principal", Hidden),
    ("sasl.kerberos.service.name", Hidden),
    ("sasl.mechanism", Shown),
    ("sasl.mechanisms", SameAs("sasl.mechanism")),
    ("sasl.oauthbearer.assertion.algorithm", Shown),
    ("sasl.oauthbearer.assertion.claim.aud", Hidden),
    ("sasl.oauthbearer.assertion.claim.exp.seconds", Shown),
    ("sasl.oauthbearer.assertion.claim.iss", Hidden),
    ("sasl.oauthbearer.assertion.claim.jti.include", Shown),
    ("sasl.oauthbearer.assertion.claim.nbf.seconds", Shown),
    ("sasl.oauthbearer.assertion.claim.sub", Hidden),
    ("sasl.oauthbearer.assertion.file", Hidden),
    ("sasl.oauthbearer.assertion.jwt.template.file", Hidden),
    ("sasl.oauthbearer.assertion.private.key.file", Hidden),
    ("sasl.oauthbearer.assertion.private.key.passphrase", Hidden),
    ("sasl.oauthbearer.assertion.private.key.pem", Hidden),
    (
        "sasl.oauthbearer.client.credentials.client.id",
        SameAs("sasl.oauthbearer.client.id"),
    ),
    (
        "sasl.oauthbearer.client.credentials.client.secret",
        SameAs("sasl.oauthbearer.client.secret"),
    ),
    ("sasl.oauthbearer.client.id", Hidden),
    ("sasl.oauthbearer.client.secret", Hidden),
    ("sasl.oauthbearer.config", Hidden),
    ("sasl.oauthbearer.extensions", Hidden),
    ("sasl.oauthbearer.grant.type", Shown),
    ("sasl.oauthbearer.metadata.authentication.type", Shown),
    ("sasl.oauthbearer.method", Shown),
    ("sasl.oauthbearer.scope", Hidden),
    ("sasl.oauthbearer.token.endpoint.url", Hidden),
    ("sasl.password", Hidden),
    ("sasl.username", Hidden),
    ("security.protocol", Shown),
    ("session.timeout.ms", Shown),
    ("socket.blocking.max.ms", Shown),
    ("socket.connection.setup.timeout.ms", Shown),
    ("socket.keepalive.enable", Shown),
    ("socket.max.fails", Shown),
    ("socket.nagle.disable", Shown),
    ("socket.receive.buffer.bytes", Shown),
    ("socket.send.buffer.bytes", Shown),
    ("socket.timeout.ms", Shown),
    ("ssl.ca.certificate.stores", Hidden),
    ("ssl.ca.location", Hidden),
    ("ssl.ca.pem", Hidden),
    ("ssl.certificate.location", Hidden),
    ("ssl.certificate.pem", Hidden),
    ("ssl.cipher.suites", Shown),
    ("ssl.crl.location", Hidden),
    ("ssl.curves.list", Shown),
    ("ssl.endpoint.identification.algorithm", Shown),
    ("ssl.engine.id", Hidden),
    ("ssl.engine.location", Hidden),
    ("ssl.key.location", Hidden),
    ("ssl.key.password", Hidden),
    ("ssl.key.pem", Hidden),
    ("ssl.keystore.location", Hidden),
    ("ssl.keystore.password", Hidden),
    ("ssl.providers", Hidden),
    ("ssl.sigalgs.list", Shown),
    ("statistics.interval.ms", Shown),
    ("sticky.partitioning.linger.ms", Shown),
    ("topic.blacklist", Shown),
    ("topic.metadata.propagation.max.ms", Shown),
    ("topic.metadata.refresh.fast.cnt", Shown),
    ("topic.metadata.refresh.fast.interval.ms", Shown),
    ("topic.metadata.refresh.interval.ms", Shown),
    ("topic.metadata.refresh.sparse", Shown),
    ("transaction.timeout.ms", Shown),
    ("transactional.id", Shown),
];

// Those whose type is "see dedicated API", and the one function pointer that librdkafka would take
// from text: any text there crashes the process.
const SET_IN_CODE: &[&str] = &[
    "background_event_cb",
    "closesocket_cb",
    "connect_cb",
    "consume_cb",
    "default_topic_conf",
    "dr_cb",
    "dr_msg_cb",
    "error_cb",
    "interceptors",
    "log_cb",
    "msg_order_cmp",
    "oauthbearer_token_refresh_cb",
    "offset_commit_cb",
    "opaque",
    "open_cb",
    "partitioner_cb",
    "rebalance_cb",
    "resolve_cb",
    "socket_cb",
    "ssl.certificate.verify_cb",
    "ssl_ca",
    "ssl_certificate",
    "ssl_engine_callback_data",
    "ssl_key",
    "stats_cb",
    "throttle_cb",
    "ut_handle_ProduceResponse",
];

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaConfRes;

    use super::*;

    fn known_to_librdkafka(name: &str) -> bool {
        !matches!(
            ClientConfig::new().set(name, "").create_native_config(),
            Err(KafkaError::ClientConfig(
                RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN,
                ..
            ))
        )
    }

    #[test]
    fn the_lists_are_sorted_complete_and_apart() {
        assert!(KNOWN.is_sorted_by(|a, b| a.0 < b.0));
        assert!(SET_IN_CODE.is_sorted_by(|a, b| a < b));
        assert_eq!((KNOWN.len(), SET_IN_CODE.len()), (163, 27));
        assert!(!KNOWN.iter().any(|(name, _)| is_set_in_code(name)));
    }

    #[test]
    fn librdkafka_knows_every_name() {
        let unknown = |name: &&str| !known_to_librdkafka(name);
        let names = KNOWN.iter().map(|(name, _)| *name);
        // Only builds that can load plugins know this one.
        let names = names.filter(|name| *name != "plugin.library.paths");
        assert_eq!(names.filter(unknown).collect::<Vec<_>>(), [""; 0]);
        let in_code = SET_IN_CODE.iter().copied();
        assert_eq!(in_code.filter(unknown).collect::<Vec<_>>(), [""; 0]);
        assert!(!known_to_librdkafka("bootstrap.server"));
    }

    #[test]
    fn both_spellings_are_one_setting_of_librdkafka() {
        // Two of the same default prove nothing, so the value is one that is nobody's default.
        let value = |name: &str| match name {
            "compression.codec" => "gzip",
            "metadata.broker.list" => "there:1",
            "sasl.mechanisms" => "OAUTHBEARER",
            _ => "7",
        };
        for (name, known) in KNOWN {
            let SameAs(other) = known else { continue };
            assert!(
                !matches!(find(other), None | Some((_, SameAs(_)))),
                "{other}"
            );
            let value = value(name);
            match ClientConfig::new().set(*name, value).create_native_config() {
                Ok(native) => assert_eq!(native.get(other).unwrap(), value, "{name}, {other}"),
                // Not in this build; the message has librdkafka's own name for it.
                Err(error) => assert!(error.to_string().contains("not supported"), "{error}"),
            }
        }
    }

    #[test]
    fn one_spelling_is_canonical() {
        assert_eq!(canonical("metadata.broker.list"), "bootstrap.servers");
        assert_eq!(canonical("request.required.acks"), "acks");
        assert_eq!(canonical("message.timeout.ms"), "delivery.timeout.ms");
        assert_eq!(canonical("acks"), "acks");
        assert_eq!(canonical("no.such"), "no.such");
    }

    #[test]
    fn no_name_that_sounds_secret_is_harmless() {
        let words = "password secret passphrase pem key username config location file jaas token";
        for (name, _) in KNOWN.iter().filter(|(name, _)| is_harmless(name)) {
            let sounds = words
                .split(' ')
                .any(|word| name.split('.').any(|part| part == word));
            assert!(!sounds, "{name}");
        }
        for name in [
            "sasl.password",
            "sasl.jaas.config",
            "ssl.truststore.password",
            "no.such",
        ] {
            assert!(!is_harmless(name), "{name}");
        }
        assert!(is_harmless("acks") && is_harmless("request.required.acks"));
    }

    #[test]
    fn the_nearest_name_is_what_was_meant() {
        for (written, meant) in [
            ("bootstrap.server", "bootstrap.servers"),
            ("BOOTSTRAP_SERVERS", "bootstrap.servers"),
            (" acks", "acks"),
            ("ack", "acks"),
            ("kafka.bootstrap.servers", "bootstrap.servers"),
            ("topic.acks", "acks"),
            ("max.inflight", "max.in.flight"),
            ("enable.idempotance", "enable.idempotence"),
            ("security-protocol", "security.protocol"),
            ("log.level", "log_level"),
        ] {
            assert_eq!(nearest(written), Some(meant), "{written}");
        }
        for written in ["", "x", "key.serializer", "colour", "buffer.memory"] {
            assert_eq!(nearest(written), None, "{written}");
        }
    }
}
