//! What this process logs, as lines to look at.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::{
    io,
    sync::{Arc, OnceLock},
};

use tokio::sync::watch;
use tracing_subscriber::{EnvFilter, fmt};

use crate::bed::soon;

/// The lines so far.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<watch::Sender<Vec<String>>>);

/// Collects the lines of all threads from the first call on.
pub(crate) fn logs() -> &'static Logs {
    static LOGS: OnceLock<Logs> = OnceLock::new();
    LOGS.get_or_init(|| {
        let logs = Logs::default();
        let writer = logs.clone();
        fmt()
            .with_env_filter(EnvFilter::new("kafka_tower=debug,librdkafka=debug"))
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        logs
    })
}

impl Logs {
    /// Waits for a line with all these parts.
    pub(crate) async fn line(&self, parts: &[&str]) {
        self.lines(1, parts).await;
    }

    /// Waits for a number of lines with all these parts.
    pub(crate) async fn lines(&self, count: usize, parts: &[&str]) {
        let mut lines = self.0.subscribe();
        let has = |line: &&String| parts.iter().all(|part| line.contains(part));
        soon(&format!("{count} log lines with {parts:?}"), async {
            let found = lines.wait_for(|lines| lines.iter().filter(has).count() >= count);
            drop(found.await.expect("the sender is here"));
        })
        .await;
    }

    /// How many lines have all these parts.
    pub(crate) fn count(&self, parts: &[&str]) -> usize {
        let lines = self.0.borrow();
        let has = |line: &&String| parts.iter().all(|part| line.contains(part));
        lines.iter().filter(has).count()
    }
}

impl io::Write for Logs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).into_owned();
        self.0.send_modify(|lines| lines.push(text));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
