//! In which form a command answers.

use clap::{Args, ValueEnum};

/// How answers are written.
#[derive(Args, Clone, Copy, Debug)]
pub struct OutputArgs {
    /// Sentences for people, or one JSON object a line for programs
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: OutputFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    #[default]
    Text,
    Json,
}
