//! The macro that makes all of a setting from its entry in `settings.rs`.

use super::value::TomlText;

/// Makes two structs from a list of entries `key: type [UNIT] = default, in bounds;`.
///
/// The *layer* has each value as an `Option`: it is what the flags and the environment set, or what
/// the file sets. The *settings* have the values that are used: a value without a default stays an
/// `Option`.
macro_rules! settings {
    (@type $type:ty) => { Option<$type> };
    (@type $type:ty = $default:expr) => { $type };

    (@default) => { None };
    (@default = $default:expr) => { $default.into() };
    (@default = $default:expr, in $bounds:expr) => { $default };

    (@checked $key:ident, $set:expr, $or:expr;) => { $set };
    (@checked $key:ident, $set:expr, $or:expr; = $default:expr) => { $set.unwrap_or($or) };
    (@checked $key:ident, $set:expr, $or:expr; = $default:expr, in $bounds:expr) => {
        $crate::config::value::within(stringify!($key), $set.unwrap_or($or), $bounds)?
    };

    ($(
        #[doc = $about:literal]
        $layer:ident => $settings:ident {$(
            $(#[doc = $help:literal])+
            $(#[arg($($arg:tt)+)])?
            $key:ident: $type:ty [$unit:ident] $(= $default:expr $(, in $bounds:expr)?)?;
        )+}
    )+) => {$(
        #[doc = $about]
        #[derive(Clone, Default, clap::Args, serde::Deserialize)]
        #[serde(default)]
        pub struct $layer {$(
            #[arg(
                long,
                env = $crate::config::table::variable!($key),
                value_name = stringify!($unit),
                help = $crate::config::table::help(&[$($help),+], &$settings::default().$key),
            )]
            $(#[arg($($arg)+)])?
            pub(super) $key: Option<$type>,
        )+}

        #[doc = $about]
        pub struct $settings {$(
            pub(super) $key: settings!(@type $type $(= $default)?),
        )+}

        impl Default for $settings {
            fn default() -> Self {
                Self {$($key: settings!(@default $(= $default $(, in $bounds)?)?),)+}
            }
        }

        impl $layer {
            /// Takes from `below` what is not set here.
            pub(super) fn over(self, below: Self) -> Self {
                Self {$($key: self.$key.or(below.$key),)+}
            }

            /// What is set, else the default; within its bounds.
            pub(super) fn checked(self) -> Result<$settings, $crate::config::fault::ConfigFault> {
                let default = $settings::default();
                Ok($settings {$(
                    $key: settings!(
                        @checked $key, self.$key, default.$key; $(= $default $(, in $bounds)?)?
                    ),
                )+})
            }
        }

        impl $settings {
            /// A line of TOML for each setting that has a value.
            pub(super) fn toml(&self) -> String {
                let mut lines = String::new();
                $(if let Some(value) = $crate::config::value::TomlText::toml(&self.$key) {
                    lines.push_str(&format!("{} = {value}\n", stringify!($key)));
                })+
                lines
            }
        }
    )+};
}

/// The environment variable of a setting: `AKA_` and the key in capitals.
macro_rules! variable {
    ($key:ident) => {{
        const KEY: &str = concat!("AKA_", stringify!($key));
        const NAME: [u8; KEY.len()] = $crate::config::table::capitals(KEY);
        const {
            match str::from_utf8(&NAME) {
                Ok(name) => name,
                Err(_) => panic!("a key is ASCII"),
            }
        }
    }};
}

pub(super) use {settings, variable};

/// The first `N` bytes of `text`, which has as many, in capitals.
pub(super) const fn capitals<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = *text.as_bytes().first_chunk().expect("as many bytes");
    bytes.make_ascii_uppercase();
    bytes
}

/// The help of a setting in one line, with its default if it has one.
pub(super) fn help(lines: &[&str], default: &impl TomlText) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.trim()).collect();
    match default.toml() {
        Some(default) => format!("{} [default: {}]", lines.join(" "), default.trim_matches('"')),
        None => lines.join(" "),
    }
}
