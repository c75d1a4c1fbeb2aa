//! Whether a request comes from the page itself, and not from a page of somebody else in the same
//! browser.
//!
//! A page of another site can make a browser send requests to an address inside. Three things keep
//! it from reading ids. It cannot send JSON without asking first (a CORS preflight, which is never
//! granted). A browser says which site a request is from. And a name that an attacker points to an
//! inside address (DNS rebinding) makes his page "the same site", so names are refused where nothing
//! else tells him apart: without principals (he has no token) and without TLS (the certificate does
//! not have his name).

use super::fault::PageFault;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, header};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Who is at the other end of a connection of the operations port.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// `None`: the connection ended at once.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The one URI that its verified certificate names.
    pub uri: Option<Arc<str>>,
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks that a lookup is asked for by the page, or by no browser at all. `any_name`: whether the
/// server may be called by any name.
///
/// # Errors
/// If not.
pub(super) fn check(headers: &HeaderMap, any_name: bool) -> Result<(), PageFault> {
    if !is_json(headers) {
        return Err(PageFault::MediaType);
    }
    let host = only(headers, &header::HOST).and_then(|host| host.parse::<Authority>().ok());
    let host = host.ok_or(PageFault::NoHost)?;
    let same_site = match headers.contains_key(FETCH_SITE) {
        true => only(headers, &FETCH_SITE) == Some("same-origin"),
        // Browsers say it only on connections that they trust.
        false => !headers.contains_key(header::ORIGIN) || is_origin(headers, &host),
    };
    if !same_site {
        return Err(PageFault::OtherSite);
    }
    match any_name || is_plain_host(&host) {
        true => Ok(()),
        false => Err(PageFault::Name),
    }
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = only(headers, &header::CONTENT_TYPE).and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Whether the origin is this host. Its scheme is not known here: a proxy may speak TLS.
fn is_origin(headers: &HeaderMap, host: &Authority) -> bool {
    let origin = only(headers, &header::ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| origin.parse::<Authority>().is_ok_and(|it| it == *host))
}

/// Whether no other site can be called by this name: an IP address, the machine itself, or a name
/// without a dot.
fn is_plain_host(host: &Authority) -> bool {
    let name = host.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || name.to_ascii_lowercase().ends_with(".localhost")
}
