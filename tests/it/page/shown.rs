//! What a person sees and can do, in a real browser.

use super::browser::Browser;
use crate::auth::people::{PrincipalFile, Token};
use aka_test_support::{Aka, Database, PROJECT, backend, hex_literal, start};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use std::net::SocketAddr;

/// Waits in the page until this holds, for 20 s at most.
const UNTIL: &str = "const until = async (what) => { \
    for (let n = 0; n < 1000 && !what(); n++) await new Promise((go) => setTimeout(go, 20)); \
    if (!what()) throw new Error(`not in time: ${what}`); };";

/// Runs something that drives a browser. It waits without a runtime.
async fn in_browser(drive: impl FnOnce(&mut Browser) + Send + 'static) {
    let driving = tokio::task::spawn_blocking(move || drive(&mut Browser::start()));
    if let Err(failed) = driving.await {
        std::panic::resume_unwind(failed.into_panic());
    }
}

impl Browser {
    fn open_page(&mut self, address: SocketAddr) {
        self.open(&format!("http://{address}/ui"));
        self.run(&format!(
            "{UNTIL} await until(() => document.querySelector('#shards h3') && window.isSecureContext)"
        ));
    }

    /// Fills the form, sends it, and returns what is shown then.
    #[track_caller]
    fn look_up(&mut self, first: &str, second: &str) -> String {
        let fields = json!({ "project": PROJECT.to_string(), "first": first, "second": second });
        let shown = self.run(&format!(
            "{UNTIL} for (const [id, value] of Object.entries({fields})) $(id).value = value; \
             $('form').requestSubmit(); await until(() => !$('result').hasAttribute('aria-busy')); \
             return $('result').innerText;"
        ));
        shown.as_str().expect("text").to_owned()
    }
}

