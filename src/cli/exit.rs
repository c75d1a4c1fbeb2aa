//! The exit codes of all commands.

use std::process::ExitCode;

/// Why a command ended as it did. README.md lists these codes; those from 64 on are BSD's sysexits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    Done = 0,
    /// The server refused, some items failed, or problems were found.
    Refused = 1,
    /// The command line or a line of stdin makes no sense.
    Usage = 2,
    /// A setting is wrong, or it names the wrong databases.
    Config = 64,
    /// A server or a database cannot be reached, or an address cannot be listened on.
    Unreachable = 69,
    /// Stdin or stdout failed.
    Io = 74,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
