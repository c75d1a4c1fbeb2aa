//! `--flatten`: where the chains within a file end.
//!
//! A file that was kept by hand, or by another program, may say `a → b` and `b → c`. An alias points
//! at a canonical id, so the service would take one of the two. With `--flatten` the file is read
//! once before it is imported, and each row is sent with the id at the end of its chain: `a → c` and
//! `b → c`.

use super::row::{AliasRow, RowFault};
use crate::cli::fault::CliFault;
use aka_wire::Quoted;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// What an id takes beside its bytes: its place in the map, with room to grow, its name's header, and
/// its numbers. Measured: 192 MiB for a million ids of 20 bytes, the rest of the command included.
const BYTES_BESIDE_ID: u64 = 160;
/// How many ids of a circle are shown.
const SHOWN: usize = 4;

/// The place of an id in the lists.
type IdPlace = u32;

const NOWHERE: IdPlace = IdPlace::MAX;
/// The end of a chain that goes round.
const CIRCLE: IdPlace = IdPlace::MAX - 1;
/// The end of an id that is being looked for.
const ON_PATH: IdPlace = IdPlace::MAX - 2;

/// What stands for what in a file.
pub(super) struct Links {
    /// The ids with their projects.
    places: HashMap<Arc<[u8]>, IdPlace>,
    names: Vec<Arc<[u8]>>,
    /// What each id stands for; `NOWHERE` if it is in no row's `alias_id`.
    next: Vec<IdPlace>,
    bytes: u64,
    most_bytes: u64,
}

/// Where the chains of a file end.
pub(super) struct Chains {
    links: Links,
    ends: Vec<IdPlace>,
}

impl Links {
    /// Takes at most so many bytes of memory.
    pub fn new(most_mib: u64) -> Self {
        Self {
            places: HashMap::new(),
            names: Vec::new(),
            next: Vec::new(),
            bytes: 0,
            most_bytes: most_mib << 20,
        }
    }

    /// Adds a row. If rows say different things of an alias, the first one counts, as it does when
    /// they are imported.
    ///
    /// # Errors
    /// If the memory is used up.
    pub fn add(&mut self, row: &AliasRow) -> Result<(), CliFault> {
        // The server refuses such a row. It is no chain.
        if row.alias_id == row.canonical_id {
            return Ok(());
        }
        let alias = self.place(row.project_id, &row.alias_id)? as usize;
        let canonical = self.place(row.project_id, &row.canonical_id)?;
        if self.next[alias] == NOWHERE {
            self.next[alias] = canonical;
        }
        Ok(())
    }

    fn place(&mut self, project: u64, id: &str) -> Result<IdPlace, CliFault> {
        let next = self.names.len();
        let name: Arc<[u8]> = key(project, id).into();
        let length = name.len() as u64;
        match self.places.entry(name) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(free) => {
                self.bytes += length + BYTES_BESIDE_ID;
                let place = IdPlace::try_from(next).ok().filter(|&place| place < ON_PATH);
                let Some(place) = place.filter(|_| self.bytes <= self.most_bytes) else {
                    return Err(CliFault::Usage(format!(
                        "the ids of the file need more than {} MiB, and --flatten keeps them in \
                         memory: allow more with --flatten-mib, or import the file project by \
                         project",
                        self.most_bytes >> 20
                    )));
                };
                self.names.push(Arc::clone(free.key()));
                self.next.push(NOWHERE);
                free.insert(place);
                Ok(place)
            }
        }
    }

    /// Finds the ends of all chains, in one pass: an end that is found holds for the whole path.
    pub fn ends(self) -> Chains {
        let mut ends = vec![NOWHERE; self.next.len()];
        let mut path = Vec::new();
        for start in 0..ends.len() {
            let mut at = start as IdPlace;
            let end = loop {
                match ends[at as usize] {
                    NOWHERE => {}
                    ON_PATH => break CIRCLE,
                    end => break end,
                }
                ends[at as usize] = ON_PATH;
                path.push(at);
                match self.next[at as usize] {
                    NOWHERE => break at,
                    next => at = next,
                }
            };
            for place in path.drain(..) {
                ends[place as usize] = end;
            }
        }
        Chains { links: self, ends }
    }
}

