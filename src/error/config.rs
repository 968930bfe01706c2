use std::{error::Error, fmt};

/// A configuration can't work. It holds everything that is wrong with it, not only the first thing
/// found.
///
/// No secret is part of any problem's text: settings whose value may be secret are only named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }

    /// What is wrong, one sentence each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    /// One line for one problem, and a list for several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid configuration:")?;
        match &self.problems[..] {
            [problem] => write!(f, " {problem}"),
            problems => problems
                .iter()
                .try_for_each(|problem| write!(f, "\n  - {problem}")),
        }
    }
}

impl Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_is_one_line() {
        let error = ConfigError::new(vec!["`acks` is odd".into()]);
        assert_eq!(error.to_string(), "invalid configuration: `acks` is odd");
        assert_eq!(error.problems(), ["`acks` is odd"]);
    }

    #[test]
    fn several_problems_are_a_list() {
        let error = ConfigError::new(vec!["first".into(), "second".into()]);
        assert_eq!(
            error.to_string(),
            "invalid configuration:\n  - first\n  - second"
        );
        assert_eq!(error.problems().len(), 2);
    }
}
