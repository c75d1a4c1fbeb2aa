//! The page on the operations port: what it is answered, who may ask, and what a browser shows.

mod access;
mod answers;
mod bounds;
mod browser;
mod requests;
mod shown;
