//! The file to which all workers append what they have handled, and what it says.

use std::{
    collections::HashMap,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::payload::Id;

/// A record that a worker has handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) id: Id,
    pub(crate) worker: u32,
    /// When the handler began and ended, in microseconds since the Unix epoch.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attempt: u32,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            offset,
            id,
            worker,
            start,
            end,
            attempt,
        } = self;
        write!(
            f,
            "{id} at {partition}/{offset} by worker {worker}, attempt {attempt}, {start} to {end}"
        )
    }
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut next = || words.next();
        Some(Self {
            partition: next()?.parse().ok()?,
            offset: next()?.parse().ok()?,
            id: Id {
                producer: next()?.parse().ok()?,
                key: next()?.parse().ok()?,
                seq: next()?.parse().ok()?,
            },
            worker: next()?.parse().ok()?,
            start: next()?.parse().ok()?,
            end: next()?.parse().ok()?,
            attempt: next()?.parse().ok()?,
        })
    }
}

/// Microseconds since the Unix epoch: the one clock that all processes share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_micros()).expect("before the year 500000")
}

/// The writing end, one for each worker.
#[derive(Debug)]
pub(crate) struct Ledger(File);

impl Ledger {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(
            OpenOptions::new().create(true).append(true).open(path)?,
        ))
    }

    pub(crate) fn handled(&self, line: &Line) {
        let Line {
            partition,
            offset,
            id,
            worker,
            start,
            end,
            attempt,
        } = line;
        let Id { producer, key, seq } = id;
        self.append(&format!(
            "{partition} {offset} {producer} {key} {seq} {worker} {start} {end} {attempt}\n"
        ));
    }

    /// Notes a record that isn't what was published.
    pub(crate) fn damaged(&self, partition: i32, offset: i64, what: &str) {
        self.append(&format!("damaged {partition} {offset}: {what}\n"));
    }

    /// One write for each line: it is in the file as a whole or not at all, whenever the process is
    /// killed.
    fn append(&self, line: &str) {
        let written = (&self.0).write(line.as_bytes());
        assert_eq!(written.ok(), Some(line.len()), "the ledger takes the line");
    }
}

/// The reading end: all lines so far.
#[derive(Debug)]
pub(crate) struct Book {
    file: File,
    rest: Vec<u8>,
    pub(crate) lines: Vec<Line>,
    pub(crate) damaged: Vec<String>,
    /// How often each sequence number of a key is there.
    times: HashMap<u32, Vec<u16>>,
    pub(crate) distinct: usize,
    /// When each worker last began with a record that it has handled.
    last_start: HashMap<u32, u64>,
}

impl Book {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::create(path)?;
        Ok(Self {
            file: File::open(path)?,
            rest: Vec::new(),
            lines: Vec::new(),
            damaged: Vec::new(),
            times: HashMap::new(),
            distinct: 0,
            last_start: HashMap::new(),
        })
    }

    /// Reads what was added.
    pub(crate) fn read(&mut self) -> io::Result<()> {
        self.file.read_to_end(&mut self.rest)?;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n');
        let Some(whole) = whole else { return Ok(()) };
        let unread = self.rest.split_off(whole + 1);
        let text = std::mem::replace(&mut self.rest, unread);
        for text in String::from_utf8_lossy(&text).lines() {
            match Line::parse(text) {
                Some(line) => self.note(line),
                None => self.damaged.push(text.to_owned()),
            }
        }
        Ok(())
    }

    fn note(&mut self, line: Line) {
        let times = self.times.entry(line.id.key).or_default();
        let seq = line.id.seq as usize;
        if times.len() <= seq {
            times.resize(seq + 1, 0);
        }
        times[seq] += 1;
        self.distinct += usize::from(times[seq] == 1);
        let last = self.last_start.entry(line.worker).or_default();
        *last = line.start.max(*last);
        self.lines.push(line);
    }

    /// How often a record was handled.
    pub(crate) fn times(&self, key: u32, seq: u32) -> u16 {
        let times = self.times.get(&key).and_then(|key| key.get(seq as usize));
        times.copied().unwrap_or_default()
    }

    /// Whether a worker has handled something that it began after this moment.
    pub(crate) fn handles_since(&self, worker: u32, moment: u64) -> bool {
        self.last_start
            .get(&worker)
            .is_some_and(|start| *start > moment)
    }
}
