//! What the poll thread looks for by itself, since nobody tells it.

use std::time::{Duration, Instant};

use super::{Driver, told::Silence};
use crate::{client::native::member, record::chunk::Origin};

/// How often all lanes are looked at, for what a wake-up that librdkafka or a log subscriber
/// swallowed would cost, and for where their partitions end.
const LOOK: Duration = Duration::from_secs(1);

impl Driver {
    /// Looks at every lane now and then, and for brokers that are back: librdkafka tells only that all
    /// of them are gone.
    pub(super) fn look_at_lanes(&mut self) {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        let now = Instant::now();
        self.looked_at = Some(now);
        let mut reachable = self.control.meters.brokers_reachable();
        if reachable == Some(false) && member::reaches_a_broker(&self.consumer) {
            self.hear();
            reachable = Some(true);
        }
        for (generation, lane) in &mut self.lanes {
            if lane.stopped {
                continue;
            }
            let Origin {
                topic, partition, ..
            } = &*lane.origin;
            // Until it is fetched from librdkafka tells the end of a former assignment.
            if lane.silence == Silence::Over
                && let Some(end) = member::known_end(&self.consumer, topic, *partition)
            {
                lane.view.set_end(end);
            }
            if reachable != Some(true) || lane.paused || self.starved.contains(generation) {
                lane.silence.put_off(now);
            } else if lane.silence.is_news(now) {
                tracing::warn!(
                    target: "kafka_tower", %topic, partition,
                    "assigned, and nothing could be fetched for long: its leader may be away; if the \
                     topic, or the cluster, was made anew, start the process again"
                );
            }
            lane.view.look(self.control.started.elapsed());
            lane.bell.ring();
        }
    }

    /// That of a partition that is being opened.
    pub(super) fn silence(&self) -> Silence {
        let wait = self.config.get("fetch.wait.max.ms");
        // librdkafka's default is half a second.
        let wait = wait.and_then(|wait| wait.parse().ok()).unwrap_or(500);
        Silence::new(Instant::now(), Duration::from_millis(wait))
    }
}
