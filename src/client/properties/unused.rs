//! Settings that librdkafka takes and that would change nothing here.

use super::{ClientKind, Properties};

pub(super) fn problems(properties: &Properties, kind: ClientKind) -> Vec<String> {
    let mut problems = Vec::new();
    let statistics = properties.get("statistics.interval.ms");
    if statistics.is_some_and(|every| every.trim() != "0") {
        let instead = match kind {
            ClientKind::Producer => "`Publisher::in_flight` and `OtelMetrics` tell how it fares",
            ClientKind::Consumer => "`ConsumerHandle::stats` and `OtelMetrics` tell how it fares",
        };
        problems.push(format!(
            "`statistics.interval.ms` would have no effect, since nobody is given librdkafka's \
             statistics: leave it out, {instead}"
        ));
    }
    if kind == ClientKind::Consumer && properties.get("auto.commit.interval.ms").is_some() {
        problems.push(
            "`auto.commit.interval.ms` would have no effect: leave it out, `commit_interval` says \
             how often complete records are committed"
                .to_owned(),
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    use ClientKind::{Consumer, Producer};

    use super::*;

    fn problems_of(kind: ClientKind, name: &str, value: &str) -> Vec<String> {
        let mut properties = Properties::default();
        properties.set("bootstrap.servers", "localhost:9092");
        properties.set("group.id", "orders");
        properties.set(name, value);
        properties.problems(kind)
    }

    #[test]
    fn statistics_that_nobody_would_get_are_refused() {
        let name = "statistics.interval.ms";
        for (kind, instead) in [
            (Producer, "`Publisher::in_flight`"),
            (Consumer, "`ConsumerHandle::stats`"),
        ] {
            assert_eq!(problems_of(kind, name, "0"), [""; 0]);
            let problems = problems_of(kind, name, "5000");
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(name), "{problems:?}");
            assert!(problems[0].contains(instead), "{problems:?}");
        }
    }

    #[test]
    fn the_interval_of_commits_that_are_never_on_is_refused() {
        let problems = problems_of(Consumer, "auto.commit.interval.ms", "500");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("`commit_interval`"), "{problems:?}");
    }
}
