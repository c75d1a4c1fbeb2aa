//! Calls as gRPC clients make them.
