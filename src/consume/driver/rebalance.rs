//! Rebalances, in the order that loses and repeats nothing: stop dispatch, drain while polling,
//! commit, and only then give the partitions up.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rdkafka::consumer::Consumer;

use super::{
    CANCEL_GRACE, Driver,
    commit::COMMIT_TIME,
    context::{Partitions, Rebalance, answer, list},
};
use crate::{
    client::native::{
        commit::{self, Committed},
        member,
    },
    consume::{lifecycle::Moment, metadata::Metadata, summary::Undone},
    record::Lease,
};

/// How long the group's coordinator may take to say what was committed. Without an answer
/// librdkafka asks again, and the attempts of the last owner are not known.
const ASK_TIME: Duration = Duration::from_secs(2);

/// How long after the loss of its partitions a member may still show the epoch that it had: until librdkafka
/// has stopped to fetch them.
const OLD_EPOCH: Duration = Duration::from_secs(1);

/// Partitions that are being given up.
pub(super) struct Revocation {
    partitions: Partitions,
    generations: Vec<u64>,
    stage: Stage,
    until: Instant,
}

enum Stage {
    /// Running records may finish.
    Draining,
    /// They were told to end.
    Cancelling,
    /// The watermarks were sent.
    Committing,
}

impl Driver {
    /// Takes the group's next event up, one at a time.
    pub(super) fn serve_rebalances(&mut self) {
        while self.revocation.is_none()
            && let Some(rebalance) = self.consumer.context().next_rebalance()
        {
            self.control.meters.rebalances.add_one();
            match rebalance {
                Rebalance::Assign(partitions) => {
                    // A broker has said so.
                    self.hear();
                    self.assign(&partitions);
                }
                Rebalance::Revoke(partitions) => self.revoke(partitions),
            }
        }
    }

    /// With KIP-848 nobody says so when there is nothing for this member: it is in the group, and that
    /// is all.
    pub(super) fn notice_an_empty_assignment(&mut self) {
        let meters = &self.control.meters;
        if !meters.is_assigned()
            && self.revocation.is_none()
            && self.lost_at.is_none_or(|at| at.elapsed() >= OLD_EPOCH)
            && self.config.get("group.protocol") == Some("consumer")
            && member::generation(&self.consumer).is_some_and(|epoch| epoch > 0)
        {
            meters.set_assigned(true);
            self.assigned_once = true;
            self.hear();
        }
    }

    fn assign(&mut self, partitions: &Partitions) {
        match partitions.is_empty() {
            false => tracing::info!(target: "kafka_tower", ?partitions, "assigned"),
            true => tracing::debug!(target: "kafka_tower", "nothing more is assigned"),
        }
        self.assigned_once = true;
        self.told.forget();
        // Who is about to leave takes the partitions, since the group waits for that, and doesn't
        // read them.
        if self.end.is_none() && !partitions.is_empty() {
            let answer = self.ask_committed(partitions);
            let is_known = answer.is_some();
            let mut committed = answer.unwrap_or_default();
            let generation = member::generation(&self.consumer);
            self.close_lanes(partitions.clone(), Some(Undone::Lost));
            for (topic, partition) in partitions {
                let (start, known) = match committed.remove(&(topic.clone(), *partition)) {
                    Some(one) => {
                        let known = Metadata::decode(&one.metadata, one.offset);
                        self.undone.is_committed(topic, *partition, one.offset);
                        (Some(one.offset), known)
                    }
                    None if !is_known => (None, Metadata::default()),
                    None => {
                        tracing::info!(
                            target: "kafka_tower", topic, partition,
                            "the group has committed nothing here; `offset_reset` says where it begins"
                        );
                        (None, Metadata::default())
                    }
                };
                let number = generation.map_or(0, |one| match is_known {
                    true => known.next_owner(one),
                    false => Metadata::unknown_owner(one),
                });
                let lease = Lease::new(number);
                self.open_lane(topic, *partition, start, &known, lease);
            }
            self.hooks.tell(Moment::Assigned(partitions.clone()));
        }
        answer(&self.consumer, true, &list(partitions));
        self.control.meters.set_assigned(true);
    }

    /// `None`: there was no answer.
    fn ask_committed(&self, partitions: &Partitions) -> Option<HashMap<(String, i32), Committed>> {
        let committed = commit::committed(&self.consumer, list(partitions), ASK_TIME);
        let committed = committed.inspect_err(|error| {
            tracing::warn!(
                target: "kafka_tower", %error,
                "the attempts at incomplete records of an earlier owner are not known"
            );
        });
        let committed = committed.ok()?.into_iter();
        Some(
            committed
                .map(|one| ((one.topic.clone(), one.partition), one))
                .collect(),
        )
    }

