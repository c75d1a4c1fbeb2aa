//! The cost of encoding and decoding the messages of the read path: by prost, and for a batch also by
//! hand, as the server does.
//!
//! `cargo bench --bench codec`

use aka::resolve::Aliases;
use aka::rpc::lookups::batch::{BatchAnswer, BatchRequest};
use aka_wire::pb::{
    BatchResolveRequest, BatchResolveResponse, ResolveRequest, ResolveResponse, Resolved,
};
use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use std::hint::black_box;

fn id(n: u32) -> Bytes {
    Bytes::from(format!("{n:08x}-1234-4abc-8def-0123456789ab"))
}

fn both<M: Message + Default>(criterion: &mut Criterion, name: &str, ids: usize, message: &M) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(ids as u64));
    let mut buffer = BytesMut::with_capacity(1 << 20);
    group.bench_function(BenchmarkId::new("encode", ids), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            message.encode(&mut buffer).expect("there is room");
            black_box(buffer.len())
        });
    });
    let encoded = Bytes::from(message.encode_to_vec());
    group.bench_function(BenchmarkId::new("decode", ids), |bencher| {
        bencher.iter(|| M::decode(black_box(encoded.clone())).expect("it was encoded"));
    });
    group.finish();
}

/// The server's own code for the messages of a batch.
fn by_hand(criterion: &mut Criterion, count: u32) {
    let mut group = criterion.benchmark_group("batch_by_hand");
    group.throughput(Throughput::Elements(u64::from(count)));
    let distinct_ids = (0..count).map(id).collect();
    let request = BatchResolveRequest { project_id: 7, distinct_ids, ..Default::default() };
    let encoded = Bytes::from(request.encode_to_vec());
    group.bench_function(BenchmarkId::new("decode", count), |bencher| {
        bencher.iter(|| BatchRequest::decode(black_box(encoded.clone())).expect("it was encoded"));
    });
    let mut aliases = Aliases::default();
    for index in (0..count).step_by(10) {
        aliases.push(index, &id(index));
    }
    let answer = BatchAnswer { aliases, others: BatchResolveResponse::default() };
    let mut buffer = BytesMut::with_capacity(1 << 20);
    group.bench_function(BenchmarkId::new("encode", count), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            answer.encode(&mut buffer);
            black_box(buffer.len())
        });
    });
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    let consistency_token = String::new;
    let one = ResolveRequest {
        project_id: 7,
        distinct_id: id(1),
        consistency_token: consistency_token(),
    };
    both(criterion, "resolve_request", 1, &one);
    let answer = ResolveResponse { canonical_id: id(2), is_alias: true, degraded: false };
    both(criterion, "resolve_response", 1, &answer);
    for count in [100, 1_000] {
        let batch = BatchResolveRequest {
            project_id: 7,
            distinct_ids: (0..count).map(id).collect(),
            consistency_token: consistency_token(),
        };
        both(criterion, "batch_request", count as usize, &batch);
        // A tenth of the ids are aliases. The others are not in the answer.
        let aliases = (0..count).step_by(10);
        let answer = BatchResolveResponse {
            aliases: aliases.map(|n| Resolved { index: n, canonical_id: id(n) }).collect(),
            ..BatchResolveResponse::default()
        };
        both(criterion, "batch_response", count as usize, &answer);
        by_hand(criterion, count);
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
