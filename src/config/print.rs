//! The configuration as `aka serve --print-config` shows it: TOML that could be used as it is, but
//! for the secrets.

use super::check::{Config, Database};
use crate::ops::logging::LogFormat;
use std::fmt;
use std::time::Duration;

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shard = &self.cluster.shard;
        let quoted = |text: &str| toml::Value::from(text).to_string();
        writeln!(f, "listen = {}", quoted(&self.listen.to_string()))?;
        writeln!(f, "metrics_listen = {}", quoted(&self.metrics_listen.to_string()))?;
        match &self.database {
            Database::Sqlite(path) => {
                writeln!(f, "sqlite = {}", quoted(&path.display().to_string()))?;
            }
            Database::MySql { shards, password, .. } => {
                let shards: Vec<_> = shards.iter().map(|url| quoted(&url.to_string())).collect();
                writeln!(f, "shards = [{}]", shards.join(", "))?;
                let password = if password.is_some() { "set, hidden" } else { "not set" };
                writeln!(f, "# the password of shards whose URL has none: {password}")?;
            }
        }
        let limits = self.cluster.limits;
        for (name, value) in [
            ("connect_timeout_ms", ms(shard.connect_timeout)),
            ("cache_mib", u128::from(self.cluster.cache_bytes >> 20)),
            ("staleness_limit_ms", ms(limits.staleness)),
            ("degraded_limit_ms", ms(limits.degraded)),
            ("stale_reads_per_s", u128::from(shard.stale_reads_per_s)),
            ("feed_interval_ms", ms(shard.feed_interval)),
            ("lanes", shard.lanes as u128),
            ("query_timeout_ms", ms(shard.query_timeout)),
            ("request_timeout_ms", ms(self.request_timeout)),
            ("drain_timeout_ms", ms(self.drain_timeout)),
            ("max_connections", self.max_connections as u128),
            ("max_aliases", u128::from(self.rules.max_aliases)),
            ("retention_s", u128::from(shard.retention.as_secs())),
            ("sweep_pause_ms", ms(self.sweep_pause)),
        ] {
            writeln!(f, "{name} = {value}")?;
        }
        writeln!(f, "filter = {}", shard.filter)?;
        if let Some(folder) = &shard.filter_dir {
            writeln!(f, "filter_dir = {}", quoted(&folder.display().to_string()))?;
        }
        writeln!(f, "audit_sample = {}", shard.audit_sample)?;
        let placeholders: Vec<_> = self.rules.placeholders.list().map(|id| quoted(&id)).collect();
        writeln!(f, "placeholders = [{}]", placeholders.join(", "))?;
        let format = match self.log_format {
            LogFormat::Auto => "auto",
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        writeln!(f, "log_format = {}", quoted(format))?;
        writeln!(f, "log = {}", quoted(&self.log))
    }
}

fn ms(duration: Duration) -> u128 {
    duration.as_millis()
}
