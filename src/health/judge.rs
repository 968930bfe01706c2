//! What is well and what isn't: plain data in, plain data out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    consume::{ConsumerStats, PartitionStatus},
    layers::circuit_breaker::CircuitState,
};

/// A poll thread polls several times a second, whatever its service does.
const POLLS: Duration = Duration::from_secs(30);

/// How a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Everything up to its end is complete.
    Idle,
    /// Calls run.
    Working,
    /// Nothing was fetched of it yet.
    Unread,
    /// There is something to do, and none of it runs: it waits for a retry, for its service, or to be
    /// fetched.
    Waiting,
    Paused,
    /// Calls run, and none has ended for long.
    Stuck,
}

impl State {
    pub(super) fn of(partition: &PartitionStatus, stuck_after: Duration) -> Self {
        match partition {
            one if one.busy_for.is_some_and(|time| time >= stuck_after) => Self::Stuck,
            one if one.paused => Self::Paused,
            one if one.in_flight > 0 || one.busy_for.is_some() => Self::Working,
            one if one.waiting > 0 || one.lag.is_some_and(|lag| lag > 0) => Self::Waiting,
            one if one.end.is_none() => Self::Unread,
            _ => Self::Idle,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Working => "working",
            Self::Unread => "unread",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Stuck => "stuck",
        }
    }
}

/// Why a consumer needs a restart; nothing where it doesn't.
pub(super) fn not_live(
    name: &str,
    stats: &ConsumerStats,
    partitions: &[PartitionStatus],
    stuck_after: Duration,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if stats.failed {
        reasons.push(format!("{name} has ended with an error"));
    }
    if let Some(time) = stats.since_poll.filter(|time| *time >= POLLS) {
        reasons.push(format!("{name} has not polled for {} s", time.as_secs()));
    }
    // What runs may wait for brokers as well, and a new process could consume nothing.
    let brokers_are_gone = stats.brokers_reachable == Some(false);
    for one in partitions {
        if State::of(one, stuck_after) == State::Stuck && !brokers_are_gone {
            reasons.push(format!(
                "{name} is stuck at {}/{}: calls run, and none has ended for {} s",
                one.topic,
                one.partition,
                one.busy_for.unwrap_or_default().as_secs()
            ));
        }
    }
    reasons
}

/// Why a consumer isn't at work.
pub(super) fn not_ready(name: &str, stats: &ConsumerStats) -> Option<String> {
    if stats.members == 0 {
        return Some(format!("{name} is not running"));
    }
    if stats.brokers_reachable == Some(false) {
        return Some(format!("{name} reaches no broker"));
    }
    let (assigned, members) = (stats.members_assigned, stats.members);
    match stats.rebalances {
        _ if assigned == members => None,
        0 => Some(format!("{name} has not joined its group yet")),
        _ => Some(format!(
            "{name} waits for its group: {assigned} of {members} members have their partitions"
        )),
    }
}

