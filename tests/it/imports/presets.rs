//! The identity events of other programs. Each direction is pinned: which id stands for which.

use super::{Files, aliases, assert_aliases, owned};
use aka_test_support::{Backend, start};

on_backends!(events_of_segment_name_aliases: sqlite);

async fn events_of_segment_name_aliases(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let events = r#"{"type":"track","event":"Signed Up","anonymousId":"anon-0","userId":"user-0"}
{"type":"alias","previousId":"previous-1","userId":"user-1","anonymousId":"anon-1"}
{"type":"identify","anonymousId":"anon-2","userId":"user-2","traits":{"note":"\ud83d"}}
{"type":"identify","anonymousId":"anon-3"}
{"type":"identify","userId":"user-4","anonymousId":null}
{"type":"identify","userId":"user-5","anonymousId":"user-5"}
{"type":"alias","userId":"user-6"}
{"previousId":7,"userId":"user-7"}
{"name":"x"}
"#;
    let ended = files.import(&server, &["--preset", "segment", "--project", "1"], events).await;
    assert!(ended.text().starts_with("3 created, 0 unchanged, 2 refused"), "{ended}");
    assert!(ended.text().ends_with(", 4 events that name no alias\n"), "{ended}");
    assert_eq!(files.reasons(), owned(&[(7, "MALFORMED_ROW"), (9, "MALFORMED_ROW")]));
    let right = [["1", "7", "user-7"], ["1", "anon-2", "user-2"], ["1", "previous-1", "user-1"]];
    assert_aliases(&aliases(&database).await, &right);

    // The tables of a warehouse have other names, and one kind of event each.
    let table = "anonymous_id,context_ip,user_id\nanon-8,10.0.0.1,user-8\n";
    let args = ["--preset", "segment", "--project", "2", "--format", "csv", "--output", "json"];
    let ended = files.import(&server, &args, table).await;
    let counts = serde_json::json!({"created": 1, "unchanged": 0, "refused": 0});
    assert_eq!(ended.json(), [counts]);
    assert_eq!(aliases(&database).await[3], ["2", "anon-8", "user-8"].map(str::to_owned));
}

on_backends!(events_of_mixpanel_name_aliases: sqlite);

async fn events_of_mixpanel_name_aliases(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let events = r#"{"event":"$create_alias","properties":{"distinct_id":"d-1","alias":"alias-1","token":"t"}}
{"event":"$identify","properties":{"$identified_id":"user-2","$anon_id":"anon-2","distinct_id":"d-2"}}
{"event":"Purchase","properties":{"distinct_id":"d-3","alias":"alias-3"}}
{"event":"$identify","properties":{"$identified_id":"user-4","distinct_id":"d-4"}}
{"event":"$merge","properties":{"$distinct_ids":["d-5","d-6"]}}
"#;
    let ended = files.import(&server, &["--preset", "mixpanel", "--project", "1"], events).await;
    let said = "2 created, 0 unchanged, 0 refused, 3 events that name no alias\n";
    assert_eq!(ended.succeeded(), said);
    let right = [["1", "alias-1", "d-1"], ["1", "anon-2", "user-2"]];
    assert_aliases(&aliases(&database).await, &right);
}

on_backends!(events_of_posthog_name_aliases: sqlite);

async fn events_of_posthog_name_aliases(backend: Backend) {
    let (database, server) = start(backend).await;
    let files = Files::new();
    let events = r#"{"event":"$identify","distinct_id":"user-1","properties":{"$anon_distinct_id":"anon-1","distinct_id":"x"},"team_id":4}
{"event":"$create_alias","distinct_id":"user-2","properties":{"alias":"alias-2"},"team_id":4}
{"event":"$merge_dangerously","distinct_id":"user-3","properties":{"alias":"alias-3"},"team_id":5}
{"event":"$pageview","distinct_id":"user-4","properties":{"$anon_distinct_id":"anon-4"},"team_id":4}
{"event":"$identify","distinct_id":"user-5","properties":{},"team_id":4}
"#;
    let args = ["--preset", "posthog", "--columns", "project_id=team_id"];
    let ended = files.import(&server, &args, events).await;
    let said = "3 created, 0 unchanged, 0 refused, 2 events that name no alias\n";
    assert_eq!(ended.succeeded(), said);
    let table = "event,distinct_id,properties\n\
                 $identify,user-6,\"{\"\"$anon_distinct_id\"\":\"\"anon-6\"\"}\"\n$pageview,user-7,\n";
    let args = ["--preset", "posthog", "--project", "6", "--format", "csv"];
    let ended = files.import(&server, &args, table).await;
    let said = "1 created, 0 unchanged, 0 refused, 1 events that name no alias\n";
    assert_eq!(ended.succeeded(), said);
    let right = [
        ["4", "alias-2", "user-2"],
        ["4", "anon-1", "user-1"],
        ["5", "alias-3", "user-3"],
        ["6", "anon-6", "user-6"],
    ];
    assert_aliases(&aliases(&database).await, &right);
}
