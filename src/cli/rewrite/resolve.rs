//! Finds out what the ids of events stand for, and makes aliases of facts.

use super::event::Meaning;
use super::render::Canonicals;
use crate::cli::fault::CliFault;
use crate::cli::print::to_stderr;
use crate::cli::server_error::ServerError;
use aka_client::{ResolveError, Session};
use bytes::Bytes;
use clap::ValueEnum;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The pause before the first repetition. It doubles, up to the greatest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const GREATEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it is said that the servers cannot be reached.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What becomes of an event whose ids cannot be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnUnavailable {
    /// It waits, and all after it
    Wait,
    /// The command ends with exit code 69
    Fail,
    /// It gets the field "$aka_unresolved": true
    Mark,
}

/// What became of an event.
pub(super) enum Outcome {
    /// One for each of its ids.
    Resolved {
        canonicals: Canonicals,
        degraded: bool,
    },
    Unresolved,
    /// A fact was made an alias, or was one.
    Learned,
    /// A fact was refused.
    NotLearned(String),
    /// Nothing had to be done.
    Passed,
}

pub(super) struct ResolveStep {
    pub session: Session,
    pub learn: bool,
    pub on_unavailable: OnUnavailable,
    pub server: String,
}

type Known = HashMap<Bytes, Option<(Option<Bytes>, bool)>>;

impl ResolveStep {
    /// What becomes of consecutive events. With `learn`, an event sees the facts before it.
    pub async fn run(&self, events: &[Meaning]) -> Result<Vec<Outcome>, CliFault> {
        let mut outcomes = Vec::with_capacity(events.len());
        while outcomes.len() < events.len() {
            let rest = &events[outcomes.len()..];
            if let (true, Meaning::Fact { project, alias, canonical }) = (self.learn, &rest[0]) {
                outcomes.push(self.learn(*project, alias, canonical).await?);
                continue;
            }
            let is_fact = |event: &Meaning| self.learn && matches!(event, Meaning::Fact { .. });
            let end = rest.iter().position(is_fact).unwrap_or(rest.len());
            self.look_up(&rest[..end], &mut outcomes).await?;
        }
        Ok(outcomes)
    }

    async fn look_up(
        &self,
        events: &[Meaning],
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), CliFault> {
        let mut projects: HashMap<u64, Known> = HashMap::new();
        for event in events {
            let Meaning::Ids { project, ids } = event else { continue };
            let known = projects.entry(*project).or_default();
            known.extend(ids.iter().map(|found| (found.id.clone(), None)));
        }
        for (project, known) in &mut projects {
            self.resolve(*project, known).await?;
        }
        outcomes.extend(events.iter().map(|event| {
            let Meaning::Ids { project, ids } = event else { return Outcome::Passed };
            let answers = ids.iter().map(|found| projects.get(project)?.get(&found.id)?.clone());
            let Some(answers) = answers.collect::<Option<Vec<_>>>() else {
                return Outcome::Unresolved;
            };
            let degraded = answers.iter().any(|(_, degraded)| *degraded);
            let canonicals = answers.into_iter().map(|(canonical, _)| canonical).collect();
            Outcome::Resolved { canonicals, degraded }
        }));
        Ok(())
    }

    /// Looks up all ids that are not known yet.
    async fn resolve(&self, project: u64, known: &mut Known) -> Result<(), CliFault> {
        let mut patience = Patience::default();
        loop {
            let missing = known.iter().filter(|(_, answer)| answer.is_none());
            let ids: Vec<Bytes> = missing.map(|(id, _)| id.clone()).collect();
            if ids.is_empty() {
                return Ok(());
            }
            let mut last = None;
            for (id, answer) in ids.iter().zip(self.session.resolve_all(project, ids.clone()).await)
            {
                match answer {
                    Ok(found) => {
                        let canonical = found.is_alias.then_some(found.canonical);
                        known.insert(id.clone(), Some((canonical, found.degraded)));
                    }
                    Err(error) => last = Some(self.passing(error)?),
                }
            }
            match last {
                Some(_) if self.on_unavailable == OnUnavailable::Mark => return Ok(()),
                Some(error) => patience.wait(&error).await,
                None => return Ok(()),
            }
        }
    }

    async fn learn(
        &self,
        project: u64,
        alias: &Bytes,
        canonical: &Bytes,
    ) -> Result<Outcome, CliFault> {
        let mut patience = Patience::default();
        loop {
            let created =
                self.session.create_alias(project, alias.clone(), canonical.clone()).await;
            match created {
                Ok(_) => return Ok(Outcome::Learned),
                Err(ResolveError::Refused { reason, message, code }) => {
                    // Who may not write at all learns nothing from the next fact.
                    if matches!(code, tonic::Code::PermissionDenied | tonic::Code::Unauthenticated)
                    {
                        return Err(ServerError::new(code, &reason, &message).into());
                    }
                    return Ok(Outcome::NotLearned(format!("{reason}: {message}")));
                }
                Err(error) => {
                    let error = self.passing(error)?;
                    if self.on_unavailable == OnUnavailable::Mark {
                        return Ok(Outcome::NotLearned(error.to_string()));
                    }
                    patience.wait(&error).await;
                }
            }
        }
    }

    /// An error that passes by itself, unless the command shall end at it.
    fn passing(&self, error: ResolveError) -> Result<ResolveError, CliFault> {
        match error {
            ResolveError::Refused { code, reason, message } => {
                Err(ServerError::new(code, &reason, &message).into())
            }
            error if self.on_unavailable == OnUnavailable::Fail => Err(CliFault::Unreachable {
                server: self.server.clone(),
                message: error.to_string(),
            }),
            error => Ok(error),
        }
    }
}

/// How long it has been waited.
struct Patience {
    pause: Duration,
    said: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { pause: FIRST_PAUSE, said: None }
    }
}

impl Patience {
    async fn wait(&mut self, error: &ResolveError) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            to_stderr(&format!("aka: waiting: {error}"));
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (2 * self.pause).min(GREATEST_PAUSE);
    }
}
