mod path;

use std::{any::type_name, error::Error, fmt};

use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// JSON that can't be read as the type that is wanted. It says where, and shows nothing of the text:
/// serde's own message may quote what it found.
///
/// The place is a line and a column, and where the type is told of it a path: `lines[2].price`, in which
/// the keys of maps are left out (`tags[*]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    wanted: &'static str,
    what: &'static str,
    line: usize,
    column: usize,
    path: String,
}

impl JsonError {
    pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Self> {
        serde_json::from_slice(json).map_err(|error| {
            // What is wrong with the document itself has no place: it begins at the first byte.
            let (line, column) = match error.line() {
                0 => (1, 1),
                line => (line, error.column()),
            };
            Self {
                wanted: type_name::<T>(),
                what: match error.classify() {
                    Category::Eof => "the JSON ends early",
                    Category::Data => "the JSON isn't one",
                    // It may be JSON, too deep or with too large a number.
                    Category::Syntax | Category::Io => "it can't be read as JSON",
                },
                line,
                column,
                path: path::of_failure::<T>(json),
            }
        })
    }

    /// The way to it: names of fields and variants, and numbers of elements; empty for the document
    /// itself.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The line of the payload, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in that line in bytes, from 1; 0 where an empty payload ends.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "wanted is `{}`, and {} at line {} column {}",
            self.wanted, self.what, self.line, self.column
        )?;
        match self.path.as_str() {
            "" => Ok(()),
            path => write!(f, ", in `{path}`"),
        }
    }
}

impl Error for JsonError {}
