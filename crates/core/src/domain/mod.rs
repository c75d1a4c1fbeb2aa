//! The words of aka as types: projects, ids, slots, rows, positions and tokens. Pure values, no
//! I/O.
//!
//! In reading order: a [`Project`] and an [`Id`] make a [`Key`], which belongs to a [`Slot`]. A
//! shard owns a [`SlotSet`] and says so in its [`Identity`]. Its tables hold a [`ForwardRow`] and
//! an [`InverseRow`] for each alias, and a [`Change`] for each change. A [`Position`] names a point
//! in a shard's history, and a [`Token`] carries positions to clients. A shard answers a read with
//! [`Loaded`] or with a [`LogPage`], both with the [`Claim`] of the server that answered. A [`Bar`]
//! says why it does not. [`Placeholders`] are the ids that cannot be aliased.

mod bar;
mod claim;
mod id;
mod identity;
mod key;
mod placeholder;
mod position;
mod project;
mod read;
mod row;
mod slot;
mod slot_set;
mod token;
mod unfilled;

pub use bar::Bar;
pub use claim::{Beat, Claim};
pub use id::{Id, IdFault, MAX_ID_BYTES, validate};
pub use identity::Identity;
pub use key::Key;
pub use placeholder::{DEFAULT_PLACEHOLDERS, Placeholders};
pub use position::{ClusterId, Position, ShardId, Stamp, random_u63};
pub use project::Project;
pub use read::{Loaded, LogPage};
pub use row::{Change, ForwardRow, InverseRow, Micros};
pub use slot::{IdHash, SLOTS, Slot};
pub use slot_set::SlotSet;
pub use token::{MalformedToken, Token};
