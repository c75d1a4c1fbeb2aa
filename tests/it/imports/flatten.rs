//! `--flatten`: chains within a file.

use super::{Files, aliases, assert_aliases, owned};
use aka_test_support::{Backend, check_is_clean, start};

on_backends!(chains_of_a_file_are_resolved_first: sqlite mysql_3);

async fn chains_of_a_file_are_resolved_first(backend: Backend) {
    let rows = "project_id,alias_id,canonical_id\n1,a,b\n1,b,c\n1,c,d\n1,x,y\n1,y,z\n1,z,x\n1,w,x\n\
                2,d,e\n1,q,q\n1,a,d\n";
    for from_stdin in [true, false] {
        let (database, server) = start(backend).await;
        let files = Files::new();
        let args = ["--format", "csv", "--flatten"];
        let ended = match from_stdin {
            true => files.import(&server, &args, rows).await,
            false => files.import_file(&server, &args, &files.write("rows", rows)).await,
        };
        assert!(ended.text().starts_with("4 created, 1 unchanged, 5 refused"), "{ended}");
        let circle = "CIRCLE";
        let reasons = [(4, circle), (5, circle), (6, circle), (7, circle), (9, "SELF_ALIAS")];
        assert_eq!(files.reasons(), owned(&reasons));
        let first = &files.filed()[0];
        assert_eq!(first["row"], "1,x,y");
        let message = first["error"]["message"].as_str().expect("a text");
        assert!(message.ends_with("\"y\" -> \"z\" -> \"x\" -> \"y\""), "{message}");
        let right = [["1", "a", "d"], ["1", "b", "d"], ["1", "c", "d"], ["2", "d", "e"]];
        assert_aliases(&aliases(&database).await, &right);
        check_is_clean(&database).await;
    }
}

on_backends!(an_import_that_goes_on_knows_the_chains_before_it: sqlite);

async fn an_import_that_goes_on_knows_the_chains_before_it(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let rows = "project_id,alias_id,canonical_id\n1,b,c\n1,a,b\n";
    let args = ["--format", "csv", "--flatten", "--from-record", "2"];
    files.import(&server, &args, rows).await.succeeded();
    assert_aliases(&aliases(&database).await, &[["1", "a", "c"]]);
}

on_backends!(flattening_has_a_limit: sqlite);

async fn flattening_has_a_limit(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let rows = (0..20_000).map(|n| format!("1,alias-{n},canonical-{n}\n")).collect::<String>();
    let rows = format!("project_id,alias_id,canonical_id\n{rows}");
    let args = ["--format", "csv", "--flatten", "--flatten-mib", "1"];
    let ended = files.import(&server, &args, rows).await;
    ended.failed(2, &["more than 1 MiB", "--flatten-mib"]);
    assert_aliases(&aliases(&database).await, &[]);
}
