//! The cost of a read that memory answers: validate, hash, look up. There is no gRPC and no database.
//!
//! `cargo bench --bench hot_path`

use aka::admin::{Admin, NewAlias, Rules};
use aka::metrics::Metrics;
use aka::quotas::Quotas;
use aka::resolve::{ReadTerms, Resolver};
use aka::shard::{Cluster, ClusterSettings, ShardSettings};
use aka::store::{SqliteStore, Store, migrate};
use aka_core::clock::Boottime;
use aka_core::coherence::Limits;
use aka_core::domain::{Id, Placeholders, Project, Slot};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const PROJECT: u64 = 7;
const IDS: usize = 100_000;
/// A deadline far from now. These reads never wait.
const LATER: Duration = Duration::from_secs(60);

fn ids() -> Vec<Bytes> {
    (0..IDS).map(|n| Bytes::from(format!("{n:08x}-1234-4abc-8def-0123456789ab"))).collect()
}

fn pieces(criterion: &mut Criterion) {
    let ids = ids();
    let mut group = criterion.benchmark_group("pieces");
    let mut each = ids.iter().cycle();
    let placeholders = Placeholders::default();
    let project = Project::new(PROJECT).expect("a project");
    group.bench_function("validate", |bencher| {
        bencher.iter(|| {
            let id = each.next().expect("ids");
            (Id::new(id.clone()).is_ok(), placeholders.contains(black_box(id)))
        });
    });
    group.bench_function("slot", |bencher| {
        bencher.iter(|| Slot::of(project, black_box(each.next().expect("ids"))));
    });
    group.finish();
}

/// A resolver over a SQLite file in which every other id is an alias, with all of them remembered.
async fn warm_resolver(folder: &std::path::Path, ids: &[Bytes]) -> (Resolver, Arc<Cluster>) {
    let store = SqliteStore::new(folder.join("bench.db"));
    migrate::sqlite(&store, migrate::Phases::EXPAND).await.expect("migrated");
    let settings = ClusterSettings {
        cache_bytes: 256 << 20,
        // An hour, because the benchmark must not depend on the pace of the feed.
        limits: Limits { staleness: Duration::from_secs(3600), degraded: Duration::ZERO },
        start_timeout: Duration::ZERO,
        shard: ShardSettings { query_timeout: Duration::from_secs(30), ..ShardSettings::default() },
    };
    let metrics = Arc::new(Metrics::new());
    let stores: Vec<Box<dyn Store>> = vec![Box::new(store)];
    let cluster = Cluster::start(stores, &settings, &metrics, |_| {}).await.expect("started");
    let rules = Rules { placeholders: Placeholders::default(), max_aliases: 500 };
    create_every_other(&Admin::new(cluster.clone(), rules.clone(), Quotas::none()), ids).await;
    let resolver = Resolver::new(cluster.clone(), rules.placeholders, metrics, Quotas::none());
    // Read twice, because loads from before the feed has caught up are not kept.
    for _ in 0..2 {
        for ids in ids.chunks(5_000) {
            let answer = resolver.resolve(PROJECT, each(ids), "", terms()).await.expect("resolved");
            assert!(answer.failures.is_empty());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    (resolver, cluster)
}

async fn create_every_other(admin: &Admin, ids: &[Bytes]) {
    for pairs in ids.chunks(2_000) {
        let news = pairs.chunks_exact(2).map(|pair| NewAlias {
            project_id: PROJECT,
            alias_id: pair[0].clone(),
            canonical_id: pair[1].clone(),
            dry_run: false,
        });
        for answer in admin.create_all(news.collect(), Boottime::now().plus(LATER)).await {
            assert!(answer.expect("created").changed);
        }
    }
}

fn each(ids: &[Bytes]) -> impl ExactSizeIterator<Item = &[u8]> {
    ids.iter().map(|id| &id[..])
}

fn terms() -> ReadTerms {
    let arrived = Boottime::now();
    ReadTerms { arrived, until: arrived.plus(LATER), may_load: true }
}

fn resolve(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (folder, ids) = (tempfile::tempdir().expect("a folder"), ids());
    let (resolver, cluster) = runtime.block_on(warm_resolver(folder.path(), &ids));
    let mut group = criterion.benchmark_group("resolve_remembered");
    for batch in [1, 100, 1_000] {
        group.throughput(Throughput::Elements(batch as u64));
        let mut batches = ids.chunks_exact(batch).cycle();
        group.bench_function(format!("{batch}"), |bencher| {
            bencher.to_async(&runtime).iter(|| {
                let ids = batches.next().expect("ids");
                resolver.resolve(PROJECT, each(ids), "", terms())
            });
        });
    }
    group.finish();
    runtime.block_on(cluster.stop());
}

criterion_group!(benches, pieces, resolve);
criterion_main!(benches);
