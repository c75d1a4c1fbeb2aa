//! The writes of the alias service, and its reads for admins (`docs/design.md`, sections 2 and 3).
//!
//! An alias is written in two steps, because its two ids may live on two shards. First an inverse
//! row pins the canonical id, then the forward row makes the alias. All that is known of an id
//! lives in its own slot, so each step is one local transaction.

mod batch;
mod create;
mod delete;
mod get;
mod handle;
mod link;
mod list;
mod pins;
mod precheck;
mod refusal;
mod request;
mod retry;
mod sweeper;
mod unpin;
mod update;

pub use handle::{Admin, AliasView, WriteAnswer};
pub use list::{MAX_PAGE, Page};
pub use refusal::{Refusal, WhichId};
pub use request::{NewAlias, Rules};
pub use sweeper::sweep_forever;
