//! Starting and stopping: wrong configuration and wrong databases stop the start with one clear
//! sentence, and a stop keeps its time limit.

mod configuration;
mod databases;
mod layers;
mod migrate;
mod missing_shard;
mod stop;
mod waiting;
