use super::ConsumerSettings;

/// Kafka's own default for `max.partition.fetch.bytes`.
const MOST_A_FETCH: usize = 1 << 20;
/// Below, a fetch is mostly overhead.
const LEAST_A_FETCH: usize = 16 << 10;
/// librdkafka's floor for `fetch.max.bytes`, its `message.max.bytes`.
const LEAST_A_RESPONSE: usize = 1_000_000;
/// What librdkafka takes for `queued.max.messages.kbytes`.
const MOST_KBYTES: usize = 2_097_151;
/// What `receive.message.max.bytes` has to be larger than `fetch.max.bytes`.
const OVERHEAD: usize = 512;
/// Kafka's own default for `fetch.max.bytes`.
const MOST_A_RESPONSE: usize = 50 << 20;

impl ConsumerSettings {
    /// What records that were read and are not complete may take.
    pub(crate) fn held_bytes(&self) -> usize {
        self.max_bytes.div_ceil(2)
    }

    /// What librdkafka may fetch ahead: each partition's queue, filled until it is over its limit,
    /// so by one more fetch at most, and the whole responses that its records are part of.
    pub(crate) fn fetch_limits(&self) -> [(&'static str, usize); 3] {
        let ahead = self.max_bytes / 2;
        let each = ahead / self.expected_partitions.max(1);
        let fetch = (each / 2).clamp(LEAST_A_FETCH, MOST_A_FETCH);
        let queue = each.saturating_sub(fetch).max(LEAST_A_FETCH);
        // librdkafka wants the response between these two.
        let set = |name, default| {
            let value = self.properties.get(name);
            value
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(default)
        };
        let least: usize = set("message.max.bytes", LEAST_A_RESPONSE);
        let most = set("receive.message.max.bytes", usize::MAX).saturating_sub(OVERHEAD);
        let response = (ahead / 4)
            .clamp(LEAST_A_RESPONSE, MOST_A_RESPONSE)
            .max(least)
            .min(most);
        [
            (
                "queued.max.messages.kbytes",
                (queue / 1024).min(MOST_KBYTES),
            ),
            ("max.partition.fetch.bytes", fetch),
            ("fetch.max.bytes", response),
        ]
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    #[test]
    fn librdkafka_takes_whatever_follows() {
        let settings = || ConsumerSettings::new("127.0.0.1:1", "group").expected_partitions(1);
        for settings in [
            settings().max_bytes(usize::MAX),
            settings().max_bytes(1),
            settings().set("message.max.bytes", "20000000"),
            settings().set("receive.message.max.bytes", "2000000"),
            settings().max_bytes(1).expected_partitions(usize::MAX),
        ] {
            let config = settings
                .build()
                .expect("sound settings")
                .client_config(None);
            let created = config.create::<BaseConsumer>();
            assert!(created.is_ok(), "{:?}", created.err());
        }
    }

    #[test]
    fn the_queues_of_the_expected_partitions_take_half() {
        for (bytes, partitions) in [(128 << 20, 16), (64 << 20, 1_000), (1 << 30, 4)] {
            let settings = ConsumerSettings::new("localhost:9092", "group")
                .max_bytes(bytes)
                .expected_partitions(partitions);
            let [(_, kbytes), (_, fetch), _] = settings.fetch_limits();
            let taken = (kbytes * 1024 + fetch) * partitions;
            assert!(taken <= bytes / 2, "{taken} of {bytes} for {partitions}");
        }
    }
}
