//! The files of the page.

use super::reply::reply;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

/// Only what aka itself serves is loaded, run and asked; nobody may frame the page or send a form to
/// elsewhere. Trusted Types make the browser refuse a script that would write HTML.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // A new version of aka has new files.
    (header::CACHE_CONTROL, "no-cache"),
];

/// The answer to a request for a file of the page. `None`: no file has this path.
pub fn file(path: &str) -> Option<Response<Full<Bytes>>> {
    let (kind, text) = match path {
        "/ui" => ("text/html; charset=utf-8", include_str!("assets/page.html")),
        "/ui/page.css" => ("text/css; charset=utf-8", include_str!("assets/page.css")),
        "/ui/page.js" => ("text/javascript; charset=utf-8", include_str!("assets/page.js")),
        "/ui/" => return Some(moved()),
        _ => return None,
    };
    let mut response = reply(StatusCode::OK, kind, Bytes::from_static(text.as_bytes()));
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

/// The names in the page are relative to `/ui`, also behind a proxy that adds a prefix.
fn moved() -> Response<Full<Bytes>> {
    let mut response = reply(StatusCode::PERMANENT_REDIRECT, "text/plain", Bytes::new());
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("../ui"));
    response
}
