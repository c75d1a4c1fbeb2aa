//! What a database refuses, and what aka says about it.
