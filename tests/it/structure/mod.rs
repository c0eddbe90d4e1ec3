//! The order of the modules is what `lib.rs` says, read from the sources.

mod planted;
mod rules;
mod scan;

use std::path::Path;

/// Crates and functions that reach an outside thing, and the modules that alone know them; `main` is none of the library.
const OWNERS: [(&str, &[&str]); 13] = [
    ("Utc::now", &["main"]),
    ("SystemTime::now", &["main"]),
    ("process::exit", &["main"]),
    ("env::var", &["env"]),
    ("env::var_os", &["env"]),
    ("env::vars_os", &["env"]),
    ("axum", &["metrics::serve", "sandbox"]),
    ("indicatif", &["output::progress"]),
    ("object_store", &["copy::connector", "copy::objects"]),
    ("rdkafka", &["forward::kafka"]),
    ("reqwest", &["http::client"]),
    ("tracing_appender", &["output::logging"]),
    ("tracing_subscriber", &["output::logging"]),
];

/// The only modules that know the sandbox.
const KNOW_THE_SANDBOX: &str = "//! Imported by: commands::demo, commands::sandbox.";

fn sources() -> scan::Sources {
    scan::sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn modules_import_only_from_those_above_them_and_their_first_lines_say_which() {
    let modules = scan::modules(&sources()).unwrap();
    // What reads nothing finds nothing.
    assert!(modules.len() > 100, "only {} modules were found", modules.len());
    let found = rules::violations(&modules);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The rules hold what is written there, so that it is written there is held here.
#[test]
fn the_sandbox_imports_nothing_and_is_imported_by_its_two_commands_alone() {
    let text = &sources()["sandbox/mod.rs"];
    for line in ["//! Imports: nothing.", KNOW_THE_SANDBOX] {
        assert!(
            text.lines().any(|found| found == line),
            "src/sandbox/mod.rs lacks the line {line:?}"
        );
    }
}

#[test]
fn each_outside_thing_has_one_owner() {
    let modules = scan::modules(&sources()).unwrap();
    for (name, owners) in OWNERS {
        // A crate that nobody uses may have another name by now.
        let is_function = name.contains("::");
        assert!(
            is_function || !rules::strangers(&modules, name, &[]).is_empty(),
            "nobody uses {name}"
        );
        let found = rules::strangers(&modules, name, owners);
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    }
}

#[test]
fn clippy_toml_names_files_and_folders_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("clippy.toml")).unwrap();
    let words = text
        .split([' ', '"', ';', ',', '\n'])
        .map(|word| word.trim_end_matches('.'));
    let paths: Vec<_> = words.filter(|word| word.starts_with("src/")).collect();
    assert!(!paths.is_empty());
    for path in paths {
        let found = root.join(path);
        let is_right = if path.ends_with('/') {
            found.is_dir()
        } else {
            found.is_file()
        };
        assert!(
            is_right,
            "clippy.toml names {path}, which is not there: name the file that has its place"
        );
    }
}
