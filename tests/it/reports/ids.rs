//! Ids that must not be aliased, and rows that were changed by hand.
