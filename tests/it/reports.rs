//! Faults that users reported or would meet, each as the smallest test that shows it.
//!
//! | fault | test |
//! |---|---|
//! | a quoted line break in a CSV row made an alias in another project | `transfer` |
//! | an empty environment variable switched a setting off | `settings` |
//! | a SQLite file copied after exit 0 lacked acknowledged aliases | `lifecycle` |
//! | placeholders in Unicode blanks, and templates that were not filled in, became aliases | `ids` |
//! | `aka migrate` took over tables that are not aka's | `databases` |
//! | a write after its deadline was answered "overloaded" | `wire` |
//! | idle connections used up the descriptors of databases and the operations port | `lifecycle` |
//! | a gzip request was refused | `wire` |
//! | a read-only or full database, or a missing privilege, was called unreachable | `databases` |
//! | a statement over `max_allowed_packet` failed its whole group | `databases` |
//! | an idle database that was killed stayed "up" | `lifecycle` |
//! | health `Watch`, SIGTERM during a `Watch`, and SIGHUP | `lifecycle` |
//! | reflection did not know `google.rpc.ErrorInfo` | `wire` |
//! | a slow export made the write-ahead log grow without a bound | `transfer` |
//! | `--print-config \| head -1` panicked | `settings` |
//! | a line end in `AKA_SHARD_PASSWORD` was part of the password | `settings` |
//! | SIGINT during an import said nothing | `transfer` |
//! | a server certificate of X.509 v1 | `databases` |
//! | connections were aborted instead of closed | `lifecycle` |
//! | a sandbox without `pidfd_getfd` was slower, silently | `databases` |
//! | `aka check --repair` repaired by guess | `ids` |
//! | GOAWAY with PROTOCOL_ERROR to a gRPC C-core client | `opening` |

mod databases;
mod ids;
mod lifecycle;
mod opening;
mod settings;
mod transfer;
mod wire;
