//! What may be wrong where no broker has answered yet.

use rdkafka::types::RDKafkaErrorCode as Code;

/// What to look at, to be put behind the error's own words.
pub(crate) fn hint(code: i32) -> &'static str {
    // A listener of another protocol just hangs up, or answers what can't be read.
    let strangers = [
        Code::AllBrokersDown,
        Code::BrokerTransportFailure,
        Code::BadMessage,
    ];
    if code == Code::Resolve as i32 {
        "; see whether the name is right"
    } else if strangers.iter().any(|known| *known as i32 == code) {
        "; see whether Kafka listens there, by the `security.protocol` that is set"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_wrong_with_an_address_is_said() {
        let hint = |code| hint(code as i32);
        assert!(hint(Code::Resolve).contains("the name"));
        for stranger in [
            Code::AllBrokersDown,
            Code::BrokerTransportFailure,
            Code::BadMessage,
        ] {
            assert!(hint(stranger).contains("`security.protocol`"));
        }
        assert_eq!(hint(Code::OperationTimedOut), "");
    }
}
