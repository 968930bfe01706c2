//! librdkafka's mock cluster: brokers inside this process, on loopback ports.
//!
//! rdkafka's own `MockCluster` lacks the setting of a group's first rebalance, which makes the
//! difference between 0.2 and 3 seconds to the first record.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_int},
    ptr::NonNull,
    sync::Arc,
};

use rdkafka::{
    ClientConfig, bindings as rd,
    client::Client,
    error::KafkaError,
    types::{RDKafkaErrorCode, RDKafkaType},
};

use crate::client::logging::Logging;

pub(crate) struct MockCluster {
    cluster: NonNull<rd::rd_kafka_mock_cluster_t>,
    // Dropped after the cluster, which lives on this client's threads.
    _client: Client<Logging>,
}

// SAFETY: the mock cluster's functions hand their work over to its own thread and may be called
// from any.
unsafe impl Send for MockCluster {}
// SAFETY: as above.
unsafe impl Sync for MockCluster {}

impl MockCluster {
    pub(crate) fn new(brokers: u16) -> Result<Arc<Self>, KafkaError> {
        let config = ClientConfig::new();
        let native = config.create_native_config()?;
        let client = Client::new(&config, native, RDKafkaType::RD_KAFKA_PRODUCER, Logging)?;
        // SAFETY: the client is valid and outlives the cluster.
        let cluster =
            unsafe { rd::rd_kafka_mock_cluster_new(client.native_ptr(), c_int::from(brokers)) };
        let cluster =
            NonNull::new(cluster).ok_or(KafkaError::MockCluster(RDKafkaErrorCode::Fail))?;
        // SAFETY: the cluster is valid.
        unsafe { rd::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster.as_ptr(), 0) };
        Ok(Arc::new(Self {
            cluster,
            _client: client,
        }))
    }

    pub(crate) fn bootstrap_servers(&self) -> String {
        // SAFETY: the text ends with a NUL and lives as long as the cluster.
        unsafe { CStr::from_ptr(rd::rd_kafka_mock_cluster_bootstraps(self.cluster.as_ptr())) }
            .to_string_lossy()
            .into_owned()
    }

    pub(crate) fn create_topic(
        &self,
        name: &CStr,
        partitions: i32,
        replicas: i32,
    ) -> Result<(), KafkaError> {
        // SAFETY: the cluster is valid, and the name is copied.
        check(unsafe {
            rd::rd_kafka_mock_topic_create(
                self.cluster.as_ptr(),
                name.as_ptr(),
                partitions,
                replicas,
            )
        })
    }

    pub(crate) fn fail_requests(&self, api_key: i16, codes: &[i32]) {
        // SAFETY: the cluster is valid; librdkafka copies `codes.len()` integers, which is what a
        // C enum is, and reads them as integers.
        unsafe {
            rd::rd_kafka_mock_push_request_errors_array(
                self.cluster.as_ptr(),
                api_key,
                codes.len(),
                codes.as_ptr().cast(),
            );
        }
    }

    pub(crate) fn clear_failures(&self, api_key: i16) {
        // SAFETY: the cluster is valid.
        unsafe { rd::rd_kafka_mock_clear_request_errors(self.cluster.as_ptr(), api_key) }
    }

    pub(crate) fn set_broker_down(&self, broker: i32) -> Result<(), KafkaError> {
        // SAFETY: the cluster is valid; an unknown broker is an error.
        check(unsafe { rd::rd_kafka_mock_broker_set_down(self.cluster.as_ptr(), broker) })
    }

    pub(crate) fn set_broker_up(&self, broker: i32) -> Result<(), KafkaError> {
        // SAFETY: the cluster is valid; an unknown broker is an error.
        check(unsafe { rd::rd_kafka_mock_broker_set_up(self.cluster.as_ptr(), broker) })
    }
}

fn check(code: rd::rd_kafka_resp_err_t) -> Result<(), KafkaError> {
    match code {
        rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(KafkaError::MockCluster(code.into())),
    }
}

impl Drop for MockCluster {
    fn drop(&mut self) {
        // SAFETY: the cluster is ours, is destroyed once, and before its client.
        unsafe { rd::rd_kafka_mock_cluster_destroy(self.cluster.as_ptr()) };
    }
}

/// A name for C.
pub(crate) fn c_name(name: &str) -> Result<CString, KafkaError> {
    CString::new(name).map_err(KafkaError::Nul)
}
