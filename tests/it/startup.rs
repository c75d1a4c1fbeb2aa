//! Starting and stopping: wrong configuration and wrong databases stop the start with one clear
//! sentence, and a stop takes no longer than it may.

mod configuration;
mod databases;
mod layers;
mod migrate;
mod missing_shard;
mod stop;
