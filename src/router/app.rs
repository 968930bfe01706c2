use super::{Lane, Router, table::Pattern};
use crate::consume::App;

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
