//! Listing the aliases of a canonical id, page by page.

use super::handle::{Admin, AliasView};
use super::refusal::{Refusal, WhichId, unavailable};
use super::request::key;
use aka_core::domain::{Id, Key, Stamp};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

/// How many aliases a page may hold.
pub const MAX_PAGE: u32 = 1_000;
const DEFAULT_PAGE: u32 = 100;
const FORMAT: u8 = 1;

/// A page of aliases.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub aliases: Vec<AliasView>,
    /// Empty at the end of the list.
    pub next_page_token: String,
}

impl Admin {
    /// Lists the aliases of a canonical id, sorted by the bytes of their ids. A page may be short,
    /// because orphans are left out.
    ///
    /// # Errors
    /// As `docs/design.md`, section 2, lists them.
    pub async fn list(
        &self,
        project_id: u64,
        canonical_id: Bytes,
        page_size: i32,
        page_token: &str,
    ) -> Result<Page, Refusal> {
        let canonical = key(project_id, WhichId::Canonical, canonical_id)?;
        let size = match u32::try_from(page_size).map_err(|_| Refusal::PageSize)? {
            0 => DEFAULT_PAGE,
            size => size.min(MAX_PAGE),
        };
        let after = PageToken::parse(page_token, &canonical)?;
        let after = after.as_ref().map(|token| (&token.alias, token.stamp));
        let pool = self.pool(&canonical)?;
        // Reads one row more than the page holds, which shows whether there is another page.
        let mut rows = pool.inverse_rows(&canonical, after, size + 1).await.map_err(unavailable)?;
        let more = rows.len() > size as usize;
        rows.truncate(size as usize);
        let forward = self.forward_rows(&rows).await?;
        let next = rows
            .last()
            .filter(|_| more)
            .map(|row| PageToken { alias: row.alias.clone(), stamp: row.stamp });
        let shown = rows.iter().filter_map(|inverse| {
            let (row, at) = forward.of(inverse)?;
            let alias = canonical.sibling(inverse.alias.clone());
            self.note_shown(&alias, *at, true);
            Some(AliasView { alias, row: row.clone() })
        });
        Ok(Page {
            aliases: shown.collect(),
            next_page_token: next.map_or_else(String::new, |token| token.text(&canonical)),
        })
    }
}

/// The last row of a page. Its text is base64url of a format byte, a checksum that ties the token
/// to its list, the stamp, and the alias id.
struct PageToken {
    alias: Id,
    stamp: Stamp,
}

impl PageToken {
    fn text(&self, list: &Key) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.checksum(list).to_be_bytes());
        bytes.extend(self.stamp.0.to_be_bytes());
        bytes.extend(self.alias.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn parse(text: &str, list: &Key) -> Result<Option<Self>, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (&FORMAT, rest) = bytes.split_first()? else { return None };
            let (checksum, rest) = rest.split_first_chunk()?;
            let (stamp, alias) = rest.split_first_chunk()?;
            let stamp = Stamp(u64::from_be_bytes(*stamp));
            let token = Self { alias: Id::new(Bytes::copy_from_slice(alias)).ok()?, stamp };
            (token.checksum(list) == u64::from_be_bytes(*checksum)).then_some(token)
        };
        read().map(Some).ok_or(Refusal::PageToken)
    }

    fn checksum(&self, list: &Key) -> u64 {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        hasher.update(&list.project().get().to_be_bytes());
        hasher.update(&[list.id().as_bytes().len() as u8]);
        hasher.update(list.id().as_bytes());
        hasher.update(&self.stamp.0.to_be_bytes());
        hasher.update(self.alias.as_bytes());
        hasher.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{always, spoiled};
    use aka_core::domain::Project;

    #[test]
    fn a_page_token_belongs_to_its_list_and_is_whole() {
        let list = |id: &'static [u8]| {
            let id = Id::new(Bytes::from_static(id)).expect("an id");
            Key::new(Project::new(7).expect("a project"), id)
        };
        let (mine, other) = (list(b"alice"), list(b"eve"));
        always(|random| {
            let alias = format!("alias-{}", random.arbitrary::<u64>()?);
            let alias = Id::new(alias.into()).expect("an id");
            let token = PageToken { alias, stamp: Stamp(random.arbitrary()?) };
            let written = token.text(&mine);
            let read = PageToken::parse(&written, &mine).ok().flatten().expect("whole");
            assert_eq!((read.alias, read.stamp), (token.alias, token.stamp));
            assert!(matches!(PageToken::parse(&written, &other), Err(Refusal::PageToken)));
            let spoiled = spoiled(random, written.clone().into_bytes())?;
            let spoiled = String::from_utf8_lossy(&spoiled);
            if spoiled != written && !spoiled.is_empty() {
                let read = PageToken::parse(&spoiled, &mine);
                assert!(matches!(read, Err(Refusal::PageToken)), "{spoiled}");
            }
            Ok(())
        });
    }
}
