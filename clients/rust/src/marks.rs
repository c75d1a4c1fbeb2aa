//! The tokens of writes, pruned: of each shard the greatest position, and none that is old.
//!
//! To programs a token is opaque. This one looks inside, so that a session that writes for days has a
//! short token. A token in a form that it does not know is kept as it is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// By then every server has seen the write, or its answers are marked `degraded`.
const LIFE: Duration = Duration::from_secs(60);
/// The form of tokens that is known: this byte, the cluster, and marks of 18 bytes.
const FORMAT: u8 = 1;
/// The most tokens that are kept as they are.
const OPAQUE: usize = 16;

/// A position in each shard's history.
#[derive(Default)]
pub(crate) struct Marks {
    /// By cluster and shard.
    known: BTreeMap<([u8; 8], [u8; 2]), Mark>,
    opaque: Vec<(String, Duration)>,
    /// The text of all of them, until one is added or dropped.
    text: Option<Arc<str>>,
}

struct Mark {
    seq: [u8; 8],
    nonce: [u8; 8],
    at: Duration,
}

impl Marks {
    /// Adds a token that came at this time.
    pub fn add(&mut self, token: &str, at: Duration) {
        for part in token.split(',').filter(|part| !part.is_empty()) {
            self.text = None;
            if self.add_known(part, at).is_none() {
                self.opaque.retain(|(text, _)| text != part);
                self.opaque.push((part.to_owned(), at));
                let surplus = self.opaque.len().saturating_sub(OPAQUE);
                self.opaque.drain(..surplus);
            }
        }
    }

    fn add_known(&mut self, part: &str, at: Duration) -> Option<()> {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        let (format, rest) = bytes.split_first()?;
        let (cluster, marks) = rest.split_first_chunk::<8>()?;
        let (marks, rest) = marks.as_chunks::<18>();
        if *format != FORMAT || marks.is_empty() || !rest.is_empty() {
            return None;
        }
        for mark in marks {
            let (shard, mark) = mark.split_first_chunk::<2>()?;
            let (seq, nonce) = mark.split_first_chunk::<8>()?;
            let new = Mark { seq: *seq, nonce: *nonce.first_chunk()?, at };
            match self.known.get_mut(&(*cluster, *shard)) {
                // Big-endian numbers compare as their bytes do.
                Some(known) if known.seq > new.seq => {}
                Some(known) => *known = new,
                None => {
                    self.known.insert((*cluster, *shard), new);
                }
            }
        }
        Some(())
    }

    /// One token for all that came less than a minute ago; `None` if there is none.
    pub fn text(&mut self, now: Duration) -> Option<Arc<str>> {
        let is_fresh = |at: Duration| now.saturating_sub(at) < LIFE;
        let before = self.known.len() + self.opaque.len();
        self.known.retain(|_, mark| is_fresh(mark.at));
        self.opaque.retain(|(_, at)| is_fresh(*at));
        let count = self.known.len() + self.opaque.len();
        if count == 0 {
            return None;
        }
        let known = self.text.take().filter(|_| count == before);
        let text = known.unwrap_or_else(|| self.written());
        self.text = Some(text.clone());
        Some(text)
    }

    fn written(&self) -> Arc<str> {
        let mut clusters: BTreeMap<[u8; 8], Vec<u8>> = BTreeMap::new();
        for ((cluster, shard), mark) in &self.known {
            let bytes =
                clusters.entry(*cluster).or_insert_with(|| [&[FORMAT][..], cluster].concat());
            bytes.extend([&shard[..], &mark.seq, &mark.nonce].concat());
        }
        let known = clusters.values().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let opaque = self.opaque.iter().map(|(text, _)| text.clone());
        known.chain(opaque).collect::<Vec<String>>().join(",").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(cluster: u64, marks: &[(u16, u64)]) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend(cluster.to_be_bytes());
        for (shard, seq) in marks {
            bytes.extend(shard.to_be_bytes());
            bytes.extend(seq.to_be_bytes());
            bytes.extend((seq * 31).to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_position_a_shard_is_kept() {
        let mut marks = Marks::default();
        assert_eq!(marks.text(at(0)), None);
        marks.add(&token(7, &[(1, 5), (0, 300)]), at(1));
        marks.add(&format!("{},{}", token(7, &[(1, 4)]), token(7, &[(0, 255)])), at(2));
        assert_eq!(marks.text(at(3)).as_deref(), Some(&*token(7, &[(0, 300), (1, 5)])));
        marks.add(&token(7, &[(1, 256)]), at(3));
        assert_eq!(marks.text(at(3)).as_deref(), Some(&*token(7, &[(0, 300), (1, 256)])));
    }

    #[test]
    fn what_is_a_minute_old_is_dropped() {
        let mut marks = Marks::default();
        marks.add(&token(7, &[(0, 1)]), at(0));
        marks.add(&token(7, &[(1, 1)]), at(30));
        assert_eq!(marks.text(at(60)).as_deref(), Some(&*token(7, &[(1, 1)])));
        assert_eq!(marks.text(at(90)), None);
    }

    #[test]
    fn a_token_of_another_form_is_kept_as_it_is() {
        let mut marks = Marks::default();
        for n in 0..100 {
            marks.add(&format!("new~{n}"), at(0));
        }
        let text = marks.text(at(1)).expect("there are some");
        assert_eq!(text.split(',').count(), OPAQUE);
        assert!(text.ends_with("new~99"));
    }
}
