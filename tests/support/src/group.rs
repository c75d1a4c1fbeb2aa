//! A real group: MySQL servers with Group Replication, of which one is the primary.

use crate::db_server::DbServer;
use crate::engine::Engine;
use crate::expect::{PATIENCE, eventually};
use crate::network::{Network, address};
use crate::port::free_port;
use std::time::{Duration, Instant};

/// The name of the group. Groups of several tests do not meet, because their seeds differ.
const NAME: &str = "3d1fbf3e-6a1b-4c59-9a57-0b6d5ac0a1ce";

/// How many servers a group has.
const NODES: usize = 3;

/// The port on which servers talk as a group, where each has an address of its own.
const GROUP_PORT: u16 = 33_061;

/// How long a server may take to copy what it has missed.
const RECOVERY: Duration = Duration::from_secs(120);

/// Three servers, of which one takes writes.
///
/// Settings make elections quick: a member that is gone is expelled as soon as it is suspected.
pub struct MySqlGroup {
    nodes: Vec<DbServer>,
    database: String,
    /// The network between the servers, if that is not the machine's.
    network: Option<Network>,
}

impl MySqlGroup {
    /// Starts the servers, forms the group, and makes an empty database.
    pub async fn start() -> Self {
        Self::form(None).await
    }

    /// The same with a network between the servers that can be cut. Only root can make one.
    pub async fn start_on_own_network() -> Self {
        let made = tokio::task::spawn_blocking(|| Network::new(NODES));
        Self::form(Some(made.await.expect("a network can be made"))).await
    }

    async fn form(network: Option<Network>) -> Self {
        let ports: Vec<u16> = (0..NODES).map(|_| free_port()).collect();
        let places = ports.iter().enumerate().map(|(number, &port)| match &network {
            // The port of the group's own talk, beside that of MySQL.
            Some(_) => (address(number), GROUP_PORT),
            None => ("127.0.0.1".to_owned(), port),
        });
        let places: Vec<(String, u16)> = places.collect();
        let seeds: Vec<_> = places.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let starting = ports.into_iter().zip(&places).enumerate().map(|(number, (port, place))| {
            let mut options = options(number, place, &seeds.join(","));
            let member = network.as_ref().map(|network| network.member(number));
            tokio::task::spawn_blocking(move || match member {
                Some(member) => {
                    options.push("--bind-address=*".to_owned());
                    DbServer::start_in(member, Engine::MySql, port, options)
                }
                None => {
                    let options: Vec<&str> = options.iter().map(String::as_str).collect();
                    DbServer::start_with(Engine::MySql, &options)
                }
            })
        });
        let mut nodes = Vec::new();
        for node in starting.collect::<Vec<_>>() {
            nodes.push(node.await.expect("the server starts"));
        }
        let mut group = Self { nodes, database: String::new(), network };
        group.nodes[0]
            .execute(
                "SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION; \
                 SET GLOBAL group_replication_bootstrap_group = OFF",
            )
            .await;
        for number in 1..NODES {
            group.join(number).await;
        }
        eventually("the first server is the primary", async || {
            group.primary().await.filter(|&primary| primary == 0)
        })
        .await;
        group.database = group.nodes[0].create_database().await;
        group
    }

