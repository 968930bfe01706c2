use std::time::Duration;

use rdkafka::ClientConfig;

use super::{ConsumerSettings, OnUnhandled, engine::Bounds};
use crate::{client::logging::Logging, error::ConfigError, otel::semconv::SemConv};

/// A member of a consumer group, ready to be given to [`serve`](crate::serve).
///
/// It connects when it is served.
#[derive(Debug)]
#[must_use = "a consumer does nothing until it is served"]
pub struct Consumer {
    settings: ConsumerSettings,
}

impl Consumer {
    /// A consumer with the defaults of [`ConsumerSettings::new`].
    ///
    /// # Errors
    ///
    /// All problems of the settings at once.
    pub fn new(brokers: impl Into<String>, group: impl Into<String>) -> Result<Self, ConfigError> {
        ConsumerSettings::new(brokers, group).build()
    }

    /// A consumer with these settings.
    ///
    /// # Errors
    ///
    /// All problems of the settings at once.
    pub fn with_settings(settings: ConsumerSettings) -> Result<Self, ConfigError> {
        settings.build()
    }

    pub(super) fn new_from(settings: ConsumerSettings) -> Self {
        Self { settings }
    }

    pub(super) fn topics(&self) -> &[String] {
        &self.settings.topics
    }

    /// For the member of this number, if there are several.
    pub(super) fn client_config(&self, number: Option<usize>) -> ClientConfig {
        let mut properties = self.settings.properties.clone();
        if let (Some(number), Some(id)) = (number, properties.get("group.instance.id")) {
            let id = format!("{id}-{number}");
            properties.set("group.instance.id", id);
        }
        // Only a lane's watermark is ever committed.
        properties.set("enable.auto.commit", "false");
        properties.set("enable.auto.offset.store", "false");
        let chosen = properties.get("partition.assignment.strategy").is_some();
        if !chosen && !self.settings.broker_assigns() {
            properties.set("partition.assignment.strategy", "cooperative-sticky");
        }
        properties.set("enable.partition.eof", "true");
        for (name, value) in self.settings.fetch_limits() {
            if properties.get(name).is_none() {
                properties.set(name, value.to_string());
            }
        }
        let mut config = properties.client_config();
        config.set_log_level(Logging::level());
        config
    }

    pub(super) fn bounds(&self, on_unhandled: OnUnhandled) -> Bounds {
        Bounds {
            ordering: self.settings.ordering,
            max_in_flight: self.settings.max_in_flight,
            max_waiting: self.settings.max_waiting,
            max_offset_span: self.settings.max_offset_span,
            on_unhandled,
        }
    }

    /// How many tasks dispatch, unless the runtime decides.
    pub(super) fn dispatchers(&self) -> Option<usize> {
        self.settings.dispatchers
    }

    pub(super) fn spawns_handlers(&self) -> bool {
        self.settings.spawn_handlers
    }

    pub(super) fn limits(&self) -> Limits {
        let max_poll_interval = self
            .settings
            .properties
            .get("max.poll.interval.ms")
            .and_then(|value| value.trim().parse().ok())
            .map_or(Duration::from_secs(300), Duration::from_millis);
        Limits {
            held_bytes: self.settings.held_bytes(),
            drain: self.settings.drain_timeout.min(max_poll_interval / 2),
            commit_interval: self.settings.commit_interval,
            semconv: self.settings.semconv,
        }
    }
}

/// What the poll thread keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) held_bytes: usize,
    pub(super) drain: Duration,
    pub(super) commit_interval: Duration,
    pub(super) semconv: SemConv,
}
