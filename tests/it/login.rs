//! Logging in to MySQL and MariaDB with a password, in every way. The password is never shown.

use aka_test_support::{
    DbServer, Ended, Engine, Invocation, SECRET, aka, aka_serve, shared_server,
};
use std::ffi::OsString;
use std::path::Path;
use url::Url;

/// The rights that docs/mysql.md lists for the service, and those that a migration needs besides.
const SERVE_RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE";
const MIGRATE_RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX";

/// A new user with a password. The server has nothing cached, so the whole password must be sent.
struct Account {
    server: &'static DbServer,
    database: String,
    user: String,
    password: String,
}

impl Account {
    async fn create(engine: Engine, options: &str) -> Self {
        let server = tokio::task::spawn_blocking(move || shared_server(engine)).await;
        let server = server.expect("the shared server starts");
        let database = server.create_database().await;
        let account = Self {
            server,
            user: format!("user_{database}"),
            // With characters that must be escaped in a URL.
            password: format!("{SECRET} @:/?#&%41+ü"),
            database,
        };
        account.add_user(&account.user, options).await;
        account.grant(&account.user, MIGRATE_RIGHTS).await;
        account
    }

    async fn add_user(&self, user: &str, options: &str) {
        let plugin = match self.server.engine() {
            Engine::MySql => "WITH caching_sha2_password BY",
            Engine::MariaDb => "BY",
        };
        let password = &self.password;
        let sql = format!("CREATE USER '{user}'@'%' IDENTIFIED {plugin} '{password}' {options}");
        self.server.execute(&sql).await;
    }

    async fn grant(&self, user: &str, rights: &str) {
        let database = &self.database;
        self.server.execute(&format!("GRANT {rights} ON {database}.* TO '{user}'@'%'")).await;
    }

    /// The shard's URL. `query` follows the question mark.
    fn url(&self, password: Option<&str>, query: &str) -> String {
        let mut url = Url::parse(&self.server.url(&self.database)).expect("a URL");
        url.set_username(&self.user).expect("it has a host");
        // What is escaped already would stay as it is.
        let password = password.map(|password| password.replace('%', "%25"));
        url.set_password(password.as_deref()).expect("it has a host");
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url.to_string()
    }

    fn with_password(&self, query: &str) -> String {
        self.url(Some(&self.password), query)
    }
}

/// Migrates, serves, writes, reads and checks. `with` adds the password to a command.
async fn works(url: &str, with: impl Fn(Invocation) -> Invocation) {
    with(aka(["migrate", "--shard", url])).run().await.succeeded();
    serves(url, &with).await;
    let clean = with(aka(["check", "--shard", url])).run().await.succeeded();
    assert!(clean.contains("no problems"), "{clean}");
}

/// Serves, writes and reads, with the most verbose log.
async fn serves(url: &str, with: impl Fn(Invocation) -> Invocation) {
    let serving = with(aka_serve(["--shard", url])).env("AKA_LOG", "trace").serve().await;
    let client =
        |args: &[&str]| aka(args).env("AKA_SERVER", &serving.address).env("AKA_PROJECT", "7").run();
    client(&["alias", "create", "b1", "b2"]).await.succeeded();
    client(&["alias", "create", "b4", "b5"]).await.succeeded();
    assert_eq!(client(&["resolve", "b1", "b3"]).await.succeeded(), "b2\nb3\n");
    client(&["alias", "update", "b1", "b3", "--expected-version", "1"]).await.succeeded();
    client(&["alias", "delete", "b4"]).await.succeeded();
    let listed = client(&["alias", "list", "b3"]).await.succeeded();
    assert!(listed.starts_with("b1\t"), "{listed}");
    // As for every command, this checks that the log does not show the password.
    let ended = serving.stop().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(ended.stderr.contains("\"level\":\"TRACE\""), "nothing was logged that could tell");
}

fn unchanged(command: Invocation) -> Invocation {
    command
}

fn query_for_ca(mode: &str, certificate: &Path) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("ssl-mode", mode);
    pairs.append_pair("ssl-ca", certificate.to_str().expect("UTF-8"));
    pairs.finish()
}

#[tokio::test]
async fn over_tls() {
    let account = Account::create(Engine::MySql, "REQUIRE SSL").await;
    // Without TLS this user cannot log in. So the other logins use TLS.
    let plain = account.with_password("ssl-mode=disabled");
    aka(["migrate", "--shard", &plain]).run().await.failed(69, &["Access denied"]);
    works(&account.with_password("ssl-mode=required"), unchanged).await;
    let certificate = account.server.ca_certificate();
    serves_again(&account, &query_for_ca("verify_ca", &certificate)).await;
    serves_again(&account, "").await;
}

