//! Which error code means what: the table that every classification of a Kafka error rests on.

use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

use crate::error::ErrorClass;

/// What was being done when the error came: some codes mean one thing here and another there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Sending a record, and the transaction around it.
    Produce,
    /// Fetching records, and what a consumer does around it but for commits.
    Consume,
    /// Storing or committing offsets.
    Commit,
    /// Creating and connecting a client, asking for metadata, administration.
    Connect,
}

/// What an error code says about the operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A passing condition: wait a little and try again.
    Retriable,
    /// Not enqueued, for want of room: wait, and keep the order.
    Backpressure,
    /// It may have been done or not; whether it was, only the persistence status tells.
    Ambiguous,
    /// This record never succeeds unchanged.
    NonRetriable,
    /// This client never succeeds again: its state is lost or its identity fenced.
    Fatal,
    /// The transaction has to be aborted; the next may succeed.
    Abortable,
    /// The group moved on: drop this commit, keep polling.
    GroupState,
    /// A setting or a right is wrong: say so, dead-letter nothing.
    Configuration,
    /// The topic or partition isn't known (yet); on produce it's Configuration by then.
    TopicMissing,
    /// Records can't be read: going on would skip them, which an operator decides.
    DataGap,
    /// Nothing failed.
    Information,
    /// The client is closing and never took the record: hand it back.
    Shutdown,
    /// Nobody knows.
    Unclassified,
}

impl Meaning {
    /// What to do about it, where nothing better than the code is known.
    pub(crate) fn class(self) -> ErrorClass {
        match self {
            // How often an unclassified error is tried again is the retry layer's to bound.
            Self::Retriable
            | Self::Ambiguous
            | Self::Abortable
            | Self::GroupState
            | Self::TopicMissing
            | Self::Shutdown
            | Self::Unclassified => ErrorClass::Retriable,
            Self::Backpressure => ErrorClass::Unavailable,
            // Information should never be asked for its class. If it is: repeating what was done
            // already would duplicate it, stopping would turn no failure into one; so give up on
            // this one thing and go on.
            Self::NonRetriable | Self::Information => ErrorClass::NonRetriable,
            Self::Fatal | Self::Configuration | Self::DataGap => ErrorClass::Fatal,
        }
    }
}

/// `TRANSACTION_ABORTABLE` (KIP-890), which librdkafka passes on without knowing it.
const TRANSACTION_ABORTABLE: i32 = 120;

