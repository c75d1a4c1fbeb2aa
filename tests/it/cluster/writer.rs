//! Clients that write, and write down the outcomes.
//!
//! An id has one writer, which does one thing at a time. After an unknown outcome it reads the
//! state from the primary. The old request may still be under way. So for a while the writer only
//! repeats that create and deletes nothing: otherwise the old create could take effect later.

use super::history::{At, Outcome, State, Write};
use super::reader::{PATIENT, World, described, within};
use super::site::INSTANCES;
use super::timeline::LATE;
use aka_test_support::{PROJECT, bytes};
use aka_wire::pb;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// How long a writer waits for an answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// The pause between two writes of one writer.
const PAUSE: Duration = Duration::from_millis(80);

/// The refusals after which nothing is written.
const REFUSALS: [&str; 4] = ["ALIAS_TAKEN", "ALIAS_NOT_FOUND", "VERSION_MISMATCH", "RETRY_LATER"];

/// One id, and the knowledge of its writer.
struct Page {
    key: usize,
    id: String,
    shard: usize,
    known: Known,
    /// The number of the next create or update.
    next: u32,
    /// Until when a late create may take effect, and its number.
    pending: Option<(At, u32)>,
}

#[derive(Clone, Copy)]
enum Known {
    Nothing,
    NoAlias,
    Alias { version: u64 },
}

/// Writes some ids of one shard until the world stops.
pub async fn run(world: Arc<World>, shard: usize, keys: Vec<usize>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let page = |key: usize| {
        let id = world.history.keys[key].id.clone();
        Page { key, id, shard, known: Known::NoAlias, next: 1, pending: None }
    };
    let mut pages: Vec<Page> = keys.into_iter().map(page).collect();
    while !world.stop.is_cancelled() {
        let index = random.random_range(..pages.len());
        let (instance, other) =
            (random.random_range(..INSTANCES), random.random_range(..INSTANCES));
        let page = &mut pages[index];
        if matches!(page.known, Known::Nothing) {
            page.look(&world, instance).await;
        } else if let Some((write, token)) = page.write(&world, instance, &mut random).await {
            world.acknowledged(page.key, write, token.clone());
            world.read(page.key, instance, PATIENT, None).await;
            world.read(page.key, other, PATIENT, Some((write, token))).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Page {
    /// Reads the state from the primary.
    async fn look(&mut self, world: &World, instance: usize) {
        let request = pb::GetAliasRequest { project_id: PROJECT, alias_id: bytes(&self.id) };
        let aka = world.site.instance(instance);
        let answer = aka.admin().get_alias(within(DEADLINE, request)).await;
        self.known = match answer {
            Ok(alias) => Known::of(Some(alias.into_inner())),
            Err(status) if status.code() == Code::NotFound => Known::NoAlias,
            Err(_) => Known::Nothing,
        };
    }

    /// Makes one write. Returns its index and token if it was acknowledged.
    async fn write(
        &mut self,
        world: &World,
        instance: usize,
        random: &mut StdRng,
    ) -> Option<(usize, String)> {
        let began = world.history.now();
        self.pending = self.pending.filter(|(until, _)| began < *until);
        let plan = self.plan(world, random);
        let key = &world.history.keys[self.key];
        let canonical = key.canonical(plan.to());
        let mut shards = vec![self.shard];
        shards.extend(canonical.as_deref().map(|canonical| world.shard_of(canonical)));
        let answer = self.send(plan, canonical, world, instance).await;
        let ended = world.history.now();
        let outcome = match answer {
            Ok((known, token)) => {
                self.known = known;
                Outcome::Acknowledged { token }
            }
            Err(status) => {
                self.known = Known::Nothing;
                let info = status.get_details_error_info();
                match info.filter(|info| REFUSALS.contains(&info.reason.as_str())) {
                    Some(info) => Outcome::Refused(info.reason),
                    None => {
                        if let Plan::Create(number) = plan {
                            self.pending = Some((ended + LATE, number));
                        }
                        Outcome::Unknown(described(status).1)
                    }
                }
            }
        };
        let token = match &outcome {
            Outcome::Acknowledged { token } => Some(token.clone()),
            _ => None,
        };
        let to = plan.to();
        let index = key.wrote(Write { to, instance, shards, began, ended, outcome });
        token.map(|token| (index, token))
    }

    fn plan(&mut self, world: &World, random: &mut StdRng) -> Plan {
        match (self.known, self.pending) {
            (Known::Alias { version, .. }, None) if random.random_bool(0.3) => {
                Plan::Delete { version }
            }
            (Known::Alias { version }, _) => Plan::Update(self.number(world, random), version),
            (_, Some((_, number))) => Plan::Create(number),
            _ => Plan::Create(self.number(world, random)),
        }
    }

    /// A number that was not used before. The canonical id is mostly on the shard of the alias, so
    /// that a sick shard does not stop all writes.
    fn number(&mut self, world: &World, random: &mut StdRng) -> u32 {
        let together = random.random_bool(0.7);
        let key = &world.history.keys[self.key];
        loop {
            let number = self.next;
            self.next += 1;
            let canonical = key.canonical(Some(number)).expect("an alias");
            if (world.shard_of(&canonical) == self.shard) == together {
                return number;
            }
        }
    }

    async fn send(
        &self,
        plan: Plan,
        canonical: Option<String>,
        world: &World,
        instance: usize,
    ) -> Result<(Known, String), Status> {
        let aka = world.site.instance(instance);
        let mut admin = aka.admin();
        let (project_id, alias_id) = (PROJECT, bytes(&self.id));
        let canonical_id = bytes(canonical.unwrap_or_default());
        match plan {
            Plan::Create(_) => {
                let dry_run = false;
                let request =
                    pb::CreateAliasRequest { project_id, alias_id, canonical_id, dry_run };
                let done = admin.create_alias(within(DEADLINE, request)).await?.into_inner();
                Ok((Known::of(done.alias), done.consistency_token))
            }
            Plan::Update(_, expected_version) => {
                let request =
                    pb::UpdateAliasRequest { project_id, alias_id, canonical_id, expected_version };
                let done = admin.update_alias(within(DEADLINE, request)).await?.into_inner();
                Ok((Known::of(done.alias), done.consistency_token))
            }
            Plan::Delete { version: expected_version } => {
                let request = pb::DeleteAliasRequest { project_id, alias_id, expected_version };
                let done = admin.delete_alias(within(DEADLINE, request)).await?.into_inner();
                Ok((Known::NoAlias, done.consistency_token))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Plan {
    /// Of this number.
    Create(u32),
    /// To this number, if the alias has this version.
    Update(u32, u64),
    Delete {
        version: u64,
    },
}

impl Plan {
    fn to(self) -> State {
        match self {
            Self::Create(number) | Self::Update(number, _) => Some(number),
            Self::Delete { .. } => None,
        }
    }
}

impl Known {
    fn of(alias: Option<pb::Alias>) -> Self {
        let alias = alias.expect("a write shows the alias");
        Self::Alias { version: alias.version }
    }
}
