//! All principals of a file, found by their credentials.

use super::fault::AuthFault;
use super::principal::Principal;
use super::stanzas;
use super::token::TokenHash;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Whom a client claims to be.
#[derive(Clone)]
pub enum Credential {
    /// The one who has the token with this hash.
    Token(TokenHash),
    /// The one whom a verified certificate names so.
    Uri(Arc<str>),
}

/// The principals. A credential belongs to one of them at most.
pub struct Principals {
    by_hash: HashMap<TokenHash, Arc<Principal>>,
    by_uri: HashMap<String, Arc<Principal>>,
    /// Each with the numbers of its tokens and URIs, in the order of the file.
    all: Vec<(Arc<Principal>, usize, usize)>,
}

impl Principals {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// If it is not well formed, or if a name, a hash or a URI is in it twice.
    pub fn parse(text: &str) -> Result<Self, AuthFault> {
        let (mut by_hash, mut by_uri, mut all) = (HashMap::new(), HashMap::new(), Vec::new());
        let mut names = HashSet::new();
        for stanza in stanzas::parse(text)? {
            let principal = Arc::new(stanza.principal);
            let name = principal.name.clone();
            let twice = |what: &str| {
                AuthFault(format!("principal {name:?} has {what} that the file holds twice"))
            };
            if !names.insert(name.clone()) {
                return Err(twice("a name"));
            }
            all.push((principal.clone(), stanza.hashes.len(), stanza.uris.len()));
            for hash in stanza.hashes {
                if by_hash.insert(hash, principal.clone()).is_some() {
                    return Err(twice("a token_sha256"));
                }
            }
            for uri in stanza.uris {
                if by_uri.insert(uri, principal.clone()).is_some() {
                    return Err(twice("a URI"));
                }
            }
        }
        Ok(Self { by_hash, by_uri, all })
    }

    /// Who has this credential.
    pub fn find(&self, credential: &Credential) -> Option<&Arc<Principal>> {
        match credential {
            Credential::Token(hash) => self.by_hash.get(hash),
            Credential::Uri(uri) => self.by_uri.get(&**uri),
        }
    }

    /// Each principal, with the numbers of its tokens and URIs, in the order of the file.
    pub fn list(&self) -> impl Iterator<Item = (&Principal, usize, usize)> {
        self.all.iter().map(|(principal, tokens, uris)| (&**principal, *tokens, *uris))
    }
}
