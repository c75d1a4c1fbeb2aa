//! Tokens: a read that carries one is answered at least as fresh as the write that returned it
//! (rule 8).

use super::{ClusterId, Position, ShardId};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::fmt;

/// The first byte of a token. Another form of tokens gets another number.
const FORMAT: u8 = 1;
/// The bytes of one position: shard, seq and nonce.
const MARK_BYTES: usize = 18;

/// A position in the history of one or more shards of a cluster.
///
/// Clients treat the text as opaque. It is base64url of a format byte, the cluster, and for each
/// shard its number, seq and nonce, all big-endian. Several tokens joined with commas are a token
/// too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    cluster: ClusterId,
    /// At most one position for each shard, sorted by shard.
    marks: Vec<(ShardId, Position)>,
}

/// Why a text is not a token of this cluster. A token is opaque, so no detail is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedToken {
    /// The text is not in the form of a token.
    #[error("is not a token that aka returned")]
    Unreadable,
    /// The token names another cluster.
    #[error("is of another cluster")]
    OtherCluster,
}

impl Token {
    /// The token of a write at this position.
    pub fn new(cluster: ClusterId, shard: ShardId, at: Position) -> Self {
        Self { cluster, marks: vec![(shard, at)] }
    }

    /// The token of several writes: the greatest position of each shard.
    pub fn join(mut self, other: &Token) -> Self {
        for &(shard, at) in &other.marks {
            self.add(shard, at);
        }
        self
    }

    /// The position that a read on this shard must have reached, if the token names the shard.
    #[inline]
    pub fn mark(&self, shard: ShardId) -> Option<Position> {
        let index = self.marks.binary_search_by_key(&shard, |mark| mark.0).ok()?;
        Some(self.marks[index].1)
    }

    /// Reads a client's text. `None` for an empty text, which means "no token".
    ///
    /// # Errors
    /// If the text is not a token, or names another cluster.
    pub fn parse(text: &str, cluster: ClusterId) -> Result<Option<Self>, MalformedToken> {
        if text.is_empty() {
            return Ok(None);
        }
        let mut token = Self { cluster, marks: Vec::new() };
        for part in text.split(',') {
            token.parse_part(part)?;
        }
        // Sorts once and keeps the greatest position of each shard. A client can send a long token,
        // and sorted insertion of each position would take quadratic time.
        token.marks.sort_unstable_by_key(|&(shard, at)| (shard, std::cmp::Reverse(at.seq)));
        token.marks.dedup_by_key(|mark| mark.0);
        Ok(Some(token))
    }

    fn parse_part(&mut self, part: &str) -> Result<(), MalformedToken> {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| MalformedToken::Unreadable)?;
        let [FORMAT, rest @ ..] = bytes.as_slice() else { return Err(MalformedToken::Unreadable) };
        let (cluster, marks) = rest.split_first_chunk().ok_or(MalformedToken::Unreadable)?;
        let (marks, rest) = marks.as_chunks::<MARK_BYTES>();
        if marks.is_empty() || !rest.is_empty() {
            return Err(MalformedToken::Unreadable);
        }
        if ClusterId(u64::from_be_bytes(*cluster)) != self.cluster {
            return Err(MalformedToken::OtherCluster);
        }
        for mark in marks {
            let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, &b| n << 8 | u64::from(b));
            let at = Position { seq: number(&mark[2..10]), nonce: number(&mark[10..]) };
            self.marks.push((ShardId(number(&mark[..2]) as u16), at));
        }
        Ok(())
    }

    fn add(&mut self, shard: ShardId, at: Position) {
        match self.marks.binary_search_by_key(&shard, |mark| mark.0) {
            Ok(index) if self.marks[index].1.seq < at.seq => self.marks[index].1 = at,
            Ok(_) => {}
            Err(index) => self.marks.insert(index, (shard, at)),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(9 + MARK_BYTES * self.marks.len());
        bytes.push(FORMAT);
        bytes.extend(self.cluster.0.to_be_bytes());
        for (shard, at) in &self.marks {
            bytes.extend(shard.0.to_be_bytes());
            bytes.extend(at.seq.to_be_bytes());
            bytes.extend(at.nonce.to_be_bytes());
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId(7);

    fn token(shard: u16, seq: u64) -> Token {
        Token::new(CLUSTER, ShardId(shard), Position { seq, nonce: seq * 31 })
    }

    #[test]
    fn a_joined_token_has_the_greatest_position_of_each_shard() {
        let joined = token(1, 5).join(&token(0, 2)).join(&token(1, 3)).join(&token(0, 9));
        assert_eq!(joined.mark(ShardId(0)).map(|at| at.seq), Some(9));
        assert_eq!(joined.mark(ShardId(1)).map(|at| at.seq), Some(5));
        assert_eq!(joined.mark(ShardId(2)), None);
        let by_comma = format!("{},{},{}", token(1, 5), token(0, 9), token(1, 3));
        assert_eq!(Token::parse(&by_comma, CLUSTER), Ok(Some(joined.clone())));
        assert_eq!(Token::parse(&joined.to_string(), CLUSTER), Ok(Some(joined)));
    }

    #[test]
    fn a_malformed_or_foreign_token_is_refused() {
        let good = token(0, 1).to_string();
        assert_eq!(Token::parse("", CLUSTER), Ok(None));
        assert_eq!(Token::parse(&good, ClusterId(8)), Err(MalformedToken::OtherCluster));
        let bad = [&good[1..], &good[..good.len() - 1], "x", ",", &format!("{good},"), "ä", "AQ"];
        for bad in bad {
            assert_eq!(Token::parse(bad, CLUSTER), Err(MalformedToken::Unreadable), "{bad}");
        }
    }
}
