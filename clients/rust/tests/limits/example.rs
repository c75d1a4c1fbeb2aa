//! The example does what it says.

#[path = "../../examples/pipeline.rs"]
mod pipeline;

use crate::fake::Fake;
use crate::{PROJECT, connect, options};
use aka_client::ResolveError;
use pipeline::{Event, store_all};
use tonic::Status;

#[tokio::test]
async fn the_pipeline_stores_what_is_known_and_nothing_else() {
    let server = Fake::start();
    let client = connect(options([&server])).await;
    let events =
        || ["a1", "n1"].map(|id| Event { distinct_id: id.to_owned() }).into_iter().collect();
    let mut stored = Vec::new();
    let store = |event: &Event, id: &[u8]| stored.push((event.distinct_id.clone(), id.to_vec()));
    store_all(&client, PROJECT, events(), store).await.expect("all are known");
    let pair = |id: &str, canonical: &str| (id.to_owned(), canonical.as_bytes().to_vec());
    assert_eq!(stored, [pair("a1", "canonical-a1"), pair("n1", "n1")]);

    server.always(Some(Status::unavailable("down")));
    let store = |_: &Event, _: &[u8]| panic!("it is not known");
    let failed = store_all(&client, PROJECT, events(), store).await.expect_err("it is down");
    assert!(matches!(failed, ResolveError::Unavailable { .. }), "{failed}");
}
