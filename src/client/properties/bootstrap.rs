//! The brokers to start with. Of a malformed one librdkafka at most writes to its log.

use std::net::Ipv6Addr;

use super::security::PROTOCOLS;
use crate::client::redact::{self, HIDDEN};

pub(super) fn problems(servers: Option<&str>, protocol: Option<&str>) -> Vec<String> {
    let servers = servers.unwrap_or_default();
    // librdkafka passes over spaces before an entry, and over entries of nothing else.
    let entries: Vec<&str> = servers
        .split(',')
        .map(|entry| entry.trim_start_matches(' '))
        .filter(|entry| !entry.is_empty())
        .collect();
    if entries.is_empty() {
        return vec!["`bootstrap.servers` is missing: name a broker as `host:port`".into()];
    }
    let protocol = protocol.unwrap_or("plaintext").trim();
    let malformed = entries.iter().zip(1..).filter_map(|(entry, number)| {
        let why = entry_problem(entry, protocol)?;
        let shown = redact::shown("bootstrap.servers", entry).unwrap_or(HIDDEN.into());
        Some(format!(
            "`bootstrap.servers`, entry {number}, `{shown}`: {why}"
        ))
    });
    malformed.collect()
}

/// What is wrong with `[protocol://]host[:port]`, read as librdkafka reads it.
fn entry_problem(entry: &str, protocol: &str) -> Option<&'static str> {
    let address = match entry.split_once("://") {
        Some((own, _))
            if !PROTOCOLS
                .iter()
                .any(|known| own.eq_ignore_ascii_case(known)) =>
        {
            return Some("a broker is `host:port`, without a scheme");
        }
        Some((own, _)) if !own.eq_ignore_ascii_case(protocol) => {
            return Some("its protocol is not that of `security.protocol`");
        }
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => entry,
    };
    // The last colon stands before a port if it is the only one or follows a bracket; otherwise it
    // is part of an IPv6 address.
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    if host.is_empty() || host == "[]" {
        return Some("the host is empty");
    }
    if !is_ipv6(host) && host.contains(is_never_in_a_host) {
        return Some("the host is malformed; expected `host:port`");
    }
    // librdkafka takes what `atoi` makes of it, whatever follows the digits.
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && !matches!(port.parse(), Err(_) | Ok(0_u16))
    };
    match port.map(str::trim_end) {
        Some(port) if !is_port(port) => Some("the port is not 1 to 65535"),
        _ => None,
    }
}

fn is_ipv6(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    // What follows a `%` is the zone.
    let address = bare.unwrap_or(host).split('%').next();
    address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

fn is_never_in_a_host(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "[]:@/;".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_needed() {
        for servers in [None, Some(""), Some(" "), Some(" , ,")] {
            let problems = problems(servers, None);
            assert!(
                problems[0].starts_with("`bootstrap.servers` is missing"),
                "{servers:?}"
            );
        }
    }

    #[test]
    fn what_librdkafka_reads_as_meant_is_taken() {
        for servers in [
            "localhost",
            "localhost:9092",
            "a.example:9092, b.example:65535,,c_d-e:1,",
            "a:9092\n",
            "10.0.0.1:9092",
            "::1",
            "[::1]:9092",
            "[fe80::1%eth0]:9092",
            "PLAINTEXT://a:9092",
            "plaintext://a:9092/path",
        ] {
            assert_eq!(problems(Some(servers), None), [""; 0], "{servers}");
        }
        assert_eq!(problems(Some("SASL_SSL://a:1"), Some("sasl_ssl")), [""; 0]);
    }

    #[test]
    fn malformed_entries_are_refused() {
        for (entry, why) in [
            (":9092", "the host is empty"),
            ("[]:9092", "the host is empty"),
            ("plaintext://", "the host is empty"),
            ("a:0", "the port"),
            ("a:65536", "the port"),
            ("a:", "the port"),
            ("a:+1", "the port"),
            ("a:port", "the port"),
            ("[::1]:x", "the port"),
            ("a b:9092", "malformed"),
            ("a\n", "malformed"),
            ("a:9092:9093", "malformed"),
            ("[::1:9092", "malformed"),
            ("a:9092;b:9092", "malformed"),
            ("a/b:9092", "malformed"),
            ("://a:9092", "without a scheme"),
            ("http://a:9092", "without a scheme"),
            ("ssl://a:9092", "its protocol"),
        ] {
            let problems = problems(Some(entry), None);
            assert!(
                problems.len() == 1 && problems[0].contains(why),
                "{entry}: {problems:?}"
            );
            assert!(!problems[0].contains(char::is_control), "{problems:?}");
        }
    }

    #[test]
    fn each_malformed_entry_is_named() {
        let problems = problems(Some("a:0,b:9092,:1"), None);
        assert_eq!(
            problems,
            [
                "`bootstrap.servers`, entry 1, `a:0`: the port is not 1 to 65535",
                "`bootstrap.servers`, entry 3, `:1`: the host is empty",
            ]
        );
    }
}
