//! Why a lookup of the page is not answered, in words that say what to do.

use super::reply::reply;
use crate::auth::Denial;
use crate::quotas::QuotaExceeded;
use aka_core::coherence::LookupFailure;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;
use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PageFault {
    #[error("This server is starting. Try again in a moment; /readyz says what it waits for.")]
    Starting,
    #[error("Lookups are asked for with POST.")]
    Method,
    #[error("A lookup is JSON: send it with the content type application/json.")]
    MediaType,
    #[error("The request does not say which host it is for, or says it twice.")]
    NoHost,
    #[error("Lookups are answered to this server's own page only, and this is another site.")]
    OtherSite,
    #[error(
        "Without principals and without TLS, this server is looked into by its IP address or as localhost, so that no other site can do it under a name of its own. Open the page there, or name principals (--auth-file)."
    )]
    Name,
    #[error("The request is longer than {0} bytes. An id has at most 255.")]
    TooLong(usize),
    #[error("The request did not arrive in time. Try again.")]
    Slow,
    #[error("The request broke off. Try again.")]
    BrokenOff,
    #[error("The request is not the JSON of a lookup: {0}.")]
    Malformed(String),
    #[error("A project is a whole number from 1 to 9223372036854775807.")]
    Project,
    #[error("{}", denied(*.0))]
    Denied(Denial),
    #[error(
        "This project has used up its quota of lookups. Try again in {} ms.", .0.wait.as_millis()
    )]
    Quota(QuotaExceeded),
    #[error("Several lookups of this page are under way already. Try again in a moment.")]
    Busy,
    #[error("The answer took longer than {0:?}. Look at the shards, and try again.")]
    Late(Duration),
    #[error("{}", failed(*.0))]
    Lookup(LookupFailure),
    #[error("The list cannot be continued from here. Look the id up again.")]
    PageToken,
    #[error("A bug in aka: the answer could not be written.")]
    Bug,
}

fn denied(denial: Denial) -> &'static str {
    match denial {
        Denial::NoCredentials => {
            "This server wants to know who asks. Enter an access token that has the role reader."
        }
        Denial::BadCredentials | Denial::Expired => {
            "This token is not known here, or is no longer valid. Check that it was copied whole, or ask the operator of aka for a new one."
        }
        Denial::Role(_) => "This token's role does not suffice: it needs the role reader.",
        Denial::Project => {
            "This token gives no access to this project. Check the number, or ask the operator of aka."
        }
    }
}

fn failed(failure: LookupFailure) -> &'static str {
    match failure {
        LookupFailure::Unavailable | LookupFailure::TokenAhead => {
            "The shard that holds this id cannot be reached, and memory does not know the id. This does not mean that it is no alias. Look at the shards, and try again."
        }
        LookupFailure::Barred(_) => {
            "The database of the shard that holds this id does not let aka read. Its own words are under \"Shards\"; tell the operator of aka."
        }
        LookupFailure::Overloaded => {
            "Too many lookups wait for the shard that holds this id. Try again in a moment."
        }
        LookupFailure::DeadlineExceeded => {
            "The shard that holds this id did not answer in time. Look at the shards, and try again."
        }
    }
}

impl PageFault {
    fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::NoHost
            | Self::BrokenOff
            | Self::Malformed(_)
            | Self::Project
            | Self::PageToken => StatusCode::BAD_REQUEST,
            Self::Denied(Denial::NoCredentials | Denial::BadCredentials | Denial::Expired) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Denied(_) | Self::OtherSite | Self::Name => StatusCode::FORBIDDEN,
            Self::Quota(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Late(_) | Self::Lookup(LookupFailure::DeadlineExceeded) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Starting | Self::Busy | Self::Lookup(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What went wrong, for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Method => "METHOD_NOT_ALLOWED",
            Self::MediaType => "MEDIA_TYPE",
            Self::NoHost => "HOST_REQUIRED",
            Self::OtherSite => "CROSS_SITE",
            Self::Name => "HOST_REFUSED",
            Self::TooLong(_) => "MESSAGE_TOO_LARGE",
            Self::Slow | Self::BrokenOff => "REQUEST_INCOMPLETE",
            Self::Malformed(_) => "MALFORMED_MESSAGE",
            Self::Project => "INVALID_PROJECT",
            Self::Denied(Denial::NoCredentials) => "CREDENTIALS_REQUIRED",
            Self::Denied(Denial::BadCredentials | Denial::Expired) => "CREDENTIALS_INVALID",
            Self::Denied(Denial::Role(_)) => "ROLE_REQUIRED",
            Self::Denied(Denial::Project) => "PROJECT_FORBIDDEN",
            Self::Quota(_) => "QUOTA_EXCEEDED",
            Self::Busy | Self::Lookup(LookupFailure::Overloaded) => "OVERLOADED",
            Self::Late(_) | Self::Lookup(LookupFailure::DeadlineExceeded) => "DEADLINE_EXCEEDED",
            Self::Lookup(_) => "SHARD_UNAVAILABLE",
            Self::PageToken => "INVALID_PAGE_TOKEN",
            Self::Bug => "INTERNAL",
        }
    }

    /// The answer that says so.
    pub fn response(&self) -> Response<Full<Bytes>> {
        let error = json!({ "error": { "reason": self.reason(), "message": self.to_string() } });
        let body = Bytes::from(error.to_string() + "\n");
        let mut response = reply(self.status(), "application/json", body);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status() {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            // A browser asks for no password then, because it has no form for this scheme.
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
