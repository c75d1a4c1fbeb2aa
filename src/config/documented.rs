//! Tests that the settings table of docs/configuration.md agrees with the code.

use super::flags::ServeFlags;
use aka_core::domain::DEFAULT_PLACEHOLDERS;
use clap::{Args, Command};

/// Flag, environment variable and default of each setting, as the command line has them.
fn settings() -> Vec<[String; 3]> {
    let command = ServeFlags::augment_args(Command::new("serve"));
    let setting = |arg: &clap::Arg| {
        let flag = arg.get_long().expect("every setting is a flag");
        let variable = arg.get_env().expect("every setting has a variable");
        let help = arg.get_help().expect("every setting has help").to_string();
        let default = help
            .split_once("[default: ")
            .map_or("", |(_, rest)| rest.strip_suffix(']').expect("the default comes last"));
        [format!("--{flag}"), variable.to_string_lossy().into_owned(), default.to_owned()]
    };
    command.get_arguments().map(setting).collect()
}

/// The same from the rows of the page, without the marks of code and the remarks in brackets.
fn documented() -> Vec<[String; 3]> {
    let page = include_str!("../../docs/configuration.md");
    let table = page.split_once("| flag | environment | default |").expect("the table").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cell = |text: &str| text.split(" (").next().unwrap_or_default().trim().replace('`', "");
    let row = |line: &str| {
        let mut cells = line.split('|').skip(1).map(cell);
        [(); 3].map(|()| cells.next().expect("three cells at least"))
    };
    rows.map(row).collect()
}

#[test]
fn the_table_of_settings_is_complete_and_right() {
    let (mut settings, mut documented) = (settings(), documented());
    // The password is no flag: a flag would show in the list of processes.
    settings.push(["", "AKA_SHARD_PASSWORD", ""].map(str::to_owned));
    settings.sort_unstable();
    documented.sort_unstable();
    assert_eq!(settings, documented);
}

#[test]
fn the_help_counts_the_placeholders() {
    let placeholders = settings().into_iter().find(|[flag, ..]| flag == "--placeholder");
    let count = format!("a list of {}", DEFAULT_PLACEHOLDERS.len());
    assert_eq!(placeholders.expect("it is a setting")[2], count);
}
