//! The process is killed (SIGKILL) in every transaction of a write: before its commit, and after
//! the commit but before anything is told of it. A retry completes the write, the sweeper cleans
//! the tables, and no acknowledged write is lost (P1, P7).

use aka_test_support::{Aka, Backend, Database, PROJECT, check_is_clean, eventually, invariants};
use tonic::{Code, Status};

on_backends!(a_create_is_whole_whenever_it_is_killed: sqlite mysql_3 mariadb_3);
on_backends!(an_update_is_whole_whenever_it_is_killed: sqlite mysql_3 mariadb_3);
on_backends!(a_delete_is_whole_whenever_it_is_killed: sqlite mysql_3 mariadb_3);

/// Three ids that are on three shards, where there are so many.
struct Ids {
    alias: String,
    canonical: String,
    other: String,
}

/// Kills the process at one place after another of the same write, until it survives.
struct Victims<'a> {
    database: &'a Database,
    /// An instance that is never killed. It prepares the data and reads the outcome.
    witness: Aka,
    attempts: usize,
    killed: usize,
}

impl<'a> Victims<'a> {
    async fn new(database: &'a Database) -> Self {
        let witness = Aka::serve(database, &["--sweep-pause-ms", "20"]).await;
        witness.create(PROJECT, "kept", "keeper").await.expect("created");
        Self { database, witness, attempts: 0, killed: 0 }
    }

    /// Ids that no earlier attempt has used.
    fn ids(&mut self) -> Ids {
        self.attempts += 1;
        let on = |place: usize, stem: &str| {
            let shard = place % self.database.shards();
            let stem = format!("{stem}{}", self.attempts);
            self.database.ids_on(shard, PROJECT, &stem, 1).remove(0)
        };
        Ids { alias: on(0, "alias"), canonical: on(1, "canonical"), other: on(2, "other") }
    }

    /// Runs `write` on an instance that dies when it reaches `place` for the nth time. True if it
    /// died, false if the write was done before.
    async fn kill_at<T>(
        &mut self,
        place: &str,
        nth: u32,
        write: impl AsyncFnOnce(&Aka) -> Result<T, Status>,
    ) -> bool {
        let at = format!("{place}:{nth}");
        let victim = Aka::serve_with_env(self.database, &[], &[("AKA_CRASH_AT", &at)]).await;
        let died = match write(&victim).await {
            Ok(_) => false,
            Err(status) => {
                assert_ne!(status.code(), Code::Internal, "{at}: {status:?}");
                true
            }
        };
        self.killed += usize::from(died);
        // Half a write may be left in the tables, but no reader may see that.
        invariants::assert_hold(self.database, true).await;
        died
    }

    /// Checks that the sweeper removes the orphans, and that acknowledged writes are there.
    async fn finish(self, least: usize) {
        assert!(self.killed >= least, "killed only {} times", self.killed);
        for shard in 0..self.database.shards() {
            let age = "UPDATE canonical SET create_time_us = create_time_us - 7200000000";
            self.database.connect(shard).await.execute(age).await;
        }
        let database = self.database;
        eventually("the sweeper has removed every orphan", async || {
            let tables = database.tables().await;
            let forward: usize = tables.iter().map(|shard| shard.forward.len()).sum();
            let inverse: usize = tables.iter().map(|shard| shard.inverse.len()).sum();
            (forward == inverse).then_some(())
        })
        .await;
        invariants::assert_hold(database, false).await;
        check_is_clean(database).await;
        let kept = self.witness.get(PROJECT, "kept").await.expect("acknowledged before the kills");
        assert_eq!(kept.canonical_id, "keeper");
    }
}

async fn a_create_is_whole_whenever_it_is_killed(backend: Backend) {
    let database = Database::create(backend).await;
    let mut victims = Victims::new(&database).await;
    for place in ["written", "committed"] {
        for nth in 1.. {
            let Ids { alias, canonical, .. } = victims.ids();
            let died = victims
                .kill_at(place, nth, async |aka| aka.create(PROJECT, &alias, &canonical).await)
                .await;
            let again = victims.witness.create(PROJECT, &alias, &canonical).await;
            let again = again.expect("a retry makes it whole");
            assert_eq!(again.alias.expect("an alias").canonical_id, canonical);
            let last = place == "committed" && nth as usize == steps(&database);
            assert!(died || !last, "a write that was committed was acknowledged, too");
            if !died {
                assert!(!again.created, "an acknowledged create was lost");
                break;
            }
        }
    }
    victims.finish(2 * steps(&database)).await;
}

async fn an_update_is_whole_whenever_it_is_killed(backend: Backend) {
    let database = Database::create(backend).await;
    let mut victims = Victims::new(&database).await;
    for place in ["written", "committed"] {
        for nth in 1.. {
            let Ids { alias, canonical, other } = victims.ids();
            let created = victims.witness.create(PROJECT, &alias, &canonical).await;
            let version = created.expect("created").alias.expect("an alias").version;
            let died = victims
                .kill_at(place, nth, async |aka| aka.update(PROJECT, &alias, &other, version).await)
                .await;
            let now = victims.witness.get(PROJECT, &alias).await.expect("it is an alias");
            assert!(now.canonical_id == canonical || now.canonical_id == other, "{now:?}");
            assert!(died || now.canonical_id == other, "an acknowledged update was lost");
            let again = victims.witness.update(PROJECT, &alias, &other, version).await;
            let again = again.expect("a retry makes it whole").alias.expect("an alias");
            assert_eq!(again.canonical_id, other);
            if !died {
                break;
            }
        }
    }
    victims.finish(2 * steps(&database)).await;
}

async fn a_delete_is_whole_whenever_it_is_killed(backend: Backend) {
    let database = Database::create(backend).await;
    let mut victims = Victims::new(&database).await;
    for place in ["written", "committed"] {
        for nth in 1.. {
            let Ids { alias, canonical, .. } = victims.ids();
            victims.witness.create(PROJECT, &alias, &canonical).await.expect("created");
            let died =
                victims.kill_at(place, nth, async |aka| aka.delete(PROJECT, &alias, 0).await).await;
            match victims.witness.delete(PROJECT, &alias, 0).await {
                Ok(_) => assert!(died, "an acknowledged delete was lost"),
                Err(status) => assert_eq!(status.code(), Code::NotFound, "{status:?}"),
            }
            if !died {
                break;
            }
        }
    }
    victims.finish(2 * steps(&database).min(2)).await;
}

/// The number of transactions of a create.
fn steps(database: &Database) -> usize {
    database.shards().min(2)
}
