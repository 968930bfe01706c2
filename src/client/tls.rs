//! What is behind a TLS connection that doesn't come about.

use rdkafka::types::RDKafkaErrorCode as Code;

/// The alerts by which a broker says that it doesn't take the client's certificate, or misses one
/// ([RFC 8446, section 6](https://www.rfc-editor.org/rfc/rfc8446#section-6)).
const CERTIFICATE_ALERTS: [&str; 8] = ["42", "43", "44", "45", "46", "48", "49", "116"];

/// The code for an error of a connection. With TLS 1.3 a broker refuses a certificate when the
/// client believes to be connected, so that librdkafka takes it for a connection that broke.
pub(crate) fn refine(code: i32, reason: &str) -> i32 {
    match code == Code::BrokerTransportFailure as i32 && is_certificate_alert(reason) {
        true => Code::SSL as i32,
        false => code,
    }
}

/// What to do about an error with the code `SSL`.
pub(crate) fn advice(reason: &str) -> &'static str {
    if is_certificate_alert(reason) {
        "the broker takes no client without a certificate that it trusts: set \
         `ssl.certificate.location` and `ssl.key.location` (`Tls::client_certificate`), with a \
         certificate that is valid and signed by an authority of the broker's trust store"
    } else if reason.contains("certificate verify failed") {
        "the broker's certificate has to be signed by an authority of `ssl.ca.location` \
         (`Tls::ca_file`), to be valid, and to be made out to the host that `bootstrap.servers` or \
         the broker's advertised listener names"
    } else {
        "check `security.protocol`, `ssl.ca.location` and the certificates of both sides"
    }
}

/// What to do where a client isn't made, by what librdkafka says of it.
pub(crate) fn creation_advice(reason: &str) -> Option<&'static str> {
    if reason.contains("key values mismatch") {
        Some("the key has to be that of the client's certificate")
    } else if reason.contains("ssl.key.") {
        Some(
            "the key has to be in PEM, and `ssl.key.password` (`Tls::key_password`) to be what opens it, \
             if it is encrypted",
        )
    } else {
        None
    }
}

fn is_certificate_alert(reason: &str) -> bool {
    let Some((_, rest)) = reason.split_once("SSL alert number ") else {
        return false;
    };
    let number = rest.split(|c: char| !c.is_ascii_digit()).next();
    number.is_some_and(|number| CERTIFICATE_ALERTS.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: &str = "Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: \
                       SSL alert number 42 (after 1ms in state APIVERSION_QUERY)";

    #[test]
    fn a_refused_certificate_is_told_from_a_broken_connection() {
        let broken = Code::BrokerTransportFailure as i32;
        assert_eq!(refine(broken, BAD), Code::SSL as i32);
        // Among them: it has expired, its authority is unknown, it is missing.
        for alert in [42, 43, 44, 45, 46, 48, 49, 116] {
            let reason = format!("tlsv13 alert of some kind: SSL alert number {alert}");
            assert_eq!(refine(broken, &reason), Code::SSL as i32, "{reason}");
        }
        for reason in [
            "Connection refused",
            "SSL alert number",
            "SSL alert number 80 (internal error)",
            "SSL alert number 4",
            "SSL alert number 420",
        ] {
            assert_eq!(refine(broken, reason), broken, "{reason}");
        }
        let other = Code::AllBrokersDown as i32;
        assert_eq!(refine(other, BAD), other);
    }

    #[test]
    fn a_key_that_is_not_taken_has_a_reason() {
        let locked = "ssl.key.location failed: error:0A080009:SSL routines::PEM lib";
        let advice = creation_advice(locked).expect("advice");
        assert!(advice.contains("`ssl.key.password`"), "{advice}");
        let anothers = "ssl.key.location failed: error:05800074: key values mismatch";
        let advice = creation_advice(anothers).expect("advice");
        assert!(advice.contains("client's certificate"), "{advice}");
        assert_eq!(creation_advice("ssl.ca.pem: not in PEM format?"), None);
    }

    #[test]
    fn the_advice_is_about_the_side_that_refused() {
        assert!(advice(BAD).contains("`ssl.key.location`"));
        let unverified = advice("certificate verify failed");
        assert!(unverified.starts_with("the broker's certificate has to be signed"));
        assert!(advice("wrong version number").contains("`security.protocol`"));
    }
}
