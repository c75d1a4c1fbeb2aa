//! What clients that mean harm can make the server keep. They speak HTTP/2 by a framer of the tests'
//! own, because no library does what they do.

mod attack;
mod frames;
mod memory;
mod operations;
mod places;
mod slow;
