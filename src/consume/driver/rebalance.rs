//! Rebalances, in the order that loses and repeats nothing: stop dispatch, drain while polling,
//! commit, and only then give the partitions up.

use std::time::Instant;

use rdkafka::consumer::Consumer;

use super::{
    CANCEL_GRACE, Driver,
    commit::COMMIT_TIME,
    context::{Partitions, Rebalance, answer, list},
};
use crate::consume::summary::Undone;

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
        while self.revocation.is_none() {
            match self.consumer.context().next_rebalance() {
                Some(Rebalance::Assign(partitions)) => self.assign(&partitions),
                Some(Rebalance::Revoke(partitions)) => self.revoke(partitions),
                None => break,
            }
        }
    }

    fn assign(&mut self, partitions: &Partitions) {
        tracing::info!(target: "kafka_tower", ?partitions, "assigned");
        self.assigned_once = true;
        self.last_error = None;
        // Who is about to leave takes the partitions, since the group waits for that, and doesn't
        // read them.
        if self.end.is_none() {
            for (topic, partition) in partitions {
                self.forget_lane(topic, *partition, Undone::Lost);
                self.open_lane(topic, *partition);
            }
        }
        answer(&self.consumer, true, &list(partitions));
    }

    fn revoke(&mut self, partitions: Partitions) {
        let generations: Vec<u64> = partitions
            .iter()
            .filter_map(|(topic, partition)| {
                self.owned
                    .get(&(topic.as_str().into(), *partition))
                    .copied()
            })
            .collect();
        for lane in generations
            .iter()
            .filter_map(|generation| self.lanes.get(generation))
        {
            lane.stop.cancel();
        }
        tracing::info!(target: "kafka_tower", ?partitions, "revoked");
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
                    "lost to other members: nothing is committed for them any more"
                );
                return self.give_up(Undone::Lost);
            }
            let now = Instant::now();
            let over = now >= revocation.until;
            let ended = revocation
                .generations
                .iter()
                .all(|generation| self.lanes.get(generation).is_none_or(|lane| lane.ended));
            let (stage, until) = match revocation.stage {
                Stage::Draining | Stage::Cancelling if ended => self.commit_revoked(now),
                Stage::Cancelling if over => self.commit_revoked(now),
                Stage::Draining if over => {
                    for generation in &revocation.generations {
                        if let Some(lane) = self.lanes.get(generation) {
                            lane.cancel.cancel();
                        }
                    }
                    (Stage::Cancelling, now + CANCEL_GRACE)
                }
                Stage::Committing if over || self.is_settled(&revocation.generations) => {
                    return self.give_up(Undone::Cancelled);
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

    fn give_up(&mut self, undone: Undone) {
        if let Some(revocation) = self.revocation.take() {
            for lane in revocation
                .generations
                .iter()
                .filter_map(|known| self.lanes.get(known))
            {
                lane.cancel.cancel();
            }
            answer(&self.consumer, false, &list(&revocation.partitions));
            for (topic, partition) in &revocation.partitions {
                self.forget_lane(topic, *partition, undone);
            }
        }
    }

    /// Answers what the group still waits for, on the way out. Later events are answered inside
    /// their callback.
    pub(super) fn answer_open_rebalances(&mut self) {
        self.consumer.context().close();
        self.give_up(Undone::Cancelled);
        while let Some(rebalance) = self.consumer.context().next_rebalance() {
            match rebalance {
                Rebalance::Assign(partitions) => answer(&self.consumer, true, &list(&partitions)),
                Rebalance::Revoke(partitions) => answer(&self.consumer, false, &list(&partitions)),
            }
        }
    }
}
