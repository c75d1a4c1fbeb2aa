//! The answers that a reader may see while a writer goes on (P2, P4 to P6).

use aka_test_support::{Aka, Backend, PROJECT, batch_request, eventually, start};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

on_backends!(readers_keep_up_with_a_writer: sqlite mysql_3 mariadb_1);
on_backends!(readers_of_another_instance_keep_up_too: mysql_1 mysql_3 mariadb_3);

/// The states that an id goes through: created, re-pointed, deleted, and so on.
const STATES: u64 = 120;

/// One id on its way through its states, and what the test knows of it.
struct Journey {
    id: String,
    /// The state that the last acknowledged write has led to.
    acknowledged: AtomicU64,
    /// The state that the last write that was sent may have led to.
    begun: AtomicU64,
    /// An acknowledged state, and its token.
    token: Mutex<(u64, String)>,
}

/// The canonical id of an id in a state. `None`: the id is no alias.
fn canonical_in(state: u64) -> Option<String> {
    (!state.is_multiple_of(3)).then(|| format!("state-{state}"))
}

impl Journey {
    fn new(id: &str) -> Self {
        let [acknowledged, begun] = [const { AtomicU64::new(0) }; 2];
        Self { id: id.to_owned(), acknowledged, begun, token: Mutex::default() }
    }

    fn over(&self) -> bool {
        self.acknowledged.load(SeqCst) == STATES
    }

    /// Writes all states, one after the other, and reads its own writes.
    async fn write(&self, aka: &Aka) {
        let mut version = 0;
        for state in 1..=STATES {
            self.begun.store(state, SeqCst);
            let (seen, token) = match (canonical_in(state - 1), canonical_in(state)) {
                (None, Some(to)) => {
                    let done = aka.create(PROJECT, &self.id, to).await.expect("created");
                    (done.alias, done.consistency_token)
                }
                (_, Some(to)) => {
                    let done = aka.update(PROJECT, &self.id, to, version).await.expect("updated");
                    (done.alias, done.consistency_token)
                }
                (_, None) => {
                    let done = aka.delete(PROJECT, &self.id, version).await.expect("deleted");
                    (None, done.consistency_token)
                }
            };
            version = seen.map_or(0, |alias| alias.version);
            self.acknowledged.store(state, SeqCst);
            *self.token.lock().expect("no panic") = (state, token);
            for by in [By::Resolve, By::Batch] {
                let expected = canonical_in(state);
                let answers = self.ask(aka, by, "").await;
                assert!(answers.iter().all(|seen| *seen == expected), "its own write: {answers:?}");
            }
        }
    }

    /// The canonical ids in an answer. A batch asks for the id twice, and its two answers may be of
    /// different states.
    async fn ask(&self, aka: &Aka, by: By, token: &str) -> Vec<Option<String>> {
        match by {
            By::Resolve => {
                let answer = aka.resolve_as_of(PROJECT, &self.id, token).await.expect("resolved");
                assert!(!answer.degraded);
                assert!(answer.is_alias || answer.canonical_id == self.id);
                vec![answer.is_alias.then(|| text(&answer.canonical_id))]
            }
            By::Batch => {
                let mut request = batch_request(PROJECT, [&self.id, "stranger", &self.id]);
                request.consistency_token = token.to_owned();
                let answer = aka.resolver().batch_resolve(request).await.expect("resolved");
                let answer = answer.into_inner();
                assert!(answer.failures.is_empty() && !answer.degraded);
                let mut found = [None, None, None];
                for alias in answer.aliases {
                    found[alias.index as usize] = Some(text(&alias.canonical_id));
                }
                let [first, stranger, second] = found;
                assert_eq!(stranger, None);
                vec![first, second]
            }
        }
    }

    /// Reads until all states are written. Each answer must be a state between `least` and the
    /// present one, and not older than any state that was seen before the read was sent.
    async fn read(&self, aka: &Aka, by: By, least: Least) -> u64 {
        let (mut reads, mut last) = (0, 0);
        while !self.over() {
            let (floor, token) = match least {
                Least::Acknowledged => (self.acknowledged.load(SeqCst), String::new()),
                Least::Token => self.token.lock().expect("no panic").clone(),
                Least::Before => (0, String::new()),
            };
            let answers = self.ask(aka, by, &token).await;
            let newest = self.begun.load(SeqCst);
            let states = answers.iter().map(|answer| {
                let mut possible = floor.max(last)..=newest;
                possible.find(|state| canonical_in(*state) == *answer).unwrap_or_else(|| {
                    panic!(
                        "{} was {answer:?} ({by:?}, {least:?}): seen before: {last}, at least: \
                         {floor}, at most: {newest}",
                        self.id
                    )
                })
            });
            last = states.max().expect("an answer");
            reads += 1;
        }
        reads
    }
}

#[derive(Clone, Copy, Debug)]
enum By {
    Resolve,
    Batch,
}

/// The oldest state that a reader may see, besides what it has seen before.
#[derive(Clone, Copy, Debug)]
enum Least {
    /// Every write that this instance had acknowledged before the read.
    Acknowledged,
    /// The write that its token is of.
    Token,
    /// Nothing more.
    Before,
}

fn text(id: &[u8]) -> String {
    String::from_utf8(id.to_vec()).expect("UTF-8")
}

async fn readers_keep_up_with_a_writer(backend: Backend) {
    let (_database, aka) = start(backend).await;
    let journeys = ["wanderer-1", "wanderer-2", "wanderer-3"].map(Journey::new);
    let run = async |journey: &Journey| {
        let read = |by| journey.read(&aka, by, Least::Acknowledged);
        let ((), one, two, three) = tokio::join!(
            journey.write(&aka),
            read(By::Resolve),
            read(By::Resolve),
            read(By::Batch)
        );
        assert!(one.min(two).min(three) > 0, "a reader did not get to read");
    };
    let [one, two, three] = &journeys;
    tokio::join!(run(one), run(two), run(three));
}

async fn readers_of_another_instance_keep_up_too(backend: Backend) {
    let (database, writer) = start(backend).await;
    let reader = Aka::serve(&database, &[]).await;
    let journeys = ["wanderer-1", "wanderer-2"].map(Journey::new);
    let run = async |journey: &Journey| {
        let read = |by, least| journey.read(&reader, by, least);
        tokio::join!(
            journey.write(&writer),
            read(By::Resolve, Least::Before),
            read(By::Batch, Least::Before),
            read(By::Resolve, Least::Token),
            read(By::Batch, Least::Token)
        );
        // When the changes stop, both agree.
        eventually("the other instance agrees", async || {
            (journey.ask(&reader, By::Resolve, "").await == [canonical_in(STATES)]).then_some(())
        })
        .await;
    };
    let [one, two] = &journeys;
    tokio::join!(run(one), run(two));
}
