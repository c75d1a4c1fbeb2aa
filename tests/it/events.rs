//! A day of a product's events, from end to end. The alias events go through `aka alias create`,
//! then the `distinct_id` of every event through `aka resolve`. An independent model predicts each
//! answer.

mod generator;
mod model;

use aka_test_support::{Aka, Backend, PROJECT, aka, check_is_clean, invariants, start_with};
use generator::{Event, Kind, Traffic};
use model::{Made, Model};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const SEED: u64 = 20_260_101;
const EVENTS: usize = 4_000;

/// More aliases than any canonical id has here. Another test is about the limit
/// (`command_line::aliases`).
const MAX_ALIASES: u64 = 500;

fn day() -> Vec<String> {
    Traffic::new(SEED).take(EVENTS).collect()
}

/// The part of an event that ingestion looks at.
fn read(line: &str) -> Event {
    generator::read(line).unwrap_or_else(|| panic!("not an event: {line}"))
}

#[test]
fn the_same_seed_makes_the_same_day() {
    assert_eq!(day(), day());
    let other: Vec<_> = Traffic::new(SEED + 1).take(EVENTS).collect();
    assert_ne!(day(), other);
}

#[test]
fn the_day_is_like_real_traffic() {
    let events: Vec<_> = day().iter().map(|line| read(line)).collect();
    let mut counts = BTreeMap::new();
    for event in &events {
        *counts.entry(event.distinct_id.as_str()).or_insert(0_u32) += 1;
    }
    let mut by_count: Vec<_> = counts.values().copied().collect();
    by_count.sort_unstable_by(|a, b| b.cmp(a));
    // A few people have many events, and many people have few.
    let top: u32 = by_count.iter().take(by_count.len() / 10).sum();
    assert!(by_count.len() > 500, "{} ids", by_count.len());
    assert!(top as usize > EVENTS / 2, "the top tenth has {top} events");
    assert!(by_count.iter().filter(|&&count| count == 1).count() > 50);

    let has = |what: &str, test: &dyn Fn(&str) -> bool| {
        assert!(counts.keys().any(|id| test(id)), "no id that {what}");
    };
    has("is a device", &|id| id.len() == 36 && id.matches('-').count() == 4);
    has("is an e-mail address", &|id| id.contains('@'));
    has("is a number", &|id| id.parse::<u64>().is_ok());
    has("is not ASCII", &|id| !id.is_ascii() && !id.chars().any(char::is_control));
    has("is decomposed", &|id| id.contains('\u{301}'));
    has("is a placeholder", &|id| id == "undefined");
    has("is empty", &str::is_empty);
    has("is too long", &|id| id.len() > 255);
    has("holds a control character", &|id| id.chars().any(char::is_control));
    let aliases = events.iter().filter(|event| !matches!(event.kind, Kind::Other)).count();
    assert!((200..EVENTS / 4).contains(&aliases), "{aliases} alias events");
}

on_backends!(every_event_goes_to_its_person: sqlite mysql_3 mariadb_3);

async fn every_event_goes_to_its_person(backend: Backend) {
    let limit = MAX_ALIASES.to_string();
    let (database, aka) = start_with(backend, &["--max-aliases", &limit]).await;
    let events: Vec<_> = day().iter().map(|line| read(line)).collect();
    let pairs: Vec<_> = events.iter().filter_map(Event::alias).collect();
    let mut model = Model::new(MAX_ALIASES);
    create_all(&aka, &pairs, &mut model).await;
    resolve_all(&aka, &events, &model).await;
    check_is_clean(&database).await;
    invariants::assert_hold(&database, false).await;

    // An SDK that repeats its events makes no difference: nothing is created, nobody is merged.
    let before = database.tables().await;
    create_all(&aka, &pairs, &mut model).await;
    assert_eq!(database.tables().await, before);
}

/// Every line of the answer is what the model says of that pair at that time.
async fn create_all(aka: &Aka, pairs: &[(String, String)], model: &mut Model) {
    let input: String = pairs.iter().map(|(a, c)| format!("{a}\t{c}\n")).collect();
    let ended = command(aka, &["alias", "create", "--output", "json"]).input(input).run().await;
    let lines = ended.json();
    assert_eq!(lines.len(), pairs.len(), "{}", ended.stderr);
    let mut seen = BTreeSet::new();
    for (number, ((alias, canonical), line)) in pairs.iter().zip(&lines).enumerate() {
        let meant = model.create(alias, canonical);
        seen.insert(meant.word());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let is = match line["error"]["reason"].as_str() {
            Some(reason) => Made::Refused(reason.to_owned()),
            None if line["created"] == true => Made::Created(text(&line["canonical_id"])),
            None => Made::Unchanged(text(&line["canonical_id"])),
        };
        assert_eq!(is, meant, "line {}: {alias:?} -> {canonical:?}: {line}", number + 1);
        assert_eq!(text(&line["alias_id"]), *alias);
    }
    // Some were refused, which is exit code 1.
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for word in ["unchanged", "ALIAS_TAKEN", "ALIAS_IS_CANONICAL"] {
        assert!(seen.contains(word), "no case of {word} in {seen:?}");
    }
    for word in ["SELF_ALIAS", "PLACEHOLDER_ID", "INVALID_ID"] {
        assert!(seen.contains(word), "no case of {word} in {seen:?}");
    }
}

/// Line by line, in order: the ids that are answered and those that are not aliases at all.
async fn resolve_all(aka: &Aka, events: &[Event], model: &Model) {
    // The lines end as those of Windows do. An id that ends with a carriage return keeps its own.
    let input: String = events.iter().map(|event| format!("{}\r\n", event.distinct_id)).collect();
    let plain = command(aka, &["resolve"]).input(input.clone()).run().await.succeeded();
    let answers: Vec<_> = plain.split_terminator('\n').collect();
    assert_eq!(answers.len(), events.len());
    let mut aliases = 0;
    for (number, (event, answer)) in events.iter().zip(&answers).enumerate() {
        let meant = model.resolve(&event.distinct_id);
        assert_eq!(*answer, meant, "line {}: {:?}", number + 1, event.distinct_id);
        aliases += usize::from(meant != event.distinct_id);
    }
    assert!(aliases > EVENTS / 10 && aliases < EVENTS, "{aliases} of them are aliases");

    // The same for programs, now from memory.
    let json = command(aka, &["resolve", "--output", "json"]).input(input).run().await.json();
    assert_eq!(json.len(), events.len());
    for (event, line) in events.iter().zip(&json) {
        let meant = model.resolve(&event.distinct_id);
        assert_eq!(line["distinct_id"], event.distinct_id.as_str());
        assert_eq!(line["canonical_id"], meant, "{line}");
        assert_eq!(line["is_alias"], meant != event.distinct_id, "{line}");
        assert_eq!(line["degraded"], false, "{line}");
    }
}

fn command(server: &Aka, args: &[&str]) -> aka_test_support::Invocation {
    let project = PROJECT.to_string();
    aka(args).env("AKA_SERVER", server.grpc.to_string()).env("AKA_PROJECT", project)
}