pub(super) fn consumer(
    name: &str,
    stats: &ConsumerStats,
    partitions: &[PartitionStatus],
    stuck_after: Duration,
) -> Value {
    let partitions = partitions.iter().map(|one| {
        json!({
            "topic": one.topic,
            "partition": one.partition,
            "state": State::of(one, stuck_after).name(),
            "committed": one.committed,
            "end": one.end,
            "lag": one.lag,
            "in_flight": one.in_flight,
            "waiting": one.waiting,
            "seconds_since_progress": one.last_progress.map(seconds),
            "seconds_busy": one.busy_for.map(seconds),
        })
    });
    json!({
        "name": name,
        "members": stats.members,
        "members_assigned": stats.members_assigned,
        "seconds_since_poll": stats.since_poll.map(seconds),
        "brokers_reachable": stats.brokers_reachable,
        "failed": stats.failed,
        "rebalances": stats.rebalances,
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

pub(super) fn circuit(name: &str, state: CircuitState, open: usize) -> Value {
    let state = match state {
        CircuitState::Closed => "closed",
        CircuitState::HalfOpen => "half-open",
        CircuitState::Open => "open",
    };
    json!({ "name": name, "state": state, "open_circuits": open })
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn partition() -> PartitionStatus {
        PartitionStatus {
            topic: "orders".to_owned(),
            partition: 3,
            committed: Some(7),
            end: Some(7),
            lag: Some(0),
            in_flight: 0,
            waiting: 0,
            paused: false,
            last_progress: None,
            busy_for: None,
        }
    }

    fn busy(seconds: u64) -> PartitionStatus {
        PartitionStatus {
            in_flight: 1,
            lag: Some(1),
            busy_for: Some(Duration::from_secs(seconds)),
            ..partition()
        }
    }

    fn polled(seconds: u64, brokers_reachable: Option<bool>) -> ConsumerStats {
        ConsumerStats {
            members: 1,
            members_assigned: 1,
            rebalances: 1,
            since_poll: Some(Duration::from_secs(seconds)),
            brokers_reachable,
            ..ConsumerStats::default()
        }
    }

    #[test]
    fn a_state_is_what_matters_most() {
        let paused = |one| PartitionStatus {
            paused: true,
            ..one
        };
        let waiting = PartitionStatus {
            waiting: 1,
            ..partition()
        };
        let lagging = PartitionStatus {
            lag: Some(1),
            ..partition()
        };
        let in_flight = PartitionStatus {
            in_flight: 1,
            ..partition()
        };
        let unread = PartitionStatus {
            end: None,
            lag: None,
            ..partition()
        };
        // In the `call` of its service, which hasn't returned.
        let blocking = PartitionStatus {
            in_flight: 0,
            ..busy(1)
        };
        for (one, expected) in [
            (partition(), State::Idle),
            (lagging, State::Waiting),
            (waiting.clone(), State::Waiting),
            (paused(waiting), State::Paused),
            (busy(59), State::Working),
            (in_flight, State::Working),
            (blocking, State::Working),
            (busy(60), State::Stuck),
            (paused(busy(59)), State::Paused),
            (paused(busy(60)), State::Stuck),
            (unread.clone(), State::Unread),
            (paused(unread), State::Paused),
        ] {
            assert_eq!(State::of(&one, LIMIT), expected, "{one:?}");
        }
    }

    #[test]
    fn a_restart_helps_who_does_not_poll_or_is_stuck() {
        let reasons = |stats, one| not_live("shop", &stats, &[partition(), one], LIMIT);
        let reachable = Some(true);
        assert_eq!(reasons(polled(29, reachable), busy(59)), [""; 0]);
        assert_eq!(
            reasons(polled(30, reachable), busy(59)),
            ["shop has not polled for 30 s"]
        );
        assert_eq!(
            reasons(polled(0, reachable), busy(60)),
            ["shop is stuck at orders/3: calls run, and none has ended for 60 s"]
        );
    }

    #[test]
    fn a_restart_helps_who_has_failed_and_not_who_has_stopped() {
        let ended = ConsumerStats::default();
        assert_eq!(not_live("shop", &ended, &[], LIMIT), [""; 0]);
        let failed = ConsumerStats {
            failed: true,
            ..ended
        };
        let reasons = not_live("shop", &failed, &[], LIMIT);
        assert_eq!(reasons, ["shop has ended with an error"]);
    }

    #[test]
    fn nobody_is_restarted_because_brokers_are_away() {
        let live = |brokers| not_live("shop", &polled(0, brokers), &[busy(60)], LIMIT).is_empty();
        assert!(live(Some(false)));
        assert!(!live(Some(true)) && !live(None));
    }

    #[test]
    fn who_is_at_work_is_ready() {
        let reason = |change: fn(&mut ConsumerStats)| {
            let mut stats = polled(0, Some(true));
            change(&mut stats);
            not_ready("shop", &stats)
        };
        assert_eq!(reason(|_| ()), None);
        // Unknown, as long as nothing was heard.
        assert_eq!(reason(|stats| stats.brokers_reachable = None), None);
        let not_running = Some("shop is not running".to_owned());
        assert_eq!(reason(|stats| stats.members = 0), not_running);
        let no_broker = Some("shop reaches no broker".to_owned());
        assert_eq!(
            reason(|stats| stats.brokers_reachable = Some(false)),
            no_broker
        );
        let not_joined = Some("shop has not joined its group yet".to_owned());
        let begins =
            |stats: &mut ConsumerStats| (stats.rebalances, stats.members_assigned) = (0, 0);
        assert_eq!(reason(begins), not_joined);
        // A KIP-848 broker has said nothing, for there is no partition for it.
        assert_eq!(reason(|stats| stats.rebalances = 0), None);
        let waits = "shop waits for its group: 1 of 2 members have their partitions";
        assert_eq!(reason(|stats| stats.members = 2).as_deref(), Some(waits));
    }

    /// Others read it by its names.
    #[test]
    fn what_is_told_has_these_names() {
        let one = PartitionStatus {
            end: Some(12),
            lag: Some(5),
            in_flight: 2,
            waiting: 1,
            last_progress: Some(Duration::from_micros(1_234_567)),
            busy_for: Some(LIMIT),
            ..partition()
        };
        let told = consumer("shop", &polled(3, Some(true)), &[one], LIMIT);
        let expected = json!({
            "name": "shop",
            "members": 1,
            "members_assigned": 1,
            "seconds_since_poll": 3.0,
            "brokers_reachable": true,
            "failed": false,
            "rebalances": 1,
            "partitions": [{
                "topic": "orders",
                "partition": 3,
                "state": "stuck",
                "committed": 7,
                "end": 12,
                "lag": 5,
                "in_flight": 2,
                "waiting": 1,
                "seconds_since_progress": 1.235,
                "seconds_busy": 60.0,
            }],
        });
        assert_eq!(told, expected);
        for (state, name) in [
            (CircuitState::Closed, "closed"),
            (CircuitState::HalfOpen, "half-open"),
            (CircuitState::Open, "open"),
        ] {
            let expected = json!({ "name": "database", "state": name, "open_circuits": 2 });
            assert_eq!(circuit("database", state, 2), expected);
        }
    }
}
