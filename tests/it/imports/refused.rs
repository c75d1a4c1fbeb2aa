//! The file of refused rows.

use super::{Files, aliases, assert_aliases, owned};
use aka_test_support::{Backend, aka, start};

on_backends!(a_refused_row_is_kept_as_it_was_and_can_be_imported: sqlite mysql_3);

async fn a_refused_row_is_kept_as_it_was_and_can_be_imported(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    server.create(1, "taken", "owner").await.expect("created");
    let rows = b"team;old;new;note\n1;taken;thief;\"two\nlines\"\n1;a\xff;p;\n1;b;p;\xff\n\
                 1;too;many;fields;\n1;taken;thief;\xff\n";
    let args = ["--delimiter", ";", "--columns", "project_id=team,alias_id=old,canonical_id=new"];
    let ended = files.import(&server, &args, rows).await;
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.text().starts_with("1 created, 0 unchanged, 4 refused"), "{ended}");
    let (taken, malformed) = ("ALIAS_TAKEN", "MALFORMED_ROW");
    let reasons = [(1, taken), (2, malformed), (4, malformed), (5, taken)];
    assert_eq!(files.reasons(), owned(&reasons));
    let filed = files.filed();
    assert_eq!(filed[0]["row"], "1;taken;thief;\"two\nlines\"");
    assert_eq!(filed.iter().map(|row| row["line"].clone()).collect::<Vec<_>>(), [2, 4, 6, 7]);
    assert_eq!(filed[1]["row"], "1;a\u{fffd};p;");
    assert_eq!(filed[1]["row_base64"], "MTth/ztwOw==");
    assert_eq!(
        (&filed[2]["header"], &filed[2]["delimiter"]),
        (&"team;old;new;note".into(), &";".into())
    );
    assert!(filed[2]["error"]["message"].as_str().is_some_and(|text| text.contains("5 fields")));
    assert_eq!(filed[3]["alias_id"], "taken");

    // As it is: with no word about columns or delimiters. What was malformed is so again.
    server.delete(1, "taken", 0).await.expect("deleted");
    let again = Files::new();
    let ended = again.import_file(&server, &args[2..], &files.refused()).await;
    assert!(ended.text().starts_with("1 created, 1 unchanged, 2 refused"), "{ended}");
    assert_eq!(again.reasons(), owned(&[(2, malformed), (3, malformed)]));
    let same = again.filed();
    for (field, index) in [("row_base64", 0), ("row", 1), ("header", 1), ("delimiter", 1)] {
        assert_eq!(same[index][field], filed[index + 1][field], "{field}");
    }
    let ended = again.import_file(&server, &[], &files.refused()).await;
    assert!(ended.text().starts_with("0 created, 2 unchanged, 2 refused"), "{ended}");
    assert_aliases(&aliases(&database).await, &[["1", "b", "p"], ["1", "taken", "thief"]]);
}

on_backends!(the_file_is_there_before_the_first_row_is_sent: sqlite);

async fn the_file_is_there_before_the_first_row_is_sent(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let row = r#"{"project_id":1,"alias_id":"a","canonical_id":"p"}"#;
    let address = server.grpc.to_string();
    let nowhere = aka(["import", "--server", &address, "--refused", "/nowhere/refused"]);
    nowhere.input(row).run().await.failed(2, &["/nowhere/refused", "--refused names another"]);
    // A file that is read and written to would never end.
    let same = files.write("rows.ndjson", format!("{row}\n"));
    let import = || aka(["import", "--server", &address]).args([&same]);
    let itself = import().args(["--refused".as_ref(), same.as_os_str()]).run().await;
    itself.failed(2, &["the rows are read from the file that refused rows are added to"]);
    assert_aliases(&aliases(&database).await, &[]);

    import().run().await.succeeded();
    assert!(!same.with_file_name("rows.ndjson.refused.ndjson").exists(), "nothing was refused");
    let kept = files.write("kept", "");
    import().args(["--refused".as_ref(), kept.as_os_str()]).run().await.succeeded();
    assert!(kept.exists(), "it is somebody's");
}
