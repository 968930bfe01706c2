//! What may happen to an engine.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{MILLISECOND, PARTITIONS};
use crate::consume::{
    engine::Bounds,
    policy::{OnUnhandled, Ordering},
};

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Records, each with the gap before it and its key; the last one is null.
    Arrive(usize, Vec<(i64, u8)>),
    /// The partition ends, so far behind its last record.
    End(usize, i64),
    Dispatch(Vec<Fate>),
    Finish(Index, Answer),
    Pass(u32),
    Ready,
    Grant(usize),
    Pause(usize, bool),
    Stop(usize),
    StopAll,
    /// Back from the watermark; what runs is cancelled or left running.
    Reopen(usize, bool, Option<Ahead>),
}

/// How far ahead a careful lane goes one by one, for how long, and how far it is careful behind.
pub(super) type Ahead = (i64, i64, i64);

pub(super) fn caution() -> impl Strategy<Value = Option<Ahead>> {
    proptest::option::weighted(0.3, (0..6_i64, 0..4_i64, 0..9_i64))
}

/// What becomes of a record that is taken.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    Runs,
    AtOnce(Answer),
    Unready,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Ack,
    Skip,
    Retry(u32),
    Defer(u32),
    DeadLetter,
    Fail,
    Stop,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        20 => Just(Answer::Ack),
        2 => Just(Answer::Skip),
        6 => (0..4_u32).prop_map(Answer::Retry),
        4 => (0..4_u32).prop_map(Answer::Defer),
        1 => Just(Answer::DeadLetter),
        2 => Just(Answer::Fail),
        1 => Just(Answer::Stop),
    ]
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let partition = 0..PARTITIONS;
    let fate = prop_oneof![
        4 => Just(Fate::Runs),
        3 => answer().prop_map(Fate::AtOnce),
        1 => Just(Fate::Unready),
    ];
    let gap = prop_oneof![6 => Just(0), 1 => 1..5_i64];
    prop_oneof![
        6 => (partition.clone(), vec((gap, 0..4_u8), 1..8)).prop_map(|(p, r)| Event::Arrive(p, r)),
        2 => (partition.clone(), 0..3_i64).prop_map(|(p, gap)| Event::End(p, gap)),
        9 => vec(fate, 1..6).prop_map(Event::Dispatch),
        12 => (any::<Index>(), answer()).prop_map(|(i, a)| Event::Finish(i, a)),
        4 => (0..4_u32).prop_map(Event::Pass),
        3 => Just(Event::Ready),
        3 => partition.clone().prop_map(Event::Grant),
        1 => (partition.clone(), any::<bool>()).prop_map(|(p, b)| Event::Pause(p, b)),
        1 => partition.clone().prop_map(Event::Stop),
        1 => Just(Event::StopAll),
        2 => (partition, any::<bool>(), caution()).prop_map(|(p, b, c)| Event::Reopen(p, b, c)),
    ]
}

pub(super) fn bounds() -> impl Strategy<Value = Bounds> {
    let ordering = prop_oneof![
        3 => Just(Ordering::Key),
        1 => Just(Ordering::Partition),
        1 => Just(Ordering::Unordered),
    ];
    let on_unhandled = prop_oneof![
        Just(OnUnhandled::Stop),
        Just(OnUnhandled::pause_partition(2 * MILLISECOND)),
        Just(OnUnhandled::Skip),
    ];
    (ordering, 1..6_usize, 1..5_usize, 1..15_u64, on_unhandled).prop_map(
        |(ordering, max_in_flight, max_waiting, max_offset_span, on_unhandled)| Bounds {
            ordering,
            max_in_flight,
            max_waiting,
            max_offset_span,
            on_unhandled,
        },
    )
}
