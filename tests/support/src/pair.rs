//! A real pair: a primary, and a replica that follows it by semi-synchronous replication.

use crate::database::Database;
use crate::db_server::DbServer;
use crate::engine::Engine;
use crate::expect::eventually;

/// A primary and its replica. A commit on the primary waits until the replica has it.
pub struct ReplicaPair {
    pub primary: DbServer,
    pub replica: DbServer,
    database: String,
}

impl ReplicaPair {
    /// Starts both with a migrated shard.
    pub async fn start(engine: Engine) -> Self {
        let started = tokio::task::spawn_blocking(move || {
            DbServer::start_with(engine, &options(engine, "--server-id=1"))
        });
        let primary = started.await.expect("the server starts");
        let database = Database::on(&[&primary]).await.names().remove(0);
        let copied = tokio::task::spawn_blocking(move || {
            primary.stop();
            let replica = primary.copy_with(&options(engine, "--server-id=2"));
            primary.restart();
            replica.restart();
            (primary, replica)
        });
        let (primary, replica) = copied.await.expect("both servers start");
        let pair = Self { primary, replica, database };
        pair.follow(engine).await;
        pair
    }

    /// The URL of one shard with both servers in it.
    pub fn url(&self) -> String {
        let (primary, replica) = (self.primary.port(), self.replica.port());
        format!("mysql://root@127.0.0.1:{primary},127.0.0.1:{replica}/{}", self.database)
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Lets the replica follow the primary, and the primary wait for it.
    async fn follow(&self, engine: Engine) {
        let port = self.primary.port();
        let (replica, primary) = match engine {
            Engine::MySql => (
                format!(
                    "SET GLOBAL rpl_semi_sync_replica_enabled = ON; \
                     CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', \
                        SOURCE_PORT = {port}, SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1, \
                        GET_SOURCE_PUBLIC_KEY = 1; \
                     START REPLICA; SET GLOBAL super_read_only = ON"
                ),
                "SET GLOBAL rpl_semi_sync_source_timeout = 3600000; \
                 SET GLOBAL rpl_semi_sync_source_enabled = ON",
            ),
            Engine::MariaDb => {
                let mut connection = self.primary.connect().await;
                let at: String = sqlx::query_scalar("SELECT CAST(@@gtid_binlog_pos AS CHAR)")
                    .fetch_one(&mut connection)
                    .await
                    .expect("the primary has a position");
                (
                    format!(
                        "SET GLOBAL rpl_semi_sync_slave_enabled = ON; \
                         SET GLOBAL gtid_slave_pos = '{at}'; \
                         CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, \
                            MASTER_USER = 'root', MASTER_USE_GTID = slave_pos; \
                         START SLAVE; SET GLOBAL read_only = ON"
                    ),
                    "SET GLOBAL rpl_semi_sync_master_timeout = 3600000; \
                     SET GLOBAL rpl_semi_sync_master_enabled = ON",
                )
            }
        };
        self.replica.execute(&replica).await;
        self.primary.execute(primary).await;
        // The primary knows its replica now, or this commit would wait for ever.
        self.primary.execute("CREATE DATABASE followed").await;
        eventually("the replica follows", async || {
            let mut connection = self.replica.connect().await;
            let found: Option<String> = sqlx::query_scalar(
                "SELECT CAST(schema_name AS CHAR) FROM information_schema.schemata \
                 WHERE schema_name = 'followed'",
            )
            .fetch_optional(&mut connection)
            .await
            .expect("the databases can be listed");
            found
        })
        .await;
    }
}

fn options(engine: Engine, id: &'static str) -> Vec<&'static str> {
    let mut options = vec![id, "--log-bin=binlog"];
    if engine == Engine::MySql {
        options.extend([
            "--gtid-mode=ON",
            "--enforce-gtid-consistency=ON",
            "--plugin-load-add=semisync_source.so",
            "--plugin-load-add=semisync_replica.so",
        ]);
    }
    options
}