#[track_caller]
fn assert_all_in(shown: &str, parts: &[&str]) {
    for part in parts {
        assert!(shown.contains(part), "{part:?} is not shown: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_two_people_are_one_is_shown() {
    let (database, aka) = start(backend::sqlite()).await;
    let mut rows = database.connect(0).await;
    // Not in the order of their bytes, in which they are listed.
    for (alias, hours_ago) in
        [("device-7f3a", 9000), ("device-ios-18e0", 2111), ("al@old.example", 77), ("Alice ", 5)]
    {
        aka.create(PROJECT, alias, "alice@example.com").await.expect("created");
        let (before_us, id) = (hours_ago * 3_600_000_000_i64, hex_literal(alias));
        rows.execute(&format!(
            "UPDATE alias SET create_time_us = create_time_us - {before_us}, \
             update_time_us = update_time_us - {before_us} WHERE alias_id = {id}"
        ))
        .await;
    }
    aka.create(PROJECT, "other-device", "carol").await.expect("created");
    let address = aka.metrics;
    in_browser(move |browser| {
        browser.look(1000, 880, false);
        browser.open_page(address);
        let shown = browser.look_up("device-7f3a", "Alice ");
        let verdict = "device-7f3a and Aliceblank are one person, alice@example.com.";
        let since = "They have been one since 20";
        let chain = ["device-7f3a is an alias of alice@example.com.", "utc", "version", "slot"];
        assert_all_in(&shown, &[verdict, since, "5 hours ago", "375 days ago"]);
        assert_all_in(&shown.to_lowercase(), &chain);
        // In the order in which they were joined.
        let order = ["\ndevice-7f3a", "\ndevice-ios-18e0", "\nal@old.example", "\nAliceblank"];
        let places = order.map(|id| shown.rfind(id).unwrap_or_else(|| panic!("{id}: {shown}")));
        assert!(places.is_sorted(), "{shown}");
        if let Some(path) = std::env::var_os("AKA_SCREENSHOT") {
            // By now memory knows them.
            browser.look_up("device-7f3a", "Alice ");
            let shot = BASE64_STANDARD.decode(browser.screenshot()).expect("base64");
            std::fs::write(path, shot).expect("the image can be written");
        }
        let apart = browser.look_up("device-7f3a", "other-device");
        assert_all_in(&apart, &["are not joined. They are two people."]);
        assert_all_in(&browser.look_up("alice@example.com", ""), &["4 other ids stand for it."]);
        let nobody = browser.look_up("nobody", "");
        assert_all_in(&nobody, &["nobody is joined with nobody.", "check the spelling"]);
        assert_all_in(&browser.look_up("", ""), &["Enter an id"]);
        // A click on an id looks it up.
        browser.look_up("carol", "");
        let clicked = browser.run(&format!(
            "{UNTIL} document.querySelector('#result td button').click(); \
             await until(() => $('result').innerText.includes('is an alias of')); \
             return $('result').querySelector('.verdict').innerText"
        ));
        assert_eq!(clicked, json!("other-device is an alias of carol."));
        assert_all_in(
            browser.run("return $('shards').innerText").as_str().expect("text"),
            &["Shard 0", "up", "Last change applied", "5"],
        );
        assert_eq!(browser.complaints(), [""; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_ids_are_shown_as_text() {
    let (_database, aka) = start(backend::sqlite()).await;
    let image = "<img src=x onerror=\"document.title='broken into'\">";
    let script = "</p><script>document.title='broken into'</script>";
    let longest = "W".repeat(255);
    aka.create(PROJECT, image, script).await.expect("created");
    aka.create(PROJECT, "good\u{202e}live\u{2066}", script).await.expect("created");
    aka.create(PROJECT, "\u{5d0}\u{200b}\u{a0}", script).await.expect("created");
    aka.create(PROJECT, &longest, script).await.expect("created");
    let address = aka.metrics;
    in_browser(move |browser| {
        browser.look(360, 740, true);
        browser.open_page(address);
        let shown = browser.look_up(image, "");
        assert_all_in(&shown, &[&format!("{image} is an alias of {script}.")]);
        assert_all_in(&shown, &["goodU+202EliveU+2066", "\u{5d0}U+200BU+00A0", &longest]);
        let strange = "return document.querySelectorAll('img, #result script').length \
                       + document.title + (document.documentElement.scrollWidth > innerWidth)";
        assert_eq!(browser.run(strange), json!("0akafalse"));
        // Nothing else is in an id than text, so nothing turns what comes after it.
        let bare = "return [...document.querySelectorAll('bdi')].every((id) => \
                    !/[\\u202a-\\u202e\\u2066-\\u2069]/.test(id.textContent))";
        assert_eq!(browser.run(bare), json!(true));
        for (id, words) in [
            ("a\u{1}b", "aU+0001b is never an alias.\n\nIt holds a control character."),
            ("null", "It is a placeholder"),
            (&*"é".repeat(128), "It is 256 bytes long"),
            (&*"x".repeat(5000), "The request is longer than 4096 bytes"),
        ] {
            assert_all_in(&browser.look_up(id, ""), &[words]);
        }
        // What a database says is text, too.
        let server = json!({ "address": image, "role": "primary", "in_use": true, "seq": 9,
            "lag": 3, "role_seconds": 2.5 });
        let error = json!({ "kind": "refused", "reason": "SHARD_REFUSED", "text": script,
            "seconds_ago": 61.0 });
        let shown = browser.run(&format!(
            "const status = await (await fetch('status')).json(); const shard = status.shards[0]; \
             Object.assign(shard, {{ up: false, servers: [{server}], last_error: {error} }}); \
             shard.audit.checked = 5; shard.audit.wrong = 2; shard.staleness_seconds = null; \
             showStatus(status); return $('shards').innerText"
        ));
        let shown = shown.as_str().expect("text");
        assert_all_in(shown, &[image, script, "down", "1 minute ago", "primary", "3 changes"]);
        assert_all_in(
            shown,
            &["2 wrong", "Memory said what the database does not", "never looked"],
        );
        assert_eq!(browser.run(strange), json!("0akafalse"));
        // Half a character is not UTF-8. JSON cannot carry it from here, so the page makes it.
        let half = browser.run(&format!(
            "{UNTIL} $('first').value = 'a\\ud800'; $('form').requestSubmit(); \
             await until(() => $('result').innerText.includes('half of a character')); return true"
        ));
        assert_eq!(half, json!(true));
        // Were the script to write HTML by mistake, the browser would refuse.
        let refused = browser
            .run("try { $('result').innerHTML = '<b>x</b>' } catch (error) { return error.name }");
        assert_eq!(refused, json!("TypeError"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_asked_for_and_kept_in_the_page_only() {
    let reader = Token::new().await;
    let file = PrincipalFile::new(&reader.stanza("support", "reader", "[7]"));
    let database = Database::create(backend::sqlite()).await;
    let aka = Aka::serve(&database, &["--auth-file", &file.path()]).await;
    let address = aka.metrics;
    let token = reader.text.clone();
    in_browser(move |browser| {
        browser.look(800, 800, false);
        browser.open_page(address);
        // All by keyboard: "/" leads to the form, Enter sends it.
        browser.run("document.activeElement.blur(); $('project').value = '7'");
        browser.press("/");
        browser.type_text("bob");
        browser.press("Enter");
        let asked = browser.run(&format!(
            "{UNTIL} await until(() => document.activeElement === $('token')); \
             return $('result').innerText"
        ));
        assert_all_in(asked.as_str().expect("text"), &["Enter an access token"]);
        browser.type_text("wrong");
        browser.press("Enter");
        browser.run(&format!(
            "{UNTIL} await until(() => $('result').innerText.includes('not known here'))"
        ));
        browser.run("$('token').value = ''; $('token').focus()");
        browser.type_text(&token);
        browser.press("Enter");
        browser.run(&format!(
            "{UNTIL} await until(() => $('result').innerText.includes('joined with nobody'))"
        ));
        let kept = browser.run(
            "return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, \
             location.href, document.body.innerHTML])",
        );
        assert!(!kept.as_str().expect("text").contains(&token), "{kept}");
        browser.open_page(address);
        assert_eq!(browser.run("return $('token').value"), json!(""));
        assert_eq!(browser.complaints(), [""; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_gone_is_said_in_words() {
    let (_database, aka) = start(backend::sqlite()).await;
    in_browser(move |browser| {
        browser.open_page(aka.metrics);
        aka.kill();
        assert_all_in(&browser.look_up("bob", ""), &["The server cannot be reached.", "try again"]);
        browser.run(&format!(
            "{UNTIL} await until(() => $('instance').innerText.includes('cannot be reached'))"
        ));
    })
    .await;
}
