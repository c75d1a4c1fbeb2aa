//! The list of RPCs, one line for each.

/// The name of the service `Resolver`, as paths, health and metrics use it.
pub const RESOLVER: &str = Method::Resolve.service();
/// The name of the service `AliasAdmin`, as paths, health and metrics use it.
pub const ALIAS_ADMIN: &str = Method::CreateAlias.service();

/// How many messages go each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One request, one response.
    Unary,
    /// Any number of requests and responses.
    BidiStream,
}

impl Kind {
    /// The label `grpc_type` of the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::BidiStream => "bidi_stream",
        }
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident: $service:literal $name:literal $kind:ident;)*) => {
        /// An RPC of the contract, or the health check. Each is routed, limited and counted on its
        /// own.
        ///
        /// A new RPC is one line in this file. Each `match` on a method then fails to compile until
        /// the new one has its handler and limits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])* $method,)*
        }

        impl Method {
            /// All methods, in the order of their numbers (`method as usize`). The busiest is
            /// first.
            pub const ALL: &[Self] = &[$(Self::$method),*];

            /// The path of its HTTP/2 requests, `/service/name`.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$method => concat!("/", $service, "/", $name),)* }
            }

            /// The service that it belongs to.
            pub const fn service(self) -> &'static str {
                match self { $(Self::$method => $service,)* }
            }

            /// Its name in the contract.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$method => $name,)* }
            }

            /// How many messages go each way.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$method => Kind::$kind,)* }
            }

            /// The method with this path, if there is one. A few comparisons are cheaper than a
            /// hash.
            #[inline]
            pub fn of_path(path: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|method| method.path() == path)
            }
        }
    };
}

methods! {
    Resolve: "aka.v1.Resolver" "Resolve" Unary;
    BatchResolve: "aka.v1.Resolver" "BatchResolve" Unary;
    StreamResolve: "aka.v1.Resolver" "StreamResolve" BidiStream;
    CreateAlias: "aka.v1.AliasAdmin" "CreateAlias" Unary;
    BatchCreateAliases: "aka.v1.AliasAdmin" "BatchCreateAliases" Unary;
    GetAlias: "aka.v1.AliasAdmin" "GetAlias" Unary;
    UpdateAlias: "aka.v1.AliasAdmin" "UpdateAlias" Unary;
    DeleteAlias: "aka.v1.AliasAdmin" "DeleteAlias" Unary;
    ListAliases: "aka.v1.AliasAdmin" "ListAliases" Unary;
    HealthCheck: "grpc.health.v1.Health" "Check" Unary;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::DESCRIPTORS;
    use prost::Message;
    use prost_types::FileDescriptorSet;

    /// An RPC of the contract that is missing here would be refused, and counted as "other".
    #[test]
    fn every_rpc_of_the_contract_is_a_method() {
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
        let ours = files.iter().filter(|file| file.package() == "aka.v1");
        let mut paths = Vec::new();
        for service in ours.flat_map(|file| &file.service) {
            for method in &service.method {
                let path = format!("/aka.v1.{}/{}", service.name(), method.name());
                let found = Method::of_path(&path).unwrap_or_else(|| panic!("{path} is missing"));
                assert_eq!(method.client_streaming(), found.kind() == Kind::BidiStream, "{path}");
                assert_eq!(method.server_streaming(), found.kind() == Kind::BidiStream, "{path}");
                paths.push(path);
            }
        }
        let known = Method::ALL.iter().filter(|method| method.service().starts_with("aka.v1."));
        assert_eq!(known.count(), paths.len(), "a method that the contract does not have");
    }
}