/// What `code` means when it comes from `operation`.
#[rustfmt::skip] // one paragraph per meaning, not one line per code
pub(crate) fn meaning(operation: Operation, code: i32) -> Meaning {
    use Operation::{Commit, Connect, Consume, Produce};

    if code == TRANSACTION_ABORTABLE {
        return Meaning::Abortable;
    }
    let Some(known) = known(code) else {
        return Meaning::Unclassified;
    };
    match known {
        Code::LeaderNotAvailable | Code::NotLeaderForPartition | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable | Code::NotCoordinator | Code::NotController
        | Code::StaleControllerEpoch | Code::KafkaStorageError | Code::NotEnoughReplicas
        | Code::ISRInsufficient | Code::InvalidMessage | Code::InvalidDifferentRecord
        | Code::FencedLeaderEpoch | Code::UnknownLeaderEpoch | Code::OffsetNotAvailable
        | Code::UnstableOffsetCommit | Code::ThrottlingQuotaExceeded | Code::ConcurrentTransactions
        | Code::ListenerNotFound | Code::FetchSessionIdNotFound | Code::InvalidFetchSessionEpoch
        | Code::StaleBrokerEpoch | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable | Code::RebootstrapRequired | Code::Resolve
        | Code::WaitingForCoordinator | Code::WaitCache | Code::InProgress
        | Code::PreviousInProgress | Code::Interrupted | Code::Retry | Code::TimedOutQueue
        | Code::UnknownBroker | Code::DestroyBroker | Code::AllBrokersDown
        | Code::OperationNotAttempted => Meaning::Retriable,
        // Not the Java client's `RetriableException`s, but passing all the same: an incomplete
        // answer, no leader found, a reassignment that ends, telemetry that librdkafka repeats.
        Code::Partial | Code::NoEnt | Code::ReassignmentInProgress | Code::UnknownSubscriptionId
        | Code::TelemetryTooLarge => Meaning::Retriable,

        Code::QueueFull => Meaning::Backpressure,

        Code::MessageTimedOut | Code::BrokerTransportFailure | Code::OperationTimedOut
        | Code::RequestTimedOut | Code::NetworkException | Code::NotEnoughReplicasAfterAppend
        | Code::PurgeInflight => Meaning::Ambiguous,

        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidRecord
        | Code::InvalidTimestamp | Code::KeySerialization | Code::ValueSerialization
        | Code::KeyDeserialization | Code::ValueDeserialization => Meaning::NonRetriable,

        Code::Fatal | Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch
        | Code::OutOfOrderSequenceNumber | Code::UnknownProducerId | Code::InvalidTransactionalState
        | Code::InvalidProducerIdMapping | Code::TransactionCoordinatorFenced
        | Code::GaplessGuarantee | Code::Inconsistent | Code::CriticalSystemResource
        | Code::FencedInstanceId | Code::UnreleasedInstanceId
        | Code::GroupMaxSizeReached | Code::InvalidRequest
        | Code::UnsupportedAssignor => Meaning::Fatal,

        // The group is gone, and its members with it: in a cluster that was made anew.
        Code::GroupIdNotFound => match operation {
            Commit => Meaning::GroupState,
            Produce | Consume | Connect => Meaning::Fatal,
        },
        Code::RebalanceInProgress | Code::IllegalGeneration | Code::UnknownMemberId
        | Code::FencedMemberEpoch | Code::StaleMemberEpoch | Code::MemberIdRequired
        | Code::AssignmentLost | Code::PollExceeded | Code::Outdated => Meaning::GroupState,

        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed | Code::Authentication
        | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism | Code::IllegalSASLState
        | Code::SecurityDisabled | Code::UnsupportedVersion | Code::UnsupportedFeature
        | Code::UnsupportedForMessageFormat | Code::UnsupportedCompressionType
        | Code::InconsistentGroupProtocol | Code::InvalidGroupId | Code::InvalidSessionTimeout
        | Code::InvalidRequiredAcks | Code::InvalidTransactionTimeout
        | Code::InvalidCommitOffsetSize | Code::InvalidConfig | Code::NotConfigured
        | Code::NotImplemented | Code::UnknownGroup | Code::Conflict | Code::ReadOnly
        | Code::InvalidType | Code::LogDirNotFound => Meaning::Configuration,
        // Further requests that never succeed unchanged and have no record to blame; none is a
        // `RetriableException` in the Java client.
        Code::FileSystem | Code::ExistingSubscription | Code::UnknownProtocol
        | Code::InvalidMessageSize | Code::OffsetMetadataTooLarge | Code::InvalidPartitions
        | Code::InvalidReplicationFactor | Code::InvalidReplicaAssignment
        | Code::DelegationTokenAuthDisabled | Code::DelegationTokenNotFound
        | Code::DelegationTokenOwnerMismatch | Code::DelegationTokenRequestNotAllowed
        | Code::DelegationTokenExpired | Code::InvalidPrincipalType | Code::NonEmptyGroup
        | Code::TopicDeletionDisabled | Code::GroupSubscribedToTopic | Code::ResourceNotFound
        | Code::DuplicateResource | Code::UnacceptableCredential | Code::InconsistentVoterSet
        | Code::InvalidUpdateVersion | Code::FeatureUpdateFailed
        | Code::PrincipalDeserializationFailure => Meaning::Configuration,

        Code::UnknownTopicOrPartition | Code::UnknownTopic
        | Code::UnknownTopicId => match operation {
            // librdkafka has waited topic.metadata.propagation.max.ms (30 s) before it says so.
            Produce => Meaning::Configuration,
            Consume | Commit | Connect => Meaning::TopicMissing,
        },

        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => Meaning::DataGap,

        Code::NoError | Code::PartitionEOF | Code::NoOffset | Code::Noop | Code::NodeUpdate
        | Code::DuplicateSequenceNumber | Code::TopicAlreadyExists => Meaning::Information,
        // Events, and requests for what is so already (the Java client retries the election).
        Code::AssignPartitions | Code::RevokePartitions | Code::ElectionNotNeeded
        | Code::NoReassignmentInProgress => Meaning::Information,

        Code::BrokerDestroy | Code::PurgeQueue => Meaning::Shutdown,

        // An answer that can't be parsed.
        Code::BadMessage | Code::Underflow => match operation {
            Produce => Meaning::Ambiguous,
            Consume => Meaning::DataGap,
            // Harmless to repeat.
            Commit | Connect => Meaning::Retriable,
        },
        Code::BadCompression => match operation {
            Consume => Meaning::DataGap,
            Produce | Commit | Connect => Meaning::Configuration,
        },
        Code::SSL => match operation {
            Produce => Meaning::Ambiguous,
            // A broken connection, which librdkafka opens anew.
            Consume | Commit => Meaning::Retriable,
            Connect => Meaning::Configuration,
        },
        // On produce the record chose what is refused.
        Code::InvalidArgument | Code::InvalidTopic | Code::PolicyViolation => match operation {
            Produce => Meaning::NonRetriable,
            Consume | Commit | Connect => Meaning::Configuration,
        },
        Code::UnknownPartition => match operation {
            Produce => Meaning::NonRetriable,
            Consume | Commit | Connect => Meaning::TopicMissing,
        },
        Code::State => match operation {
            // librdkafka takes no records once the transaction needs to be aborted.
            Produce => Meaning::Abortable,
            Consume | Commit => Meaning::GroupState,
            Connect => Meaning::Configuration,
        },

        // Unknown, Fail, Application, and what a later librdkafka may add.
        _ => Meaning::Unclassified,
    }
}

