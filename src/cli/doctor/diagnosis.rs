//! The result of one check.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    Ok,
    /// aka works, but not as well as it could, or not for long.
    Warn,
    /// aka does not work, or promises are not kept.
    Problem,
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Problem => "problem",
        }
    }
}

/// What a check looked at, what it found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Diagnosis {
    pub grade: Grade,
    pub what: String,
    pub found: String,
    /// Nothing if all is well.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Diagnosis {
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, what: what.into(), found: found.into(), advice: None }
    }

    pub fn warn(
        what: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { grade: Grade::Warn, what: what.into(), found: found.into(), advice }
    }

    pub fn problem(
        what: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { grade: Grade::Problem, ..Self::warn(what, found, advice) }
    }

    /// The line for people. Texts of a database may have line ends.
    pub fn line(&self) -> String {
        let Self { grade, what, found, advice } = self;
        let advice = advice.as_ref().map(|advice| format!("; do: {advice}")).unwrap_or_default();
        let line = format!("{:<8} {what}: {found}{advice}", grade.word());
        line.replace(['\n', '\r'], " ") + "\n"
    }
}
