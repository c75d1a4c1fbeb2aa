//! Creating many aliases at once.

use super::{Admin, Answer, NewAlias, Refusal};
use aka_core::clock::Boottime;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};

impl Admin {
    /// Creates each alias on its own, and answers in order. Requests that have nothing to do with each
    /// other run together, and so share transactions; those that name an id that an earlier one made
    /// an alias, or pinned, come after it, as if they had been sent one by one.
    pub async fn create_all(
        &self,
        news: Vec<NewAlias>,
        deadline: Boottime,
    ) -> Vec<Result<Answer, Refusal>> {
        let waves = waves(&news);
        let mut answers: Vec<_> = news.iter().map(|_| None).collect();
        for wave in waves {
            if Boottime::now() >= deadline {
                // Whoever asked is gone: nothing more is begun.
                break;
            }
            let created = self.create_wave(&news, &wave, deadline).await;
            for (index, answer) in wave.into_iter().zip(created) {
                answers[index] = Some(answer);
            }
        }
        // Every index is in one wave; those of waves that were not begun have no answer.
        answers.into_iter().map(|answer| answer.unwrap_or(Err(Refusal::DeadlineExceeded))).collect()
    }

    /// The writes queue up in the order of the batch, which decides who is created where only some
    /// fit. So those of one canonical id either are all written unseen or are all read first.
    async fn create_wave(
        &self,
        news: &[NewAlias],
        wave: &[usize],
        deadline: Boottime,
    ) -> Vec<Result<Answer, Refusal>> {
        let canonical = |new: &NewAlias| (new.project_id, new.canonical_id.clone());
        let apart: HashSet<_> = wave
            .iter()
            .map(|&index| &news[index])
            .filter(|new| new.dry_run || !self.is_together(new))
            .map(canonical)
            .collect();
        let unseen = wave.iter().map(|&index| {
            let new = &news[index];
            let apart = apart.contains(&canonical(new));
            async move { if apart { Ok(None) } else { self.create_unseen(new, deadline).await } }
        });
        let unseen = futures::future::join_all(unseen).await;
        // All reads before the first write.
        let starts = wave.iter().zip(&unseen).map(|(&index, unseen)| async move {
            match unseen {
                Ok(None) => Some(self.prepare(&news[index]).await),
                _ => None,
            }
        });
        let starts = futures::future::join_all(starts).await;
        let created = wave.iter().zip(unseen).zip(starts);
        let created = created.map(|((&index, unseen), start)| async move {
            match (unseen?, start) {
                (Some(answer), _) => Ok(answer),
                (None, start) => {
                    let start = start.unwrap_or(Err(Refusal::RetryLater));
                    self.create_from(&news[index], start, deadline).await
                }
            }
        });
        futures::future::join_all(created).await
    }
}

/// Indexes of requests that may run together, in the order in which the groups must run.
///
/// Two requests may run together unless one's alias id is one of the other's ids: several aliases of
/// one canonical id do not get into each other's way.
fn waves(news: &[NewAlias]) -> Vec<Vec<usize>> {
    /// The waves in which an id was last used, from 1.
    #[derive(Default, Clone, Copy)]
    struct Used {
        as_alias: usize,
        as_canonical: usize,
    }
    let mut used: HashMap<(u64, &Bytes), Used> = HashMap::new();
    let mut waves: Vec<Vec<usize>> = Vec::new();
    for (index, new) in news.iter().enumerate() {
        let (alias, canonical) =
            ((new.project_id, &new.alias_id), (new.project_id, &new.canonical_id));
        let of_alias = used.get(&alias).copied().unwrap_or_default();
        let of_canonical = used.get(&canonical).copied().unwrap_or_default();
        let wave = of_alias.as_alias.max(of_alias.as_canonical).max(of_canonical.as_alias);
        if wave == waves.len() {
            waves.push(Vec::new());
        }
        waves[wave].push(index);
        used.entry(alias).or_default().as_alias = wave + 1;
        let entry = used.entry(canonical).or_default();
        entry.as_canonical = entry.as_canonical.max(wave + 1);
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves_of(pairs: &[(&'static str, &'static str)]) -> Vec<Vec<usize>> {
        let news: Vec<_> = pairs
            .iter()
            .map(|&(alias, canonical)| NewAlias {
                project_id: 1,
                alias_id: Bytes::from_static(alias.as_bytes()),
                canonical_id: Bytes::from_static(canonical.as_bytes()),
                dry_run: false,
            })
            .collect();
        waves(&news)
    }

    #[test]
    fn what_depends_on_an_earlier_request_comes_after_it() {
        assert_eq!(waves_of(&[("a", "x"), ("b", "x"), ("c", "y")]), [vec![0, 1, 2]]);
        assert_eq!(waves_of(&[("a", "x"), ("a", "y")]), [vec![0], vec![1]]);
        assert_eq!(waves_of(&[("a", "b"), ("b", "c")]), [vec![0], vec![1]]);
        assert_eq!(waves_of(&[("b", "c"), ("a", "b"), ("d", "e")]), [vec![0, 2], vec![1]]);
        assert_eq!(waves_of(&[("a", "a"), ("a", "b")]), [vec![0], vec![1]]);
    }
}