/// What `error` means when it comes from `operation`; librdkafka's own flags outrank its code.
pub(crate) fn meaning_of(operation: Operation, error: &KafkaError) -> Meaning {
    match error {
        KafkaError::MessageConsumptionFatal(_) => Meaning::Fatal,
        KafkaError::Transaction(error) if error.is_fatal() => Meaning::Fatal,
        KafkaError::Transaction(error) if error.txn_requires_abort() => Meaning::Abortable,
        KafkaError::Transaction(error) if error.is_retriable() => Meaning::Retriable,
        // Without a flag there is nothing to abort: the calls came in the wrong order.
        KafkaError::Transaction(error) if error.code() == Code::State => Meaning::Fatal,
        KafkaError::AdminOpCreation(_)
        | KafkaError::ClientConfig(..)
        | KafkaError::ClientCreation(_)
        | KafkaError::Nul(_)
        | KafkaError::PauseResume(_)
        | KafkaError::Seek(_)
        | KafkaError::Subscription(_) => Meaning::Configuration,
        KafkaError::Canceled => Meaning::Ambiguous,
        KafkaError::NoMessageReceived | KafkaError::PartitionEOF(_) => Meaning::Information,
        _ => code_of(error).map_or(Meaning::Unclassified, |code| meaning(operation, code)),
    }
}

/// The code inside `error`, also where [`KafkaError::rdkafka_error_code`] has none.
pub(crate) fn code_of(error: &KafkaError) -> Option<i32> {
    match error {
        KafkaError::AdminOp(code) => Some(*code as i32),
        _ => error.rdkafka_error_code().map(|code| code as i32),
    }
}

/// The name of `code` for messages, if librdkafka knows it.
pub(crate) fn name(code: i32) -> Option<String> {
    known(code).map(|known| format!("{known:?}"))
}