    /// The URL of one shard with all servers in it.
    pub fn url(&self) -> String {
        let servers = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port()));
        let servers: Vec<_> = servers.collect();
        format!("mysql://root@{}/{}", servers.join(","), self.database)
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// One server.
    pub fn node(&self, number: usize) -> &DbServer {
        &self.nodes[number]
    }

    /// The server that takes writes, as those say that have a quorum. `None` while there is none.
    pub async fn primary(&self) -> Option<usize> {
        for node in &self.nodes {
            let asked = tokio::time::timeout(Duration::from_secs(1), primary_port(node)).await;
            if let Ok(Some(port)) = asked {
                return self.nodes.iter().position(|node| node.port() == port);
            }
        }
        None
    }

    /// Whether a server says that it takes writes.
    pub async fn takes_writes(&self, number: usize) -> bool {
        let node = &self.nodes[number];
        let asked = async {
            node.pid()?;
            let mut connection = node.try_connect().await.ok()?;
            let read_only = "SELECT @@global.super_read_only";
            sqlx::query_scalar::<_, i64>(read_only).fetch_one(&mut connection).await.ok()
        };
        let asked = tokio::time::timeout(Duration::from_secs(1), asked).await;
        matches!(asked, Ok(Some(0)))
    }

    /// Waits for a primary that is another server than this one.
    pub async fn other_primary(&self, than: usize) -> usize {
        eventually("another server is the primary", async || {
            self.primary().await.filter(|&primary| primary != than)
        })
        .await
    }

    /// Makes another server the primary, in order.
    pub async fn switch_primary(&self, to: usize) {
        let mut connection = self.nodes[to].connect().await;
        let id: String = sqlx::query_scalar("SELECT CAST(@@server_uuid AS CHAR)")
            .fetch_one(&mut connection)
            .await
            .expect("the server has an id");
        self.nodes[to].execute(&format!("SELECT group_replication_set_as_primary('{id}')")).await;
    }

    /// Pulls a server's cable to the others. Tests and instances still reach it.
    pub fn cut_off(&self, number: usize) {
        self.own_network().connect(number, false);
    }

    /// Ends [`Self::cut_off`].
    pub fn reconnect(&self, number: usize) {
        self.own_network().connect(number, true);
    }

    fn own_network(&self) -> &Network {
        self.network.as_ref().expect("the group has a network of its own")
    }

    /// Starts a server that was killed, and lets it join again.
    pub async fn rejoin(&self, number: usize) {
        tokio::task::block_in_place(|| self.nodes[number].restart());
        self.join(number).await;
    }

    async fn join(&self, number: usize) {
        let node = &self.nodes[number];
        let joined =
            tokio::time::timeout(PATIENCE, node.execute("START GROUP_REPLICATION USER = 'root'"));
        joined.await.expect("the server joins the group in time");
        let deadline = Instant::now() + RECOVERY;
        loop {
            let mut connection = node.connect().await;
            let state: Option<String> = sqlx::query_scalar(
                "SELECT CAST(member_state AS CHAR) \
                 FROM performance_schema.replication_group_members \
                 WHERE member_id = @@server_uuid",
            )
            .fetch_optional(&mut connection)
            .await
            .expect("the members can be read");
            let state = state.unwrap_or_default();
            if state == "ONLINE" {
                return;
            }
            let waits = state != "ERROR" && Instant::now() < deadline;
            assert!(waits, "server {number} does not join, it is {state}.\n{}", node.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The port of the primary, as a server sees it that belongs to the majority.
async fn primary_port(node: &DbServer) -> Option<u16> {
    node.pid()?;
    let mut connection = node.try_connect().await.ok()?;
    let members: Vec<(u32, String, String)> = sqlx::query_as(
        "SELECT CAST(member_port AS UNSIGNED), CAST(member_state AS CHAR), \
            CAST(member_role AS CHAR) FROM performance_schema.replication_group_members",
    )
    .fetch_all(&mut connection)
    .await
    .ok()?;
    let online = |(_, state, _): &&(u32, String, String)| state == "ONLINE";
    if members.iter().filter(online).count() * 2 <= NODES {
        return None;
    }
    let primary = members.iter().filter(online).find(|(_, _, role)| role == "PRIMARY");
    primary.and_then(|(port, ..)| u16::try_from(*port).ok())
}

fn options(number: usize, (host, port): &(String, u16), seeds: &str) -> Vec<String> {
    let mut options = vec![
        format!("--server-id={}", number + 1),
        format!("--group-replication-group-name={NAME}"),
        format!("--group-replication-local-address={host}:{port}"),
        format!("--report-host={host}"),
        format!("--group-replication-group-seeds={seeds}"),
    ];
    let fixed = [
        // These win over the options of single servers.
        "--performance-schema=ON",
        "--innodb-buffer-pool-size=32M",
        "--log-bin=binlog",
        "--gtid-mode=ON",
        "--enforce-gtid-consistency=ON",
        "--plugin-load-add=group_replication.so",
        "--group-replication-start-on-boot=OFF",
        "--group-replication-recovery-get-public-key=ON",
        "--group-replication-member-expel-timeout=0",
    ];
    options.extend(fixed.map(str::to_owned));
    options
}
