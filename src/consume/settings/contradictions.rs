use super::ConsumerSettings;

impl ConsumerSettings {
    /// What would undo a promise, or can't work.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, problem: &str| {
            if wrong {
                problems.push(problem.to_owned());
            }
        };
        let get = |name| self.properties.get(name);
        for (name, why) in [
            (
                "enable.auto.commit",
                "librdkafka would commit records that are not complete; leave it out, \
                 `commit_interval` says how often complete ones are committed",
            ),
            (
                "auto.commit.enable",
                "librdkafka would commit records that are not complete; leave it out, \
                 `commit_interval` says how often complete ones are committed",
            ),
            (
                "enable.auto.offset.store",
                "librdkafka would count a record as handled when it hands it over; leave it out",
            ),
        ] {
            let on = get(name).is_some_and(|value| !is_false(value));
            refuse(on, &format!("`{name}` can't be on: {why}"));
        }
        for (name, what) in [
            ("session.timeout.ms", "the session timeout"),
            ("max.poll.interval.ms", "the poll interval"),
        ] {
            let zero = get(name).is_some_and(|value| value.trim() == "0");
            refuse(zero, &format!("{what} (`{name}`) is 0: set 1 ms or more"));
        }
        let milliseconds =
            |name, default: u64| get(name).map_or(Some(default), |value| value.trim().parse().ok());
        // librdkafka's defaults where one of them isn't set.
        let session = milliseconds("session.timeout.ms", 45_000);
        let poll = milliseconds("max.poll.interval.ms", 300_000);
        if let (Some(session), Some(poll)) = (session, poll)
            && session > poll
            && !self.broker_assigns()
        {
            refuse(
                true,
                &format!(
                    "the session timeout (`session.timeout.ms`, {session}) is longer than the poll \
                     interval (`max.poll.interval.ms`, {poll}): raise `max_poll_interval` or lower \
                     `session_timeout`"
                ),
            );
        }
        refuse(
            self.commit_interval.is_zero(),
            "`commit_interval` is 0: set 1 ms or more, 500 ms is the default",
        );
        refuse(
            self.drain_timeout.is_zero(),
            "`drain_timeout` is 0, so that every shutdown would cut off what runs: set 1 ms or more",
        );
        for (name, value) in [
            ("max_in_flight", self.max_in_flight),
            ("max_waiting", self.max_waiting),
            ("max_bytes", self.max_bytes),
            ("expected_partitions", self.expected_partitions),
            ("dispatchers", self.dispatchers.unwrap_or(1)),
            ("max_offset_span", usize::from(self.max_offset_span > 0)),
        ] {
            refuse(
                value == 0,
                &format!("`{name}` is 0, so that nothing could be dispatched: set 1 or more"),
            );
        }
        if self.broker_assigns() {
            for name in [
                "partition.assignment.strategy",
                "session.timeout.ms",
                "heartbeat.interval.ms",
            ] {
                refuse(
                    get(name).is_some(),
                    &format!(
                        "`{name}` is the broker's to set with `group.protocol=consumer`: leave it \
                         out, or leave out `group.protocol`"
                    ),
                );
            }
        }
        problems
    }

    /// The protocol of KIP-848.
    pub(crate) fn broker_assigns(&self) -> bool {
        self.properties
            .get("group.protocol")
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"))
    }
}

/// As librdkafka reads a boolean.
fn is_false(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "f" | "0")
}
