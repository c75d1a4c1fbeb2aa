//! `aka completions`, and `--help` of every command.

use aka_test_support::aka;
use std::io::Write;
use std::process::{Command, Stdio};

#[tokio::test]
async fn bash_takes_the_completions() {
    let script = aka(["completions", "bash"]).run().await.succeeded();
    let flags = ["--expected-version", "--metrics-listen", "--metrics-server"];
    for word in ["resolve", "migrate", "completions", "status"].into_iter().chain(flags) {
        assert!(script.contains(word), "{word} cannot be completed");
    }
    // Bash sources the script and completes `aka al` to `aka alias`, as a shell would.
    let ask = "\nCOMP_WORDS=(aka al); COMP_CWORD=1; _aka aka al aka\necho \"${COMPREPLY[*]}\"\n";
    assert_eq!(bash(&["-n"], &script), "");
    assert_eq!(bash(&[], &(script + ask)), "alias\n");
}

fn bash(flags: &[&str], script: &str) -> String {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile"]).args(flags);
    bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut bash = bash.spawn().expect("bash is installed");
    let mut stdin = bash.stdin.take().expect("piped");
    stdin.write_all(script.as_bytes()).expect("bash reads it");
    drop(stdin);
    let output = bash.wait_with_output().expect("bash ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn other_shells_have_theirs() {
    for (shell, part) in [("zsh", "#compdef aka"), ("fish", "complete -c aka")] {
        let script = aka(["completions", shell]).run().await.succeeded();
        assert!(script.contains(part), "{shell}: {script}");
    }
}

#[tokio::test]
async fn every_command_has_help_with_examples() {
    for command in [
        &["serve"][..],
        &["migrate"],
        &["check"],
        &["resolve"],
        &["alias", "create"],
        &["alias", "get"],
        &["alias", "list"],
        &["alias", "update"],
        &["alias", "delete"],
        &["auth", "token"],
        &["auth", "check"],
        &["health"],
        &["status"],
        &["bench"],
        &["completions"],
    ] {
        let help = aka(command).args(["--help"]).run().await.succeeded();
        let example = format!("\n  aka {}", command.join(" "));
        assert!(help.contains("Example") && help.contains(&example), "{command:?}: {help}");
    }
    let version = aka(["--version"]).run().await.succeeded();
    assert_eq!(version, concat!("aka ", env!("CARGO_PKG_VERSION"), "\n"));
}
