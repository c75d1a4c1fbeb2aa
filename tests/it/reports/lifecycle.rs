//! Start, health, and an orderly stop.
