//! Requests as bytes, so that they can be as wrong as they like.

use aka_test_support::Aka;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The head of a lookup that comes from the page itself.
pub const OWN: &[&str] = &["Host: localhost:9464", "Content-Type: application/json"];

/// What the operations port says.
#[derive(Debug)]
pub struct HttpReply {
    pub code: u16,
    /// In small letters.
    pub head: String,
    pub body: Vec<u8>,
}

impl HttpReply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it is an error with this reason, in words, and that no browser keeps it.
    #[track_caller]
    pub fn refuses(&self, code: u16, reason: &str) -> String {
        let error = &self.json()["error"];
        assert_eq!((self.code, error["reason"].as_str()), (code, Some(reason)), "{error}");
        assert!(self.head.contains("cache-control: no-store"), "{}", self.head);
        let message = error["message"].as_str().expect("words");
        assert!(message.ends_with('.'), "{message}");
        message.to_owned()
    }
}

/// Sends a request with these lines in its head and this body.
pub async fn send(aka: &Aka, line: &str, head: &[&str], body: &[u8]) -> HttpReply {
    let mut stream = TcpStream::connect(aka.metrics).await.expect("the port is open");
    let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n").into_bytes();
    for line in head {
        request.extend(line.bytes().chain(*b"\r\n"));
    }
    request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
    request.extend(body);
    stream.write_all(&request).await.expect("sent");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.expect("answered");
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&reply[..end]).to_ascii_lowercase();
    let code = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    assert!(!head.contains("access-control-"), "no other site may read it: {head}");
    HttpReply { code, head, body: reply.split_off(end + 4) }
}

/// Asks for an id as the page does, with a token if there is one.
pub async fn ask(aka: &Aka, project: &str, id: &str, token: Option<&str>) -> HttpReply {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}"));
    let head = [OWN, &bearer.as_deref().into_iter().collect::<Vec<_>>()].concat();
    let form = json!({ "project_id": project, "distinct_id": id });
    send(aka, "POST /ui/lookup", &head, form.to_string().as_bytes()).await
}

/// The answer for an id of a project.
pub async fn look_up(aka: &Aka, project: u64, id: &str) -> Value {
    let reply = ask(aka, &project.to_string(), id, None).await;
    assert_eq!(reply.code, 200, "{id:?}: {:?}", reply.json());
    reply.json()
}
