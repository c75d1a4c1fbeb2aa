//! A real Chromium without a window.
//!
//! It is spoken to in the DevTools protocol: messages of JSON that end with a zero byte, over two pipes
//! (`--remote-debugging-pipe`). So no port is open, and no crate for WebSockets is needed.

use aka_test_support::{PATIENCE, kill_and_wait, spawn};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;

/// A running browser with one page. Dropping it ends it.
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// What happened in the page and was not waited for.
    events: VecDeque<Value>,
    session: Option<String>,
    commands_sent: u64,
    _profile: TempDir,
}

impl Browser {
    /// Starts it. The page is empty.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder can be made");
        let mut command = Command::new("sh");
        // Chromium reads commands from descriptor 3, and writes to 4.
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"]);
        command.arg(chromium()).args(["--headless", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        // The page is ours. Chromium's sandbox needs rights that a container may not have.
        command.args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-extensions"]);
        command.args(["--no-proxy-server", "--hide-scrollbars"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = spawn(command).expect("chromium can be started");
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (sender, messages) = channel();
        let mut stdout = BufReader::new(stdout.expect("piped"));
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while matches!(stdout.read_until(0, &mut message), Ok(1..)) {
                message.pop();
                let Ok(json) = serde_json::from_slice(&message) else { return };
                if sender.send(json).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            process,
            commands: stdin.expect("piped"),
            messages,
            events: VecDeque::new(),
            session: None,
            commands_sent: 0,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(ToOwned::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, &json!({}));
        }
        browser
    }

    /// Opens an address, and waits until it is loaded.
    pub fn open(&mut self, url: &str) {
        self.events.clear();
        self.call("Page.navigate", &json!({ "url": url }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let message = self.next();
            self.events.push_back(message);
        }
    }

    /// Makes the window so wide and high, in a dark scheme or a light one.
    pub fn look(&mut self, width: u32, height: u32, dark: bool) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        // Without motion, so that a picture shows no moment of it.
        let features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]
            .map(|(name, value)| json!({ "name": name, "value": value }));
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Runs JavaScript in the page, the inside of an async function, and returns its value.
    #[track_caller]
    pub fn run(&mut self, script: &str) -> Value {
        let expression = format!("(async () => {{ {script} }})()");
        let run = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let ran = self.call("Runtime.evaluate", &run);
        assert!(ran["exceptionDetails"].is_null(), "{script}: {}", ran["exceptionDetails"]);
        ran["result"]["value"].clone()
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        let text = match key {
            "Enter" => "\r",
            "Tab" => "",
            other => other,
        };
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            _ => 0,
        };
        let down = json!({ "type": "keyDown", "key": key, "text": text,
            "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", &down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", &up);
    }

    /// Types a text where the focus is.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// What scripts threw, and what the page's policy forbade, since it was opened.
    pub fn complaints(&mut self) -> Vec<String> {
        self.run("");
        let complaint = |event: &&Value| {
            event["method"] == "Runtime.exceptionThrown"
                || event["params"]["entry"]["source"] == "security"
        };
        self.events.iter().filter(complaint).map(ToString::to_string).collect()
    }

    /// The window as a PNG, in base64.
    pub fn screenshot(&mut self) -> String {
        let shot = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        shot["data"].as_str().expect("an image").to_owned()
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.commands_sent += 1;
        let id = self.commands_sent;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("chromium runs");
        loop {
            let mut message = self.next();
            if message["id"] == json!(id) {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push_back(message);
        }
    }

    #[track_caller]
    fn next(&mut self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("chromium answers")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its other processes end with it.
        kill_and_wait(&mut self.process);
    }
}

/// The browser that `scripts/install-test-browser` installs.
fn chromium() -> PathBuf {
    if let Some(path) = std::env::var_os("AKA_TEST_CHROMIUM") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("chromium"));
    found
        .into_iter()
        .find(|program| program.is_file())
        .expect("there is no chromium on PATH: run scripts/install-test-browser")
}
