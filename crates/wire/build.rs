//! Compiles the wire contract without `protoc`.
//!
//! The contract declares ids as `string`, and reflection shows that. The Rust types decode the same
//! fields as bytes, which is the same on the wire. So one id that is not UTF-8 does not fail a
//! whole batch.

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use std::{env, error::Error, fs, path::PathBuf};

const PROTOS: [&str; 3] =
    ["aka/v1/alias.proto", "aka/v1/resolver.proto", "aka/v1/alias_admin.proto"];

/// Fields that hold ids. They are decoded as bytes.
const ID_FIELDS: [&str; 4] = ["distinct_id", "distinct_ids", "alias_id", "canonical_id"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    let mut files = protox::compile(PROTOS, ["../../proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("aka_descriptor.bin"), files.encode_to_vec())?;

    let ours = files.file.iter_mut().filter(|file| file.package() == "aka.v1");
    for field in ours.flat_map(|file| &mut file.message_type).flat_map(|m| &mut m.field) {
        if ID_FIELDS.contains(&field.name()) {
            field.set_type(Type::Bytes);
        }
    }
    tonic_prost_build::configure().bytes(".aka.v1").compile_fds(files)?;
    Ok(())
}
