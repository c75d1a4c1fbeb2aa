//! The values of settings: how they are checked, and how they are written as TOML.

use super::fault::ConfigFault;
use crate::ops::logging::LogFormat;
use crate::rpc::ReflectionAccess;
use crate::tls::{ClientAuth, TlsVersion};
use clap::ValueEnum;
use std::fmt::Display;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// A value that can be written in a TOML file.
pub(super) trait TomlText {
    /// The value as TOML; `None` if it is not set.
    fn toml(&self) -> Option<String>;
}

/// For types that TOML writes as `Display` does.
macro_rules! written_as_displayed {
    ($($type:ty),+) => {$(
        impl TomlText for $type {
            fn toml(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+};
}

written_as_displayed!(bool, u64, usize, f64);

impl TomlText for String {
    fn toml(&self) -> Option<String> {
        Some(toml::Value::from(self.as_str()).to_string())
    }
}

impl TomlText for PathBuf {
    fn toml(&self) -> Option<String> {
        self.display().to_string().toml()
    }
}

/// For types whose values have names.
macro_rules! written_as_named {
    ($($type:ty),+) => {$(
        impl TomlText for $type {
            fn toml(&self) -> Option<String> {
                self.to_possible_value()?.get_name().to_owned().toml()
            }
        }
    )+};
}

written_as_named!(ClientAuth, LogFormat, ReflectionAccess, TlsVersion);

impl TomlText for Vec<String> {
    fn toml(&self) -> Option<String> {
        let items: Vec<_> = self.iter().filter_map(TomlText::toml).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

impl<T: TomlText> TomlText for Option<T> {
    fn toml(&self) -> Option<String> {
        self.as_ref().and_then(TomlText::toml)
    }
}

/// The number, if it is within its bounds.
pub(super) fn within<T: PartialOrd + Display>(
    key: &str,
    value: T,
    bounds: RangeInclusive<T>,
) -> Result<T, ConfigFault> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let (least, most) = bounds.into_inner();
    Err(ConfigFault(format!("{key} is {value}, but must be {least} to {most}")))
}

/// The address that a text names; the first one if it is a host with several.
pub(super) fn address(key: &str, text: &str, example: &str) -> Result<SocketAddr, ConfigFault> {
    let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| {
        ConfigFault(format!("{key} is {text:?}, which is no address such as {example}"))
    })
}
