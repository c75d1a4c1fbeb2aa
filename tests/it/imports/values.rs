//! What the fields of a row mean.

use super::{Files, aliases, assert_aliases, owned};
use aka_test_support::{Backend, start};

on_backends!(json_says_numbers_in_several_ways: sqlite);

async fn json_says_numbers_in_several_ways(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let rows = r#"{"project_id":1,"alias_id":123,"canonical_id":-7}
{"project_id":"1.0","alias_id":123456789012345678901234567890,"canonical_id":" x "}
{"project_id":1.0,"alias_id":"caf\u00e9 \ud83d\ude00","canonical_id":"y","note":"\ud83d","\udead":1}
{"project_id":1,"alias_id":1.5,"canonical_id":"y"}
{"project_id":1,"alias_id":"half \ud83d","canonical_id":"y"}
{"project_id":1.5,"alias_id":"a","canonical_id":"y"}
{"project_id":1,"alias_id":null,"canonical_id":"y"}
{"project_id":1,"alias_id":true,"canonical_id":"y"}
{"project_id":1,"alias_id":"a","alias_id":"b","canonical_id":"y"}
"#;
    let ended = files.import(&server, &[], rows).await;
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.text().starts_with("3 created, 0 unchanged, 6 refused"), "{ended}");
    let right = [
        ["1", "123", "-7"],
        ["1", "123456789012345678901234567890", " x "],
        ["1", "caf\u{e9} \u{1f600}", "y"],
    ];
    assert_aliases(&aliases(&database).await, &right);
    let filed = files.filed();
    for ((row, line), part) in filed.iter().zip(rows.lines().skip(3)).zip([
        "the number 1.5",
        "one half of a surrogate pair",
        "project_id is \"1.5\"",
        "there is no alias_id",
        "alias_id is true",
        "alias_id is there twice",
    ]) {
        assert_eq!(row["row"], line, "as it was");
        assert_eq!(row["error"]["reason"], "MALFORMED_ROW");
        let message = row["error"]["message"].as_str().expect("a text");
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(filed.len(), 6);
}

on_backends!(blanks_around_an_id_are_not_kept_silently: sqlite);

async fn blanks_around_an_id_are_not_kept_silently(backend: Backend) {
    let rows = "project_id, alias_id ,canonical_id,note\n 1,first,p, x\n1, a,p,\n1,b\u{a0},p,\n\
                1,\" c \",p,\n1, \"d\" ,p,\n";
    let files = Files::new();
    let (database, server) = start(backend).await;
    let ended = files.import(&server, &["--format", "csv"], rows).await;
    assert!(ended.text().starts_with("3 created, 0 unchanged, 2 refused"), "{ended}");
    assert_eq!(files.reasons(), owned(&[(2, "BLANKS_AROUND_ID"), (3, "BLANKS_AROUND_ID")]));
    let quoted = [["1", " c ", "p"], ["1", "d", "p"], ["1", "first", "p"]];
    assert_aliases(&aliases(&database).await, &quoted);

    let filed = std::fs::read(files.refused()).expect("a file");
    for (blanks, a, b) in [("trim", "a", "b"), ("keep", " a", "b\u{a0}")] {
        let (database, server) = start(backend).await;
        let other = Files::new();
        let ended = other.import(&server, &["--blanks", blanks], filed.clone()).await;
        assert_eq!(ended.succeeded(), "2 created, 0 unchanged, 0 refused\n", "{blanks}");
        assert_aliases(&aliases(&database).await, &[["1", a, "p"], ["1", b, "p"]]);
    }
}

on_backends!(columns_have_the_names_that_people_gave_them: sqlite);

async fn columns_have_the_names_that_people_gave_them(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let csv = "\"old, id\",new,properties\na,p,\"{\"\"team\"\": 2}\"\n";
    let names = "\"alias_id=old, id\",canonical_id=new,project_id=properties.team";
    let args = ["--format", "csv", "--columns", names];
    files.import(&server, &args, csv).await.succeeded();
    let json = r#"{"ids":{"old":7,"new":"p"},"project_id":1,"alias_id":"no","canonical_id":"no"}"#;
    let names = "alias_id=ids.old,canonical_id=ids.new";
    files.import(&server, &["--columns", names], json).await.succeeded();
    assert_aliases(&aliases(&database).await, &[["1", "7", "p"], ["2", "a", "p"]]);
}

on_backends!(a_project_for_all_rows_contradicts_none: sqlite);

async fn a_project_for_all_rows_contradicts_none(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let rows = "alias_id,canonical_id\na,p\n";
    files.import(&server, &["--format", "csv", "--project", "3"], rows).await.succeeded();
    let rows =
        "alias_id,canonical_id,project_id\nb,p,3\nc,p,4\nd,p,\nalias_id,canonical_id,project_id\n";
    let ended = files.import(&server, &["--format", "csv", "--project", "3"], rows).await;
    assert!(ended.text().starts_with("2 created, 0 unchanged, 2 refused"), "{ended}");
    assert_eq!(files.reasons(), owned(&[(2, "OTHER_PROJECT"), (4, "MALFORMED_ROW")]));
    let right = [["3", "a", "p"], ["3", "b", "p"], ["3", "d", "p"]];
    assert_aliases(&aliases(&database).await, &right);
}
