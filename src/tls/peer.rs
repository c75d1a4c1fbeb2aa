//! Who a client is, by its certificate.

use std::sync::Arc;
use tokio_rustls::rustls::CommonState;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The client of a connection, as its certificate names it. The certificate has been verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPeer {
    /// The one URI among the names of the certificate, as SPIFFE has it. `None` if there is no
    /// certificate, or if it has no URI or several. The common name is never used: it is a text
    /// for people, in which authorities let stand what they like.
    pub uri: Option<Arc<str>>,
}

impl TlsPeer {
    /// The client at the other end of this connection, whose handshake is complete.
    pub fn of(connection: &CommonState) -> Self {
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        Self { uri: certificate.and_then(|certificate| only_uri(certificate)) }
    }
}

/// The URI of a certificate that has exactly one.
fn only_uri(certificate: &[u8]) -> Option<Arc<str>> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>().ok()??.1;
    let mut uris = names.0.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Some(uri.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(names: &[SanType]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "spiffe://aka/common-name");
        params.subject_alt_names = names.to_vec();
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("ASCII"))
    }

    #[test]
    fn a_client_is_named_by_its_only_uri() {
        let dns = SanType::DnsName("worker.internal".try_into().expect("ASCII"));
        let (one, other) = (uri("spiffe://aka/worker"), uri("spiffe://aka/admin"));
        for (names, expected) in [
            (vec![], None),
            (vec![dns.clone()], None),
            (vec![one.clone()], Some("spiffe://aka/worker")),
            (vec![dns, one.clone()], Some("spiffe://aka/worker")),
            (vec![one.clone(), other], None),
            (vec![one.clone(), one], None),
        ] {
            assert_eq!(only_uri(&certificate(&names)).as_deref(), expected, "{names:?}");
        }
        assert_eq!(only_uri(b"no certificate"), None);
    }
}
