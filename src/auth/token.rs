//! Bearer tokens: `aka_`, 43 characters of base64url, and a checksum of six.
//!
//! The first part holds 256 random bits. The prefix and the checksum are there for scanners that look
//! for leaked secrets: they tell a token from other texts without asking a server. The checksum is
//! CRC-32 (IEEE 802.3) of all that comes before it, four bytes with the highest first, in base64url.
//! The server keeps SHA-256 of the whole text. A slow hash, as for passwords, would add nothing: 256
//! random bits cannot be guessed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use std::fmt;

const PREFIX: &str = "aka_";
/// The length of 256 bits in base64url.
const SECRET: usize = 43;
/// The length of 32 bits in base64url.
const CHECKSUM: usize = 6;
const LENGTH: usize = PREFIX.len() + SECRET + CHECKSUM;

/// A token that is well formed. It is never shown but by [`reveal`](Self::reveal).
#[derive(Clone)]
pub struct BearerToken(String);

impl BearerToken {
    /// A new token, of the system's random numbers.
    ///
    /// # Errors
    /// If the system has none.
    pub fn random() -> Result<Self, rand::rngs::SysError> {
        let mut secret = [0; 32];
        SysRng.try_fill_bytes(&mut secret)?;
        let mut text = PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(secret, &mut text);
        text.push_str(&checksum(&text));
        Ok(Self(text))
    }

    /// The token, if it is one, whole and undamaged.
    pub fn parse(text: &str) -> Option<Self> {
        is_well_formed(text.as_bytes()).then(|| Self(text.to_owned()))
    }

    /// The token itself, for the one who shall use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the server knows of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(&self.0).into())
    }
}

/// Shows nothing of it.
impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn is_well_formed(text: &[u8]) -> bool {
    let Some((before, sum)) = text.split_at_checked(LENGTH - CHECKSUM) else { return false };
    let Some(secret) = before.strip_prefix(PREFIX.as_bytes()) else { return false };
    let base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    secret.iter().all(base64url)
        && str::from_utf8(before).is_ok_and(|before| checksum(before).as_bytes() == sum)
}

fn checksum(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(crc32fast::hash(text.as_bytes()).to_be_bytes())
}

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// That of the token in a header or a file. `None`: it is no token.
    pub fn of(text: &[u8]) -> Option<Self> {
        is_well_formed(text).then(|| Self(Sha256::digest(text).into()))
    }

    /// The hash that 64 hexadecimal digits mean.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
        let bytes: Vec<u8> = digits?.chunks(2).map(|pair| pair.iter().fold(0, join)).collect();
        (text.len() == 64).then(|| bytes.try_into().ok().map(Self)).flatten()
    }
}

fn join(high: u8, low: &u8) -> u8 {
    high << 4 | low
}

/// In hexadecimal digits, as `sha256sum` prints it.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_whole_or_none() {
        let token = BearerToken::random().expect("random numbers");
        let text = token.reveal();
        assert_eq!((text.len(), &text[..4]), (53, "aka_"));
        assert!(BearerToken::parse(text).is_some());
        assert_ne!(text, BearerToken::random().expect("random numbers").reveal());
        for cut in 0..text.len() {
            assert!(BearerToken::parse(&text[..cut]).is_none(), "{cut}");
            let mut wrong = text.to_owned().into_bytes();
            wrong[cut] = if wrong[cut] == b'x' { b'y' } else { b'x' };
            assert!(TokenHash::of(&wrong).is_none(), "{cut}");
        }
        assert!(BearerToken::parse(&format!("{text}a")).is_none());
        assert!(BearerToken::parse("").is_none());
        assert_eq!(format!("{token:?}"), "***");
    }

    /// As `printf %s TOKEN | sha256sum` and `crc32` have it.
    #[test]
    fn the_form_of_tokens_never_changes() {
        let text = format!("aka_{}", "A".repeat(43));
        let whole = format!("{text}{}", checksum(&text));
        assert_eq!(&whole[47..], GOLDEN_SUM);
        let hash = BearerToken::parse(&whole).expect("a token").hash();
        assert_eq!(hash.to_string(), GOLDEN_HASH);
        assert!(TokenHash::parse(GOLDEN_HASH) == Some(hash));
        assert!(TokenHash::parse(&GOLDEN_HASH.to_uppercase()) == Some(hash));
        for wrong in ["", "ab", &GOLDEN_HASH[..62], &format!("{GOLDEN_HASH}00"), &"g".repeat(64)] {
            assert!(TokenHash::parse(wrong).is_none(), "{wrong}");
        }
    }

    const GOLDEN_SUM: &str = "iWEoNg";
    const GOLDEN_HASH: &str = "032ffe5e3b4b9cbced496e686bf7286e414b3e0dab78fde0c60b0f1c16dd100a";
}
