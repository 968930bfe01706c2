//! Finding the route of a topic.

use std::{collections::HashMap, sync::Arc};

use super::{Lane, Route, builder::Pattern};
use crate::{
    consume::{App, prefix_includes},
    record::MatchedRoute,
};

use super::Router;

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

impl App for Router<()> {
    type Service = Lane;

    fn topics(&self) -> Option<Vec<String>> {
        let topic = |pattern: &Pattern| match pattern {
            Pattern::Topic(topic) => Some(topic.as_ref().to_owned()),
            Pattern::Prefix(_) | Pattern::Fallback => None,
        };
        Some(self.patterns().filter_map(topic).collect())
    }

    fn topic_prefixes(&self) -> Vec<String> {
        let prefix = |pattern: &Pattern| match pattern {
            Pattern::Prefix(prefix) => Some(prefix.as_ref().to_owned()),
            Pattern::Topic(_) | Pattern::Fallback => None,
        };
        self.patterns().filter_map(prefix).collect()
    }

    fn into_make_lane(self) -> impl Fn(&str, i32) -> Lane + Send + Sync + 'static {
        let table = self.into_table();
        move |topic, _| table.lane(topic)
    }
}
