//! Creating many aliases at once.

use super::handle::{Admin, WriteAnswer};
use super::refusal::Refusal;
use super::request::{AliasPair, Creation, NewAlias};
use aka_core::clock::Boottime;
use aka_core::domain::{Key, Project};
use std::collections::{HashMap, HashSet};

/// A request of a batch that can be parsed, with its place in the batch.
type Item = (usize, Creation);

impl Admin {
    /// Creates each alias on its own, and answers in order, as if the requests had been sent one by
    /// one. Requests that do not depend on each other run together, and so share transactions.
    pub async fn create_all(
        &self,
        news: Vec<NewAlias>,
        deadline: Boottime,
    ) -> Vec<Result<WriteAnswer, Refusal>> {
        // A request that no stage reaches before the deadline keeps this answer.
        let mut answers: Vec<_> = news.iter().map(|_| Err(Refusal::DeadlineExceeded)).collect();
        let mut items: Vec<Item> = Vec::with_capacity(news.len());
        for (index, new) in news.into_iter().enumerate() {
            match Creation::parse(&self.rules, new) {
                Ok(creation) => items.push((index, creation)),
                Err(refusal) => answers[index] = Err(refusal),
            }
        }
        for (index, refusal) in self.beyond_quota(&mut items) {
            answers[index] = Err(refusal);
        }
        for stage in stages(&items) {
            if Boottime::now() >= deadline {
                // The client has gone: nothing more is begun.
                break;
            }
            let created = self.create_stage(&stage, deadline).await;
            for ((index, _), answer) in stage.into_iter().zip(created) {
                answers[*index] = answer;
            }
        }
        answers
    }

    /// Takes the requests from the quotas of their projects. Those of one project are taken together,
    /// all or none. Removes those that are not taken.
    fn beyond_quota(&self, items: &mut Vec<Item>) -> Vec<(usize, Refusal)> {
        let mut counts: HashMap<Project, usize> = HashMap::new();
        for (_, new) in &*items {
            *counts.entry(new.pair.alias.project()).or_default() += 1;
        }
        let taken =
            counts.into_iter().map(|(project, count)| (project, self.take_writes(project, count)));
        let refused: HashMap<Project, Refusal> =
            taken.filter_map(|(project, taken)| Some((project, taken.err()?))).collect();
        let refusal = |item: &Item| refused.get(&item.1.pair.alias.project()).cloned();
        let beyond = items.iter().filter_map(|item| Some((item.0, refusal(item)?))).collect();
        items.retain(|item| refusal(item).is_none());
        beyond
    }

    /// Creates the requests of one stage, and answers in order.
    ///
    /// If only some aliases of a canonical id fit, the first ones in the batch must be created.
    /// Jobs of one kind keep the order of the batch. So for one canonical id, either all requests
    /// are tried without a precheck, or all begin with one.
    async fn create_stage(
        &self,
        stage: &[&Item],
        deadline: Boottime,
    ) -> Vec<Result<WriteAnswer, Refusal>> {
        let checked: HashSet<&Key> = stage
            .iter()
            .filter(|(_, new)| new.dry_run || !self.is_together(&new.pair))
            .map(|(_, new)| &new.pair.canonical)
            .collect();
        let optimistic =
            stage.iter().map(|(_, new)| {
                let check = checked.contains(&new.pair.canonical);
                async move {
                    if check { Ok(None) } else { self.create_optimistically(new, deadline).await }
                }
            });
        let optimistic = futures::future::join_all(optimistic).await;
        // All reads come before the first write.
        let prechecks = stage.iter().zip(&optimistic).map(|((_, new), answer)| async move {
            match answer {
                Ok(None) => Some(self.precheck(&new.pair).await),
                _ => None,
            }
        });
        let prechecks = futures::future::join_all(prechecks).await;
        let created = stage.iter().zip(optimistic).zip(prechecks);
        let created = created.map(|(((_, new), answer), precheck)| async move {
            match (answer?, precheck) {
                (Some(answer), _) => Ok(answer),
                (None, precheck) => {
                    let precheck = precheck.unwrap_or(Err(Refusal::RetryLater));
                    self.create_checked(new, precheck, deadline).await
                }
            }
        });
        futures::future::join_all(created).await
    }
}

/// Divides requests into stages that run one after the other. The requests of a stage run together.
///
/// Two requests share a stage unless the alias id of one is an id of the other. Several aliases of
/// one canonical id are not in each other's way.
fn stages(items: &[Item]) -> Vec<Vec<&Item>> {
    /// The stages that an id was last used in, from 1.
    #[derive(Default, Clone, Copy)]
    struct LastUse {
        as_alias: usize,
        as_canonical: usize,
    }
    let mut used: HashMap<&Key, LastUse> = HashMap::new();
    let mut stages: Vec<Vec<&Item>> = Vec::new();
    for item in items {
        let AliasPair { alias, canonical } = &item.1.pair;
        let of_alias = used.get(alias).copied().unwrap_or_default();
        let of_canonical = used.get(canonical).copied().unwrap_or_default();
        let stage = of_alias.as_alias.max(of_alias.as_canonical).max(of_canonical.as_alias);
        if stage == stages.len() {
            stages.push(Vec::new());
        }
        stages[stage].push(item);
        used.entry(alias).or_default().as_alias = stage + 1;
        let entry = used.entry(canonical).or_default();
        entry.as_canonical = entry.as_canonical.max(stage + 1);
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;
    use aka_core::domain::{Id, Project};

    fn stages_of(pairs: &[(&str, &str)]) -> Vec<Vec<usize>> {
        let project = Project::new(1).expect("a project");
        let key = |id: &str| Key::new(project, Id::try_from(id).expect("an id"));
        let creation = |&(alias, canonical): &(&str, &str)| Creation {
            pair: AliasPair { alias: key(alias), canonical: key(canonical) },
            dry_run: false,
        };
        let items: Vec<_> = pairs.iter().map(creation).enumerate().collect();
        let indexes = |stage: Vec<&Item>| stage.into_iter().map(|(index, _)| *index).collect();
        stages(&items).into_iter().map(indexes).collect()
    }

    #[test]
    fn a_request_comes_after_those_that_it_depends_on() {
        assert_eq!(stages_of(&[("a", "x"), ("b", "x"), ("c", "y")]), [vec![0, 1, 2]]);
        assert_eq!(stages_of(&[("a", "x"), ("a", "y")]), [vec![0], vec![1]]);
        assert_eq!(stages_of(&[("a", "b"), ("b", "c")]), [vec![0], vec![1]]);
        assert_eq!(stages_of(&[("b", "c"), ("a", "b"), ("d", "e")]), [vec![0, 2], vec![1]]);
    }
}
