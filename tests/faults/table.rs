//! A row for each fault, and the table that they make.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{harness::Result, verify::Findings};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) fault: String,
    pub(crate) acknowledged: usize,
    pub(crate) handled: usize,
    pub(crate) lost: usize,
    pub(crate) duplicates: usize,
    pub(crate) inversions: usize,
    pub(crate) other: Vec<String>,
    /// Made by a consumer that is wrong on purpose: what is wrong is what is wanted.
    pub(crate) is_control: bool,
    /// What doesn't hold; none is what is wanted.
    pub(crate) short: Vec<String>,
    pub(crate) examples: Vec<String>,
}

impl Row {
    pub(crate) fn new(fault: &str, findings: Findings) -> Self {
        let mut row = Self {
            fault: fault.to_owned(),
            acknowledged: findings.acknowledged,
            handled: findings.handled,
            lost: findings.lost,
            duplicates: findings.duplicates,
            inversions: findings.inversions,
            examples: findings.examples,
            ..Self::default()
        };
        if findings.unseen_tail > 0 {
            row.other(format!("{} of the lost at the tail", findings.unseen_tail));
        }
        row.require(findings.misplaced == 0, || {
            format!("{} at another offset than acknowledged", findings.misplaced)
        });
        row
    }

    /// A fault whose harness itself came to an end too early.
    pub(crate) fn broken(fault: &str, why: &str) -> Self {
        Self {
            fault: fault.to_owned(),
            short: vec![why.to_owned()],
            ..Self::default()
        }
    }

    pub(crate) fn other(&mut self, measure: String) {
        self.other.push(measure);
    }

    /// Notes that it falls short unless this holds.
    pub(crate) fn require(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.short.push(otherwise());
        }
    }

    pub(crate) fn nothing_lost(&mut self) {
        let lost = self.lost;
        self.require(lost == 0, || format!("{lost} lost"));
    }

    pub(crate) fn duplicates_at_most(&mut self, bound: usize) {
        let duplicates = self.duplicates;
        self.require(duplicates <= bound, || {
            format!("{duplicates} duplicates, more than {bound}")
        });
    }

    pub(crate) fn in_order(&mut self) {
        let inversions = self.inversions;
        self.require(inversions == 0, || format!("{inversions} out of order"));
    }

    pub(crate) fn exactly_once_in_order(&mut self) {
        self.nothing_lost();
        self.duplicates_at_most(0);
        self.in_order();
    }

    /// Keeps it for the table.
    pub(crate) fn append(&self, path: &Path) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{}", serde_json::to_string(self)?)?;
        Ok(())
    }

    pub(crate) fn verdict(&self) -> &'static str {
        match (self.short.is_empty(), self.is_control) {
            (true, false) => "holds",
            (true, true) => "found out",
            (false, _) => "FALLS SHORT",
        }
    }

    fn cells(&self) -> [String; 8] {
        [
            self.fault.clone(),
            self.acknowledged.to_string(),
            self.handled.to_string(),
            self.lost.to_string(),
            self.duplicates.to_string(),
            self.inversions.to_string(),
            self.other.join(", "),
            self.verdict().to_owned(),
        ]
    }
}

const HEADINGS: [&str; 8] = [
    "fault",
    "acknowledged",
    "handled",
    "lost",
    "duplicates",
    "inversions",
    "other measure",
    "verdict",
];

/// Prints the rows of a file, and below them what falls short. Gives whether nothing does.
pub(crate) fn print(path: &Path) -> Result<bool> {
    let text = fs::read_to_string(path)?;
    let rows: Vec<Row> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<std::result::Result<_, _>>()?;
    let mut table = vec![HEADINGS.map(str::to_owned)];
    table.extend(rows.iter().map(Row::cells));
    let width = |column: usize| {
        let cells = table.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..HEADINGS.len()).map(width).collect();
    let mut out = io::stdout().lock();
    for cells in &table {
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            match column {
                1..=5 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            }
        });
        let line = padded.collect::<Vec<_>>().join(" | ");
        writeln!(out, "{}", line.trim_end())?;
    }
    for row in rows.iter().filter(|row| !row.short.is_empty()) {
        writeln!(out, "{}: {}", row.fault, row.short.join("; "))?;
        for example in &row.examples {
            writeln!(out, "  {example}")?;
        }
    }
    Ok(rows.iter().all(|row| row.short.is_empty()))
}