#[tokio::test]
async fn over_tls_with_the_authority_verified() {
    let account = Account::create(Engine::MySql, "REQUIRE SSL").await;
    let certificate = account.server.ca_certificate();
    works(&account.with_password(&query_for_ca("verify_ca", &certificate)), unchanged).await;

    // The server's certificate is not of this authority, nor is it for this host.
    let other = certificate.with_file_name("client-cert.pem");
    assert!(other.is_file(), "MySQL makes one");
    for query in [query_for_ca("verify_ca", &other), query_for_ca("verify_identity", &certificate)]
    {
        let url = account.with_password(&query);
        aka_serve(["--shard", &url]).run().await.failed(69, &["certificate"]);
    }
    let missing = certificate.with_file_name("missing.pem");
    let url = account.with_password(&query_for_ca("verify_ca", &missing));
    aka_serve(["--shard", &url]).run().await.failed(69, &["cannot reach"]);
}

/// One more start on the database that [`works`] has used.
async fn serves_again(account: &Account, query: &str) {
    let url = account.with_password(query);
    let serving = aka_serve(["--shard", &url]).serve().await;
    let resolve = aka(["resolve", "--project", "7", "--server", &serving.address, "b1"]);
    assert_eq!(resolve.run().await.succeeded(), "b3\n");
    assert_eq!(serving.stop().await.code, Some(0));
}

#[tokio::test]
async fn over_plain_tcp() {
    // Without TLS, MySQL takes a new user's password encrypted with its RSA key.
    let account = Account::create(Engine::MySql, "").await;
    works(&account.with_password("ssl-mode=disabled"), unchanged).await;
}

#[tokio::test]
async fn mariadb() {
    let account = Account::create(Engine::MariaDb, "").await;
    works(&account.with_password(""), unchanged).await;
    let account = Account::create(Engine::MariaDb, "").await;
    works(&account.with_password("ssl-mode=disabled"), unchanged).await;
}

#[tokio::test]
async fn with_the_password_of_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("password");
    for (line_end, mode) in [("\n", "ssl-mode=required"), ("", "ssl-mode=disabled")] {
        let account = Account::create(Engine::MySql, "").await;
        std::fs::write(&file, format!("{}{line_end}", account.password))
            .expect("it can be written");
        let flags = [OsString::from("--shard-password-file"), file.clone().into()];
        works(&account.url(None, mode), |command| command.args(&flags)).await;
    }
}

#[tokio::test]
async fn with_the_password_of_the_environment() {
    for mode in ["ssl-mode=required", "ssl-mode=disabled"] {
        let account = Account::create(Engine::MySql, "").await;
        let with = |command: Invocation| command.env("AKA_SHARD_PASSWORD", &account.password);
        works(&account.url(None, mode), with).await;
    }
}

#[tokio::test]
async fn the_password_of_the_url_is_used_first() {
    let account = Account::create(Engine::MySql, "").await;
    works(&account.with_password(""), |it| it.env("AKA_SHARD_PASSWORD", "of other shards")).await;
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let account = Account::create(Engine::MySql, "").await;
    let wrong = format!("{SECRET}-wrong");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("password");
    std::fs::write(&file, &wrong).expect("it can be written");
    let bare = account.url(None, "");
    for command in ["migrate", "serve", "check"] {
        let run = |url: &str| match command {
            "serve" => aka_serve(["--shard", url]).env("AKA_LOG", "trace"),
            _ => aka([command, "--shard", url]),
        };
        let in_url = run(&account.url(Some(&wrong), "")).run().await;
        let of_file = run(&bare).args(["--shard-password-file".as_ref(), file.as_os_str()]);
        let of_environment = run(&bare).env("AKA_SHARD_PASSWORD", &wrong);
        let none = run(&bare).run().await;
        for ended in [in_url, of_file.run().await, of_environment.run().await, none] {
            assert_denied(&ended, &account);
        }
    }
}

#[track_caller]
fn assert_denied(ended: &Ended, account: &Account) {
    ended.failed(69, &["Access denied for user", &account.user, "127.0.0.1"]);
}

#[tokio::test]
async fn the_least_rights_suffice() {
    for engine in Engine::ALL {
        let account = Account::create(engine, "").await;
        aka(["migrate", "--shard", &account.with_password("")]).run().await.succeeded();
        let server = Account { user: format!("{}_s", account.user), ..account };
        server.add_user(&server.user, "").await;
        server.grant(&server.user, SERVE_RIGHTS).await;
        let url = server.with_password("");
        serves(&url, unchanged).await;

        // An orphan for `check --repair`, and a pin that is lost.
        let database = &server.database;
        let slot = aka_test_support::slot_of(7, b"b9");
        let plant = format!(
            "INSERT INTO {database}.canonical VALUES ({slot}, 7, 'b9', 'b8', 1, 1);
             DELETE FROM {database}.canonical WHERE canonical_id = 'b3'"
        );
        server.server.execute(&plant).await;
        let repaired = aka(["check", "--repair", "--shard", &url]).run().await.succeeded();
        assert!(repaired.contains("2 problems, 2 repaired"), "{repaired}");
        // Without the rights to make tables there is one clear sentence.
        let blank = Account { database: server.server.create_database().await, ..server };
        blank.grant(&blank.user, SERVE_RIGHTS).await;
        let migrate = aka(["migrate", "--shard", &blank.with_password("")]).run().await;
        migrate.failed(69, &["denied", &blank.user]);
    }
}