impl Chains {
    /// The canonical id at the end of a row's chain, if it is not the row's own.
    ///
    /// # Errors
    /// If the chain ends in a circle.
    pub fn end_of(&self, row: &AliasRow) -> Result<Option<String>, RowFault> {
        if row.alias_id == row.canonical_id {
            return Ok(None);
        }
        let place = |id: &str| self.links.places.get(&*key(row.project_id, id)).copied();
        let end = |place: IdPlace| self.ends[place as usize];
        let (alias, canonical) = (place(&row.alias_id), place(&row.canonical_id));
        for from in [canonical, alias].into_iter().flatten() {
            if end(from) == CIRCLE {
                return Err(self.circle(from));
            }
        }
        let Some(canonical) = canonical else { return Ok(None) };
        let end = end(canonical);
        Ok((end != canonical).then(|| self.name(end).into_owned()))
    }

    /// An id, whose bytes were a text.
    fn name(&self, place: IdPlace) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.links.names[place as usize][PROJECT_BYTES..])
    }

    fn circle(&self, from: IdPlace) -> RowFault {
        let (mut at, mut shown) = (from, String::new());
        for _ in 0..SHOWN {
            shown += &format!("{} -> ", Quoted(self.name(at).as_bytes()));
            at = self.links.next[at as usize];
            if at == from {
                shown += &Quoted(self.name(at).as_bytes()).to_string();
                break;
            }
        }
        if at != from {
            shown += "…";
        }
        RowFault {
            reason: "CIRCLE",
            message: format!("the chain of this row goes round in the file: {shown}"),
        }
    }
}

const PROJECT_BYTES: usize = size_of::<u64>();

fn key(project: u64, id: &str) -> Vec<u8> {
    [&project.to_be_bytes(), id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row((alias, canonical): (&str, &str)) -> AliasRow {
        let (alias_id, canonical_id) = (alias.to_owned(), canonical.to_owned());
        AliasRow { project_id: 1, alias_id, canonical_id }
    }

    fn chains<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Chains {
        let mut links = Links::new(64);
        for pair in rows {
            links.add(&row(pair)).expect("it has room");
        }
        links.ends()
    }

    #[test]
    fn a_chain_ends_where_nothing_follows() {
        let found =
            chains([("a", "b"), ("b", "c"), ("d", "b"), ("c", "e"), ("a", "x"), ("y", "y")]);
        for (pair, end) in [
            (("a", "b"), Some("e")),
            (("b", "c"), Some("e")),
            (("d", "b"), Some("e")),
            (("c", "e"), None),
            (("a", "x"), None),
            (("y", "y"), None),
            (("z", "z"), None),
        ] {
            let found = found.end_of(&row(pair)).expect("no circle");
            assert_eq!(found.as_deref(), end, "{pair:?}");
        }
        let other = AliasRow { project_id: 2, ..row(("q", "a")) };
        assert_eq!(found.end_of(&other).expect("no circle"), None);
    }

    #[test]
    fn a_circle_and_what_leads_into_it_are_refused() {
        let found =
            chains([("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("a", "e"), ("f", "e")]);
        for pair in [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("a", "e")] {
            let fault = found.end_of(&row(pair)).expect_err("a circle");
            assert_eq!(fault.reason, "CIRCLE");
        }
        assert_eq!(found.end_of(&row(("f", "e"))).expect("no circle"), None);
        let shown = found.end_of(&row(("b", "c"))).expect_err("a circle").message;
        assert!(shown.ends_with("\"c\" -> \"a\" -> \"b\" -> \"c\""), "{shown}");
    }

    #[test]
    fn a_long_chain_is_found_in_one_pass() {
        let ids: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
        let found = chains(ids.iter().map(String::as_str).zip(ids[1..].iter().map(String::as_str)));
        assert_eq!(found.end_of(&row(("0", "1"))).expect("no circle").as_deref(), Some("99999"));
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut links = Links::new(1);
        let added = (0..).map(|n| links.add(&row((&format!("a{n}"), "c"))));
        let fault = added.filter_map(Result::err).next().expect("it is used up");
        assert!(matches!(fault, CliFault::Usage(why) if why.contains("--flatten-mib")));
        assert!(links.names.len() > 5_000, "{}", links.names.len());
    }
}
