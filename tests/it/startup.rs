//! Starting and stopping: wrong configuration and wrong databases stop the start with one clear
//! sentence, and a stop keeps its time limit.

mod configuration;
mod databases;
mod handover;
mod layers;
mod leaving;
mod migrate;
mod missing_shard;
mod readiness;
mod stop;
mod waiting;
