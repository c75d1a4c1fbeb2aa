//! The limits of projects, as the file says them.

use super::QuotaKind;
use super::bucket::Rate;
use aka_core::domain::Project;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The bounds of every number in the file.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1e9;
const BURSTS: std::ops::RangeInclusive<f64> = 0.001..=3_600.0;

/// The burst where the file names none.
const USUAL_BURST_S: f64 = 1.0;

/// The file, as TOML has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsText {
    #[serde(default)]
    default: StatedLimits,
    #[serde(default)]
    project: BTreeMap<String, StatedLimits>,
}

/// What one section states.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedLimits {
    lookups_per_s: Option<f64>,
    writes_per_s: Option<f64>,
    burst_s: Option<f64>,
}

/// The limits of one project. `None`: there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ProjectLimits {
    lookups: Option<Rate>,
    writes: Option<Rate>,
}

impl ProjectLimits {
    pub fn of(&self, kind: QuotaKind) -> Option<Rate> {
        match kind {
            QuotaKind::Lookups => self.lookups,
            QuotaKind::Writes => self.writes,
        }
    }
}

/// The limits of all projects.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Limits {
    /// Of a project that has no section.
    default: ProjectLimits,
    projects: HashMap<Project, ProjectLimits>,
}

impl Limits {
    /// Reads the text of a file. A section of a project takes what it does not state from
    /// `[default]`.
    ///
    /// # Errors
    /// In one sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text: LimitsText = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            // One sentence: the whole error has several lines.
            let message = error.message().lines().next().unwrap_or_default();
            format!("line {}: {message}", before.matches('\n').count() + 1)
        })?;
        let usual = StatedLimits { burst_s: Some(USUAL_BURST_S), ..StatedLimits::default() };
        let default = text.default.within("default", &usual)?;
        let mut projects = HashMap::with_capacity(text.project.len());
        for (name, stated) in &text.project {
            let project = name.parse().ok().and_then(Project::new);
            let project = project.ok_or_else(|| {
                format!("[project.{name}]: a project is a number from 1 to 2^63 - 1")
            })?;
            let limits = stated.within(&format!("project.{name}"), &text.default)?;
            if projects.insert(project, limits).is_some() {
                return Err(format!("[project.{name}] is there twice"));
            }
        }
        Ok(Self { default, projects })
    }

    /// The limits of a project.
    pub fn of(&self, project: Project) -> ProjectLimits {
        self.projects.get(&project).copied().unwrap_or(self.default)
    }
}

impl StatedLimits {
    /// These limits, with those of `others` where nothing is stated. `section` is the name of theirs.
    fn within(&self, section: &str, others: &Self) -> Result<ProjectLimits, String> {
        let checked =
            |key: &str, value: Option<f64>, bounds: &std::ops::RangeInclusive<f64>| match value
                .filter(|value| !bounds.contains(value))
            {
                None => Ok(value),
                Some(value) => Err(format!(
                    "[{section}]: {key} must be from {} to {}, not {value}",
                    bounds.start(),
                    bounds.end()
                )),
            };
        let stated = self.burst_s.or(others.burst_s);
        let burst = checked("burst_s", stated, &BURSTS)?.unwrap_or(USUAL_BURST_S);
        let burst = Duration::from_secs_f64(burst);
        let rate = |key, own: Option<f64>, other| {
            let per_s = checked(key, own.or(other), &RATES)?;
            Ok::<_, String>(per_s.map(|per_s| Rate { per_s, burst }))
        };
        Ok(ProjectLimits {
            lookups: rate("lookups_per_s", self.lookups_per_s, others.lookups_per_s)?,
            writes: rate("writes_per_s", self.writes_per_s, others.writes_per_s)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_takes_what_it_does_not_state_from_the_default() {
        let limits = Limits::parse(
            "[default]\nlookups_per_s = 1000\nburst_s = 2\n[project.42]\nwrites_per_s = 0.5\n",
        );
        let limits = limits.expect("it is good");
        let rate = |per_s, burst| Some(Rate { per_s, burst: Duration::from_secs(burst) });
        let of = |project| limits.of(Project::new(project).expect("a project"));
        assert_eq!(of(7), ProjectLimits { lookups: rate(1_000.0, 2), writes: None });
        assert_eq!(of(42), ProjectLimits { lookups: rate(1_000.0, 2), writes: rate(0.5, 2) });
        assert_eq!(Limits::parse("").expect("no limits"), Limits::default());
    }

    #[test]
    fn a_wrong_file_is_refused_with_what_is_wrong() {
        for (text, named) in [
            ("[default]\nlookups = 5\n", "lookups"),
            ("[defaults]\n", "defaults"),
            ("[default]\nlookups_per_s = 0\n", "lookups_per_s must be from 0.001"),
            ("[default]\nlookups_per_s = nan\n", "lookups_per_s"),
            ("[default]\nburst_s = 4000\n", "burst_s"),
            ("[project.0]\n", "project.0"),
            ("[project.alice]\n", "project.alice"),
            ("[project.7]\nwrites_per_s = -1\n", "[project.7]: writes_per_s"),
            ("[project.7]\n[project.07]\n", "twice"),
        ] {
            let fault = Limits::parse(text).expect_err(text);
            assert!(fault.contains(named), "{text:?}: {fault}");
        }
    }
}