    fn revoke(&mut self, partitions: Partitions) {
        let generations: Vec<u64> = partitions
            .iter()
            .filter_map(|(topic, partition)| self.generation_of(topic, *partition))
            .collect();
        for generation in &generations {
            self.stop_lane(*generation);
        }
        if !self.consumer.assignment_lost() {
            tracing::info!(target: "kafka_tower", ?partitions, "revoked");
        }
        self.revocation = Some(Revocation {
            partitions,
            generations,
            stage: Stage::Draining,
            until: Instant::now() + self.limits.drain,
        });
        self.advance_revocation();
    }

    /// Moves the pending revocation on, as far as it goes without waiting.
    pub(super) fn advance_revocation(&mut self) {
        while let Some(revocation) = &self.revocation {
            // It may turn out while draining.
            if self.consumer.assignment_lost() {
                tracing::warn!(
                    target: "kafka_tower",
                    partitions = ?revocation.partitions,
                    "lost: the group goes on without this member, which joins again; nothing more is committed for them"
                );
                self.control.meters.set_assigned(false);
                self.lost_at = Some(Instant::now());
                return self.give_up(Some(Undone::Lost));
            }
            let now = Instant::now();
            let over = now >= revocation.until;
            let ended = revocation
                .generations
                .iter()
                .all(|generation| self.lanes.get(generation).is_none_or(|lane| lane.drained));
            let (stage, until) = match revocation.stage {
                Stage::Draining | Stage::Cancelling if ended => self.commit_revoked(now),
                Stage::Cancelling if over => self.commit_revoked(now),
                Stage::Draining if over => {
                    for generation in &revocation.generations {
                        self.cancel_lane(*generation, Undone::Cancelled);
                    }
                    (Stage::Cancelling, now + CANCEL_GRACE)
                }
                Stage::Committing if over || self.is_settled(&revocation.generations) => {
                    return self.give_up(None);
                }
                Stage::Draining | Stage::Cancelling | Stage::Committing => return,
            };
            if let Some(revocation) = &mut self.revocation {
                (revocation.stage, revocation.until) = (stage, until);
            }
        }
    }

    fn commit_revoked(&mut self, now: Instant) -> (Stage, Instant) {
        let generations = match &self.revocation {
            Some(revocation) => revocation.generations.clone(),
            None => Vec::new(),
        };
        self.commit(|generation| generations.contains(&generation));
        (Stage::Committing, now + COMMIT_TIME.min(self.limits.drain))
    }

    /// Whether nothing more can come of committing for these lanes.
    fn is_settled(&self, generations: &[u64]) -> bool {
        generations
            .iter()
            .filter_map(|generation| self.lanes.get(generation))
            .all(|lane| lane.is_committed() || lane.refused)
    }

    fn give_up(&mut self, why: Option<Undone>) {
        if let Some(revocation) = self.revocation.take() {
            if let Some(why) = why {
                for generation in &revocation.generations {
                    self.cancel_lane(*generation, why);
                }
            }
            answer(&self.consumer, false, &list(&revocation.partitions));
            self.close_lanes(revocation.partitions, why);
        }
    }

    pub(super) fn close_lanes(&mut self, mut partitions: Partitions, why: Option<Undone>) {
        partitions.retain(|(topic, partition)| self.generation_of(topic, *partition).is_some());
        for (topic, partition) in &partitions {
            self.close_lane(topic, *partition, why);
        }
        if !partitions.is_empty() {
            self.hooks.tell(match why {
                Some(Undone::Lost) => Moment::Lost(partitions),
                _ => Moment::Revoked(partitions),
            });
        }
    }

    fn all_owned(&self) -> Partitions {
        let owned = self.owned.keys();
        let mut owned = Vec::from_iter(owned.map(|(topic, number)| (topic.to_string(), *number)));
        owned.sort_unstable();
        owned
    }

    /// Another process has taken the place of this static member, and reads its partitions.
    pub(super) fn lose_to_another_self(&mut self) {
        let partitions = self.all_owned();
        if !partitions.is_empty() {
            tracing::warn!(
                target: "kafka_tower", ?partitions,
                "lost: another process has joined by the same `group.instance.id`; nothing more is committed for them"
            );
            self.close_lanes(partitions, Some(Undone::Lost));
        }
    }

    /// Closes every lane at the end, and learns what they left undone.
    pub(super) fn close_all_lanes(&mut self) {
        self.answer_open_rebalances();
        self.close_lanes(self.all_owned(), None);
        let deadline = Instant::now() + CANCEL_GRACE;
        while !self.closing.is_empty() && Instant::now() < deadline {
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            self.serve_events();
        }
        for (_, closing) in std::mem::take(&mut self.closing) {
            self.name_what_ran(&closing);
        }
    }

    /// Answers what the group still waits for, on the way out. Later events are answered inside
    /// their callback.
    fn answer_open_rebalances(&mut self) {
        self.consumer.context().close();
        self.give_up(None);
        while let Some(rebalance) = self.consumer.context().next_rebalance() {
            match rebalance {
                Rebalance::Assign(partitions) => answer(&self.consumer, true, &list(&partitions)),
                Rebalance::Revoke(partitions) => answer(&self.consumer, false, &list(&partitions)),
            }
        }
    }
}
