//! `aka completions`, `aka man`, and `--help` of every command.

use aka_test_support::{SECRET, aka};
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
async fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let man = || aka(["man"]).args([folder.path()]);
    // What the environment holds is not in them: a URL may hold a password.
    let shards = format!("mysql://aka:{SECRET}@db0/aka");
    assert_eq!(man().env("AKA_SHARDS", shards).run().await.succeeded(), "");
    let read = |name: &str| {
        std::fs::read_to_string(folder.path().join(name)).unwrap_or_else(|_| panic!("no {name}"))
    };
    for (page, parts) in [
        ("aka.1", ["aka\\-serve", "aka\\-alias"]),
        ("aka-serve.1", ["AKA_METRICS_LISTEN", "Examples"]),
        ("aka-doctor.1", ["aka doctor", "Exit codes"]),
        ("aka-alias-create.1", ["dry", "Examples"]),
    ] {
        let text = read(page);
        assert!(text.contains(".TH"), "{page} is a manual page: {text}");
        for part in parts {
            assert!(text.contains(part), "{page} says {part:?}: {text}");
        }
    }
    let mut pages = 0;
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        assert!(!read(&name).contains(SECRET), "{name} shows a password");
        pages += 1;
    }
    // `aka help` lists the commands.
    let help = aka(["--help"]).run().await.succeeded();
    let commands = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.split_whitespace().next());
    for command in commands.filter(|command| *command != "help") {
        assert!(read(&format!("aka-{command}.1")).contains(".TH"));
    }
    assert!(pages > 15, "{pages} pages");
    aka(["man", "/nowhere"]).run().await.failed(74, &["manual pages", "No such file"]);
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
        &["doctor"],
        &["man"],
    ] {
        let help = aka(command).args(["--help"]).run().await.succeeded();
        let example = format!("\n  aka {}", command.join(" "));
        assert!(help.contains("Example") && help.contains(&example), "{command:?}: {help}");
    }
    let version = aka(["--version"]).run().await.succeeded();
    assert_eq!(version, concat!("aka ", env!("CARGO_PKG_VERSION"), "\n"));
}
