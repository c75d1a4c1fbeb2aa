//! The words of aka: projects, ids, slots, rows, positions and tokens. Pure values, no I/O.

mod id;
mod identity;
mod placeholder;
mod position;
mod read;
mod row;
mod slot;
mod token;

pub use id::{Id, IdFault, Key, MAX_ID_BYTES, Project, validate};
pub use identity::Identity;
pub use placeholder::{DEFAULT_PLACEHOLDERS, Placeholders};
pub use position::{ClusterId, Position, ShardId, Stamp, random_u63};
pub use read::{Loaded, LogPage};
pub use row::{Change, ForwardRow, InverseRow, Micros};
pub use slot::{IdHash, SLOTS, Slot, SlotSet};
pub use token::{MalformedToken, Token};
