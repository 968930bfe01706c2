//! Finding the route of a topic.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{Lane, Route};
use crate::{consume::prefix_includes, record::MatchedRoute};

/// Which topics a route is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern {
    Topic(Arc<str>),
    Prefix(Arc<str>),
    Fallback,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => write!(f, "topic `{}`", topic.escape_debug()),
            Self::Prefix(prefix) => write!(f, "topic prefix `{}`", prefix.escape_debug()),
            Self::Fallback => f.write_str("fallback"),
        }
    }
}

/// The routes of a router, each built once.
#[derive(Debug)]
pub(super) struct Table {
    topics: HashMap<Arc<str>, Route>,
    /// The longest first.
    prefixes: Vec<(Arc<str>, Lane)>,
    fallback: Option<Lane>,
}

impl Table {
    pub(super) fn new(routes: impl Iterator<Item = (Pattern, Route)>) -> Self {
        let mut table = Self {
            topics: HashMap::new(),
            prefixes: Vec::new(),
            fallback: None,
        };
        for (pattern, route) in routes {
            match pattern {
                Pattern::Topic(topic) => {
                    table.topics.insert(topic, route);
                }
                Pattern::Prefix(prefix) => {
                    let name = MatchedRoute::new(format!("{prefix}*"));
                    table.prefixes.push((prefix, Lane::named(route, name)));
                }
                Pattern::Fallback => {
                    table.fallback = Some(Lane::named(route, MatchedRoute::new("*")));
                }
            }
        }
        table
            .prefixes
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        table
    }

    /// A clone of the route for a topic: the one of its name, else the one of the longest prefix,
    /// else the fallback.
    pub(super) fn lane(&self, topic: &str) -> Lane {
        if let Some(route) = self.topics.get(topic) {
            return Lane::plain(route.clone());
        }
        self.prefixes
            .iter()
            .find(|(prefix, _)| prefix_includes(prefix, topic))
            .map(|(_, lane)| lane.clone())
            .or_else(|| self.fallback.clone())
            .unwrap_or_else(|| Lane::unknown(topic))
    }
}