fn known(code: i32) -> Option<Code> {
    let known = Code::from(RDKafkaRespErr::try_from(code).ok()?);
    // The marks around librdkafka's ranges are no codes: a broker's 130 isn't `EndAll`.
    (!matches!(known, Code::Begin | Code::End | Code::EndAll)).then_some(known)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ffi::CString;
    use std::mem::discriminant;
    use std::time::Duration;

    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaConfRes};

    use super::Operation::{Commit, Connect, Consume, Produce};
    use super::*;

    type TestProducer = ThreadedProducer<DefaultProducerContext>;

    const OPERATIONS: [Operation; 4] = [Produce, Consume, Commit, Connect];
    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn every_known_code_but_three_has_a_meaning() {
        // Codes are 16 bits wide on the wire; the two marks prove that the scan saw the whole enum.
        let all = (i32::from(i16::MIN)..=i32::from(i16::MAX))
            .filter_map(|code| RDKafkaRespErr::try_from(code).ok())
            .map(Code::from)
            .collect::<Vec<_>>();
        assert_eq!(all.first(), Some(&Code::Begin));
        assert_eq!(all.last(), Some(&Code::EndAll));
        for code in all {
            let mark = matches!(code, Code::Begin | Code::End | Code::EndAll);
            let nobody_knows = matches!(code, Code::Unknown | Code::Fail | Code::Application);
            let expected = (!mark).then(|| format!("{code:?}"));
            assert_eq!(name(code as i32), expected, "{code:?}");
            for operation in OPERATIONS {
                let unclassified = meaning(operation, code as i32) == Meaning::Unclassified;
                assert_eq!(unclassified, mark || nobody_knows, "{operation:?} {code:?}");
            }
        }
    }

    #[test]
    fn unknown_codes_are_unclassified_and_nameless() {
        for code in [12345, -777, i32::MIN, i32::MAX, -200, -100, 98, 130] {
            assert_eq!(name(code), None, "{code}");
            for operation in OPERATIONS {
                assert_eq!(meaning(operation, code), Meaning::Unclassified, "{code}");
            }
        }
    }

    #[test]
    fn meanings_and_classes() {
        use ErrorClass as Class;

        #[rustfmt::skip]
        let everywhere = [
            (Code::NotLeaderForPartition, Meaning::Retriable, Class::Retriable),
            (Code::AllBrokersDown, Meaning::Retriable, Class::Retriable),
            (Code::ReassignmentInProgress, Meaning::Retriable, Class::Retriable),
            (Code::QueueFull, Meaning::Backpressure, Class::Unavailable),
            (Code::MessageTimedOut, Meaning::Ambiguous, Class::Retriable),
            (Code::NotEnoughReplicasAfterAppend, Meaning::Ambiguous, Class::Retriable),
            (Code::MessageSizeTooLarge, Meaning::NonRetriable, Class::NonRetriable),
            (Code::InvalidRecord, Meaning::NonRetriable, Class::NonRetriable),
            (Code::ProducerFenced, Meaning::Fatal, Class::Fatal),
            (Code::FencedInstanceId, Meaning::Fatal, Class::Fatal),
            (Code::UnsupportedAssignor, Meaning::Fatal, Class::Fatal),
            (Code::IllegalGeneration, Meaning::GroupState, Class::Retriable),
            (Code::PollExceeded, Meaning::GroupState, Class::Retriable),
            (Code::TopicAuthorizationFailed, Meaning::Configuration, Class::Fatal),
            (Code::InvalidPartitions, Meaning::Configuration, Class::Fatal),
            (Code::OffsetOutOfRange, Meaning::DataGap, Class::Fatal),
            (Code::NoError, Meaning::Information, Class::NonRetriable),
            (Code::DuplicateSequenceNumber, Meaning::Information, Class::NonRetriable),
            (Code::PurgeQueue, Meaning::Shutdown, Class::Retriable),
            (Code::Fail, Meaning::Unclassified, Class::Retriable),
        ];
        for (code, expected, class) in everywhere {
            for operation in OPERATIONS {
                let found = meaning(operation, code as i32);
                assert_eq!(found, expected, "{operation:?} {code:?}");
                assert_eq!(found.class(), class, "{operation:?} {code:?}");
            }
        }

        #[rustfmt::skip]
        let by_operation = [
            (Produce, Code::UnknownTopic, Meaning::Configuration, Class::Fatal),
            (Consume, Code::UnknownTopic, Meaning::TopicMissing, Class::Retriable),
            (Commit, Code::UnknownTopicOrPartition, Meaning::TopicMissing, Class::Retriable),
            (Connect, Code::UnknownTopicId, Meaning::TopicMissing, Class::Retriable),
            (Produce, Code::UnknownPartition, Meaning::NonRetriable, Class::NonRetriable),
            (Consume, Code::UnknownPartition, Meaning::TopicMissing, Class::Retriable),
            (Commit, Code::GroupIdNotFound, Meaning::GroupState, Class::Retriable),
            (Connect, Code::GroupIdNotFound, Meaning::Fatal, Class::Fatal),
            (Produce, Code::BadMessage, Meaning::Ambiguous, Class::Retriable),
            (Consume, Code::BadMessage, Meaning::DataGap, Class::Fatal),
            (Commit, Code::BadMessage, Meaning::Retriable, Class::Retriable),
            (Produce, Code::Underflow, Meaning::Ambiguous, Class::Retriable),
            (Consume, Code::Underflow, Meaning::DataGap, Class::Fatal),
            (Produce, Code::BadCompression, Meaning::Configuration, Class::Fatal),
            (Consume, Code::BadCompression, Meaning::DataGap, Class::Fatal),
            (Produce, Code::SSL, Meaning::Ambiguous, Class::Retriable),
            (Consume, Code::SSL, Meaning::Retriable, Class::Retriable),
            (Connect, Code::SSL, Meaning::Configuration, Class::Fatal),
            (Produce, Code::InvalidArgument, Meaning::NonRetriable, Class::NonRetriable),
            (Commit, Code::InvalidArgument, Meaning::Configuration, Class::Fatal),
            (Produce, Code::InvalidTopic, Meaning::NonRetriable, Class::NonRetriable),
            (Consume, Code::InvalidTopic, Meaning::Configuration, Class::Fatal),
            (Produce, Code::PolicyViolation, Meaning::NonRetriable, Class::NonRetriable),
            (Connect, Code::PolicyViolation, Meaning::Configuration, Class::Fatal),
            (Produce, Code::State, Meaning::Abortable, Class::Retriable),
            (Commit, Code::State, Meaning::GroupState, Class::Retriable),
            (Connect, Code::State, Meaning::Configuration, Class::Fatal),
        ];
        for (operation, code, expected, class) in by_operation {
            let found = meaning(operation, code as i32);
            assert_eq!(found, expected, "{operation:?} {code:?}");
            assert_eq!(found.class(), class, "{operation:?} {code:?}");
        }

        assert_eq!(meaning(Produce, 120), Meaning::Abortable);
        assert_eq!(Meaning::Abortable.class(), Class::Retriable);
        assert_eq!(name(120), None);
    }

    #[test]
    fn every_kafka_error_has_a_meaning() {
        let text = || String::from("text");
        let invalid = RDKafkaConfRes::RD_KAFKA_CONF_INVALID;
        let no_transactions = ClientConfig::new().create::<TestProducer>().unwrap();
        let code = Code::NotCoordinator;
        #[rustfmt::skip]
        let errors = [
            (KafkaError::AdminOpCreation(text()), None, Meaning::Configuration),
            (KafkaError::AdminOp(Code::TopicAlreadyExists), Some(36), Meaning::Information),
            (KafkaError::Canceled, None, Meaning::Ambiguous),
            (KafkaError::ClientConfig(invalid, text(), text(), text()), None, Meaning::Configuration),
            (KafkaError::ClientCreation(text()), None, Meaning::Configuration),
            (KafkaError::ConsumerCommit(Code::RebalanceInProgress), Some(27), Meaning::GroupState),
            (KafkaError::ConsumerQueueClose(code), Some(16), Meaning::Retriable),
            (KafkaError::Flush(Code::OperationTimedOut), Some(-185), Meaning::Ambiguous),
            (KafkaError::Global(Code::Fatal), Some(-150), Meaning::Fatal),
            (KafkaError::GroupListFetch(code), Some(16), Meaning::Retriable),
            (KafkaError::MessageConsumption(Code::LogTruncation), Some(-139), Meaning::DataGap),
            (KafkaError::MessageConsumptionFatal(code), Some(16), Meaning::Fatal),
            (KafkaError::MessageProduction(Code::QueueFull), Some(-184), Meaning::Backpressure),
            (KafkaError::MetadataFetch(code), Some(16), Meaning::Retriable),
            (KafkaError::NoMessageReceived, None, Meaning::Information),
            (KafkaError::Nul(CString::new("\0").unwrap_err()), None, Meaning::Configuration),
            (KafkaError::OffsetFetch(code), Some(16), Meaning::Retriable),
            (KafkaError::PartitionEOF(7), None, Meaning::Information),
            (KafkaError::PauseResume(text()), None, Meaning::Configuration),
            (KafkaError::Rebalance(code), Some(16), Meaning::Retriable),
            (KafkaError::Seek(text()), None, Meaning::Configuration),
            (KafkaError::SetPartitionOffset(code), Some(16), Meaning::Retriable),
            (KafkaError::StoreOffset(Code::PurgeQueue), Some(-152), Meaning::Shutdown),
            (KafkaError::Subscription(text()), None, Meaning::Configuration),
            (no_transactions.begin_transaction().unwrap_err(), Some(-145), Meaning::Configuration),
            (KafkaError::MockCluster(Code::InvalidRecord), Some(87), Meaning::NonRetriable),
        ];
        let variants = errors.iter().map(|(error, ..)| discriminant(error));
        assert_eq!(variants.collect::<HashSet<_>>().len(), errors.len());
        for (error, code, expected) in &errors {
            assert_eq!(code_of(error), *code, "{error:?}");
            for operation in OPERATIONS {
                assert_eq!(meaning_of(operation, error), *expected, "{error:?}");
            }
        }
    }

    #[test]
    fn flags_outrank_the_code_of_a_transaction_error() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("topic", 1, 1).unwrap();
        let producer = |servers: &str| {
            ClientConfig::new()
                .set("bootstrap.servers", servers)
                .set("transactional.id", "codes")
                .create::<TestProducer>()
                .unwrap()
        };
        let check = |error: KafkaError, code: Code, unflagged, expected| {
            assert_eq!(code_of(&error), Some(code as i32));
            assert_eq!(meaning(Produce, code as i32), unflagged);
            assert_eq!(meaning_of(Produce, &error), expected);
        };

        let aborting = producer(&cluster.bootstrap_servers());
        let error = aborting.begin_transaction().unwrap_err();
        check(error, Code::State, Meaning::Abortable, Meaning::Fatal);

        aborting.init_transactions(TIMEOUT).unwrap();
        aborting.begin_transaction().unwrap();
        let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
        cluster.request_errors(RDKafkaApiKey::AddPartitionsToTxn, &refused);
        let record = || BaseRecord::<(), ()>::to("topic");
        aborting.send(record()).unwrap();
        let error = aborting.commit_transaction(TIMEOUT).unwrap_err();
        let code = Code::TopicAuthorizationFailed;
        check(error, code, Meaning::Configuration, Meaning::Abortable);
        let (error, _) = aborting.send(record()).unwrap_err();
        assert_eq!(error, KafkaError::MessageProduction(Code::State));
        assert_eq!(meaning_of(Produce, &error), Meaning::Abortable);

        let fatal = producer(&cluster.bootstrap_servers());
        let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED];
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &refused);
        let error = fatal.init_transactions(TIMEOUT).unwrap_err();
        let code = Code::ClusterAuthorizationFailed;
        check(error, code, Meaning::Configuration, Meaning::Fatal);

        let unreachable = producer("127.0.0.1:1");
        let error = unreachable
            .init_transactions(Duration::from_millis(10))
            .unwrap_err();
        let code = Code::OperationTimedOut;
        check(error, code, Meaning::Ambiguous, Meaning::Retriable);
    }
}
