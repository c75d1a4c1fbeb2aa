//! The people of the tests: their tokens, the file that names them, and clients that send a token.

use aka_test_support::{Aka, aka};
use aka_wire::pb::alias_admin_client::AliasAdminClient;
use aka_wire::pb::resolver_client::ResolverClient;
use std::fs;
use tempfile::TempDir;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// A token, and the hash that the server knows it by.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub hash: String,
}

impl Token {
    /// A new token, as operators make one.
    pub async fn new() -> Self {
        let printed = aka(["auth", "token", "somebody"]).run().await.succeeded();
        let text = printed.lines().next().expect("a token").to_owned();
        let (_, hash) = printed.split_once("token_sha256 = [\"").expect("a hash");
        Self { text, hash: hash[..64].to_owned() }
    }

    /// A stanza for a principal of this token alone. `projects` as in the file.
    pub fn stanza(&self, name: &str, role: &str, projects: &str) -> String {
        stanza(name, role, projects, &format!("token_sha256 = [\"{}\"]", self.hash))
    }
}

/// A stanza with this line after the others.
pub fn stanza(name: &str, role: &str, projects: &str, more: &str) -> String {
    format!("[[principal]]\nname = \"{name}\"\nrole = \"{role}\"\nprojects = {projects}\n{more}\n")
}

/// A file of principals.
pub struct PrincipalFile(TempDir);

impl PrincipalFile {
    pub fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        file.replace(text);
        file
    }

    pub fn path(&self) -> String {
        self.0.path().join("auth.toml").to_str().expect("UTF-8").to_owned()
    }

    /// Replaces the file at one moment.
    pub fn replace(&self, text: &str) {
        let next = self.0.path().join("next");
        fs::write(&next, text).expect("it can be written");
        fs::rename(next, self.path()).expect("it can be renamed");
    }
}

/// Puts a token into each call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Sends `authorization: Bearer TEXT`.
    pub fn of(text: &str) -> Self {
        Self(Some(format!("Bearer {text}").parse().expect("ASCII")))
    }

    /// Sends nothing.
    pub fn none() -> Self {
        Self(None)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert("authorization", header.clone());
        }
        Ok(request)
    }
}

type WithToken = InterceptedService<Channel, Bearer>;

/// The lookups, asked for with this token.
pub fn resolver(aka: &Aka, token: &Token) -> ResolverClient<WithToken> {
    ResolverClient::with_interceptor(aka.channel(), Bearer::of(&token.text))
}

/// The admin calls, made with this token.
pub fn admin(aka: &Aka, token: &Token) -> AliasAdminClient<WithToken> {
    AliasAdminClient::with_interceptor(aka.channel(), Bearer::of(&token.text))
}
