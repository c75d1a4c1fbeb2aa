//! How the rows of a file are told apart: delimiters, headers, marks, compression.

use super::{Files, aliases, assert_aliases};
use aka_test_support::{Backend, start};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

on_backends!(the_csv_of_a_spreadsheet_is_read: sqlite);

/// A byte order mark, CRLF, semicolons, blanks around the names of the header, projects as floats, a
/// note with line breaks behind a blank, and empty rows below the table.
async fn the_csv_of_a_spreadsheet_is_read(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let rows = "\u{feff} Team ;\"Old id\"; New id ;Note\r\n\
                1.0;a1;p1;\"plain; but quoted\"\r\n\
                2;a2;p2; \"called twice\r\n2;alice;mallory;\r\n\" \r\n\
                ;;;\r\n\
                 01.00 ;\"a;3\";p3;5\" of it\r\n\
                ;;;\r\n";
    let args = ["--delimiter", ";", "--columns", "project_id=Team,alias_id=Old id"];
    let args = [&args[..], &["--columns", "canonical_id=New id"]].concat();
    let ended = files.import(&server, &args, rows).await;
    assert_eq!(ended.succeeded(), "3 created, 0 unchanged, 0 refused\n");
    let right = [["1", "a1", "p1"], ["1", "a;3", "p3"], ["2", "a2", "p2"]];
    assert_aliases(&aliases(&database).await, &right);
}

on_backends!(a_file_is_read_as_its_name_and_first_bytes_say: sqlite);

async fn a_file_is_read_as_its_name_and_first_bytes_say(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let csv = |alias: &str| format!("project_id,alias_id,canonical_id\n1,{alias},x\n");
    let gzip = |text: String| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).expect("a Vec takes it");
        encoder.finish().expect("a Vec takes it")
    };
    let zstd = |text: String| zstd::encode_all(text.as_bytes(), 3).expect("it can be compressed");
    let json = r#"{"project_id":1,"alias_id":"e","canonical_id":"x"}"#.to_owned();
    for (name, content) in [
        ("a.csv.gz", gzip(csv("a"))),
        ("b.CSV.zst", zstd(csv("b"))),
        ("c.tsv", csv("c").replace(',', "\t").into()),
        // The name lies about the compression.
        ("d.csv", gzip(csv("d"))),
        ("e.gz", json.clone().into()),
    ] {
        let ended = files.import_file(&server, &[], &files.write(name, content)).await;
        assert_eq!(ended.succeeded(), "1 created, 0 unchanged, 0 refused\n", "{name}");
    }
    let ended = files.import(&server, &[], zstd(json.replace("\"e\"", "\"f\""))).await;
    assert_eq!(ended.succeeded(), "1 created, 0 unchanged, 0 refused\n");
    let right = ["a", "b", "c", "d", "e", "f"].map(|alias| ["1", alias, "x"]);
    assert_aliases(&aliases(&database).await, &right);
}

on_backends!(a_file_that_is_cut_off_says_so: sqlite);

/// The rows before the cut are imported, and the last one, of which a part is there, is not.
async fn a_file_that_is_cut_off_says_so(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let row = |alias: &str| {
        format!("{{\"project_id\":1,\"alias_id\":\"{alias}\",\"canonical_id\":\"x\"}}\n")
    };
    let mut whole = zstd::encode_all(row("a").as_bytes(), 3).expect("it can be compressed");
    let second = zstd::encode_all(row("b").as_bytes(), 3).expect("it can be compressed");
    whole.extend(&second[..second.len() - 6]);
    let ended = files.import(&server, &["--retry-s", "0"], whole).await;
    assert_eq!(ended.code, Some(74), "{ended}");
    assert!(ended.stderr.contains("zstd data is damaged or cut off"), "{ended}");
    assert!(ended.stderr.contains("stopped after 1 created"), "{ended}");
    assert!(ended.stderr.contains("go on with --from-record 2\n"), "{ended}");
    assert_aliases(&aliases(&database).await, &[["1", "a", "x"]]);
}

on_backends!(a_file_of_another_kind_is_refused_with_advice: sqlite);

async fn a_file_of_another_kind_is_refused_with_advice(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let semicolons = &b"project_id;alias_id;canonical_id\n1;a;x\n"[..];
    for (args, rows, part) in [
        (&["--format", "csv"][..], semicolons, "--delimiter ';'"),
        (&["--format", "csv"], b"project_id\talias_id\tcanonical_id\n", "--delimiter 'tab'"),
        (&["--format", "csv"], b"sep=;\nproject_id;alias_id;canonical_id\n", "--delimiter"),
        (&["--format", "csv"], b"project_id,alias_id,canonical_id\r1,a,x\r", "carriage return"),
        (&["--format", "csv"], b"project_id,alias_id,alias_id,canonical_id\n", "alias_id twice"),
        (&["--format", "csv"], b"team,alias_id,canonical_id\n1,a,x\n", "column project_id"),
        (&["--format", "csv"], b"project_id,\"alias_id,canonical_id\n1,a,x\n", "is not closed"),
        (&[], b"[\n{\"project_id\":1}]", "one object a line"),
        (&[], b"{\"project_id\":1,\"alias_id\":\"a\"}\n", "there is no canonical_id"),
        (&[], b"\xff\xfe{\0", "UTF-16"),
        (&[], b"PK\x03\x04", "spreadsheet"),
        (&["--format", "ndjson", "--delimiter", ","], b"", "--format csv only"),
        (&["--columns", "alias=x"], b"", "none of project_id, alias_id, canonical_id"),
        (&["--columns", "alias_id"], b"", "FIELD=NAME"),
        (&["--columns", "alias_id=x,alias_id=y"], b"", "alias_id twice"),
        (&["--columns", "project_id=x", "--project", "1"], b"", "either --project or"),
        (&["--preset", "segment"], b"", "--project N"),
        (&["--preset", "segment", "--columns", "alias_id=x"], b"", "--preset says which fields"),
    ] {
        files.import(&server, args, rows).await.failed(2, &[part]);
    }
    for args in [&["--delimiter", "a"][..], &["--delimiter", "\""], &["--from-record", "0"]] {
        files.import(&server, args, "").await.misunderstood(2, args[1]);
    }
    let both = ["--from-record", "2", "--from-line", "2"];
    files.import(&server, &both, "").await.misunderstood(2, "cannot be used with");
    assert!(!files.refused().exists());
    assert_aliases(&aliases(&database).await, &[]);
}

on_backends!(rows_are_counted_as_records: sqlite);

/// A row with line breaks is one row, and neither header nor empty lines count.
async fn rows_are_counted_as_records(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let rows =
        "note,project_id,alias_id,canonical_id\n\"x\ny\",1,a,p\n\n\"x\n\ny\",1,b,p\nx,1,c,p\n";
    let args = ["--format", "csv", "--from-record"];
    let ended = files.import(&server, &[&args[..], &["4"]].concat(), rows).await;
    assert_eq!(ended.succeeded(), "0 created, 0 unchanged, 0 refused\n");
    let ended = files.import(&server, &[&args[..], &["2"]].concat(), rows).await;
    assert_eq!(ended.succeeded(), "2 created, 0 unchanged, 0 refused\n");
    assert_aliases(&aliases(&database).await, &[["1", "b", "p"], ["1", "c", "p"]]);
}
