//! The rules against small crates: one that keeps them, and the same with one thing planted.

use super::rules::{IN_ORDER, strangers, violations};
use super::scan::{Sources, modules};

/// A crate that keeps all rules: `top` imports `middle`, which imports `low`.
const SOUND: [(&str, &str); 4] = [
    ("lib.rs", "pub mod low;\npub mod middle;\npub mod top;\n"),
    ("low.rs", "//! At the bottom.\n//! Imports: nothing.\n"),
    ("middle/mod.rs", "//! Between.\n//!\n//! Imports: low.\n\nmod inner;\n"),
    ("top.rs", "//! Imports: middle.\n\nuse crate::middle;\n"),
];

/// The code of `middle`, in a file below that of the module.
const INNER: (&str, &str) = ("middle/inner.rs", "use crate::low::Low;\n");

/// The sound crate with these files in the place of its own, or beside them.
fn planted(files: &[(&str, &str)]) -> Sources {
    let mut sources = Sources::new();
    for (file, text) in SOUND.iter().chain([&INNER]).chain(files) {
        sources.insert((*file).to_owned(), (*text).to_owned());
    }
    sources
}

/// What is wrong with the sound crate when these files stand in it.
fn wrong(files: &[(&str, &str)]) -> Vec<String> {
    violations(&modules(&planted(files)).unwrap())
}

/// What is wrong when `middle` holds this besides its one import, each thing as file, line and start of the message.
fn wrong_in_middle(code: &str) -> Vec<String> {
    wrong(&[("middle/inner.rs", &format!("{}{code}", INNER.1))])
}

#[test]
fn a_sound_crate_breaks_no_rule() {
    assert_eq!(wrong(&[]), [""; 0]);
}

#[test]
fn an_import_of_a_module_that_stands_below_is_found() {
    let swapped = ("lib.rs", "pub mod middle;\npub mod low;\npub mod top;\n");
    assert_eq!(
        wrong(&[swapped]),
        ["src/middle/inner.rs:1: `middle` imports `low`; it stands below: put `low` above `middle` in src/lib.rs"]
    );
}

#[test]
fn a_circle_is_found_and_shown() {
    let low = "//! Imports: top.\nfn f() { crate::top::f(); }\n";
    assert_eq!(
        wrong(&[("low.rs", low)]),
        [
            "src/low.rs:2: `low` imports `top`; a circle, as top → middle → low: move what both need into a module above \
             both"
        ]
    );
}

#[test]
fn an_import_that_the_first_lines_do_not_name_is_found() {
    let top = "//! Imports: middle.\n\nuse crate::{low::Low, middle};\n";
    assert_eq!(
        wrong(&[("top.rs", top)]),
        [
            "src/top.rs:3: `top` imports `low`, which the `Imports:` line of src/top.rs does not name: do without it, or \
             add it there"
        ]
    );
}

#[test]
fn a_name_in_the_first_lines_that_is_not_imported_is_found() {
    for (line, text) in [
        (1, "//! Imports: low, middle.\nuse crate::middle;\n"),
        (
            3,
            "//! At the top.\n//!\n//! Imports: low,\n//! middle.\nuse crate::middle;\n",
        ),
    ] {
        let expected = format!("src/top.rs:{line}: `top` does not import `low`: take it out of the `Imports:` line");
        assert_eq!(wrong(&[("top.rs", text)]), [expected]);
    }
}

#[test]
fn first_lines_that_do_not_say_what_is_imported_are_found() {
    let late = format!("{}//! Imports: middle.\nuse crate::middle;\n", "//! Text.\n".repeat(8));
    let endless = "//! Imports: middle\n\nuse crate::middle;\n";
    for text in ["//! At the top.\n\nuse crate::middle;\n", &late, endless] {
        assert_eq!(
            wrong(&[("top.rs", text)]),
            ["src/top.rs:1: its first lines do not say what `top` imports: add `//! Imports: middle.`"]
        );
    }
}

#[test]
fn every_way_to_write_an_import_is_found() {
    for code in [
        "use crate::top;",
        "use crate::top::*;",
        "use crate::{low::{self, x}, top::{a, b as c}};",
        "use super::super::top::f;",
        "use super::{super::top};",
        "pub(crate) use self::super::super::top;",
        "fn f() { use crate::top; }",
        "fn f() { crate::top::f(); }",
        "fn f() { super::super::top::f::<u8>(); }",
        "fn f(x: Vec<crate::top::T>) {}",
        "fn f() -> impl crate::top::T {}",
        "fn f() { let x = <crate::low::X as crate::top::T>::f(); }",
        "fn f(x: u8) { match x { crate::top::X => {} } }",
        "impl crate::top::T for X {}",
        "mod deeper { use super::super::super::top; }",
        "#[cfg(not(test))] use crate::top;",
        "#[cfg(any(test, unix))] use crate::top;",
        "#[cfg(unix)] mod unix { use crate::top; }",
        "#[cfg_attr(test, allow(unused))] fn f() { crate::top::f(); }",
    ] {
        let found = wrong_in_middle(code);
        assert_eq!(found.len(), 2, "{code}: {found:?}");
        for what in found {
            assert!(
                what.starts_with("src/middle/inner.rs:2: `middle` imports `top`"),
                "{code}: {what}"
            );
        }
    }
}

#[test]
fn an_import_in_what_a_macro_or_an_attribute_is_given_is_found() {
    for code in [
        "fn f() { println!(\"{}\", crate::top::f()); }",
        "fn f() { a!(b[c { super::super::top::X }]); }",
        "a! { use crate::{low, top::{x, y}}; }",
        "fn f() { crate::top::a!(); }",
        "macro_rules! a { () => { $crate::top::f() } }",
        "#[derive(crate::top::T)] struct X;",
        "#[serde(with = \"crate::top\")] struct X;",
        "struct X { #[serde(default = \"super::super::top::f\")] x: u8 }",
        "#[path_of = \"crate::top\"] struct X;",
        "#[arg(value_parser = crate::top::f)] struct X;",
    ] {
        let found = wrong_in_middle(code);
        let is_found = |what: &String| what.starts_with("src/middle/inner.rs:2: `middle` imports `top`");
        assert!(found.len() == 2 && found.iter().all(is_found), "{code}: {found:?}");
    }
}

#[test]
fn what_imports_nothing_is_passed_over() {
    for code in [
        "// use crate::top;",
        "mod deeper { //! [`crate::top`]\n }",
        "/// [`crate::top`]\nfn f() {}",
        "pub(crate) fn f(self) { self.top(); }",
        "pub(in crate::middle) fn f() {}",
        "fn f() { log!(\"crate::top is a text\", self.x, top::f()); }",
        "#[expect(x, reason = \"as crate::top does\")] fn f() {}",
        "use ::top::x;\nuse top::crate_name;",
        "use super::inner; fn f() { self::g(); }",
    ] {
        assert_eq!(wrong_in_middle(&format!("\n{code}\n")), [""; 0], "{code}");
    }
}

#[test]
fn tests_may_look_anywhere() {
    for code in [
        "#[cfg(test)] use crate::top;",
        "#[cfg(test)] mod tests { use crate::top; }",
        "#[cfg(test)] mod tests;",
        "#[cfg(all(test, unix))] mod tests { use crate::top; }",
        "#[cfg(all(unix, test))] fn f() { crate::top::f(); }",
        "impl X { #[cfg(test)] fn f() { crate::top::f(); } }",
        "struct X { #[cfg(test)] x: crate::top::X }",
        "#[cfg_attr(test, derive(crate::top::T))] struct X;",
        "fn f() { #[cfg(test)] crate::top::f!(); }",
        "fn f() { #[cfg(test)] let x = crate::top::f(); }",
    ] {
        assert_eq!(wrong_in_middle(code), [""; 0], "{code}");
    }
    let whole_file = ("middle/inner.rs", "#![cfg(test)]\nuse crate::top;\n");
    let middle = ("middle/mod.rs", "//! Imports: low.\nmod inner;\nuse crate::low;\n");
    assert_eq!(wrong(&[middle, whole_file]), [""; 0]);
}

#[test]
fn an_import_that_leads_to_no_module_of_the_root_is_found() {
    for (code, name) in [
        ("use crate::Name;", "Name"),
        ("use crate::*;", "*"),
        ("use super::super::*;", "*"),
        ("use crate::gone::f;", "gone::f"),
        ("use crate as other;", ""),
    ] {
        let expected = format!(
            "src/middle/inner.rs:2: `crate::{name}` names no module of src/lib.rs: import from a module, by its name"
        );
        assert_eq!(wrong_in_middle(code), [expected]);
    }
}

#[test]
fn what_cannot_be_read_is_an_error_and_no_clean_bill() {
    for (file, text, expected) in [
        ("middle/inner.rs", "fn (", "src/middle/inner.rs: "),
        (
            "middle/mod.rs",
            "mod gone;",
            "`mod middle::gone` has no file src/middle/gone.rs or ",
        ),
        (
            "low.rs",
            "\n#[path = \"x.rs\"]\nmod x;",
            "src/low.rs:3: a module's file must have its name",
        ),
        (
            "low.rs",
            "extern crate self as other;",
            "src/low.rs:1: the crate must be called `crate`",
        ),
    ] {
        let error = modules(&planted(&[(file, text)])).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_module_with_chosen_importers_is_imported_by_no_other() {
    let chosen = |by: &str| format!("//! Imports: nothing.\n//! Imported by: {by}.\n");
    for allowed in ["middle::inner", "middle"] {
        assert_eq!(wrong(&[("low.rs", &chosen(allowed))]), [""; 0]);
    }
    for other in ["mid", "middle::inner::deeper", "top"] {
        let stranger = "src/middle/inner.rs:1: `middle::inner` imports `low`, which the `Imported by:` line of src/low.rs \
                        does not allow: do without it";
        let idle = format!("src/low.rs:2: `{other}` does not import `low`: take it out of the `Imported by:` line");
        assert_eq!(wrong(&[("low.rs", &chosen(other))]), [stranger, &idle]);
    }
}

#[test]
fn a_module_that_imports_nothing_may_import_nothing() {
    let low = (
        "low.rs",
        "//! Imports: nothing.\n//! Imported by: middle::inner.\n\nuse crate::lower;\n",
    );
    let lower = ("lower.rs", "//! Imports: nothing.\n");
    let order = ("lib.rs", "mod lower;\npub mod low;\npub mod middle;\npub mod top;\n");
    assert_eq!(
        wrong(&[low, lower, order]),
        [
            "src/low.rs:4: `low` imports `lower`, which the `Imports:` line of src/low.rs does not name: do without it, or \
             add it there"
        ]
    );
}

#[test]
fn a_folder_that_says_so_keeps_its_own_order() {
    let folder = format!("//! Imports: low.\n//!\n//! {IN_ORDER}.\n\nmod one;\nmod two;\nmod inner;\n");
    let wrong_with = |one: &str| {
        wrong(&[
            ("middle/mod.rs", &folder),
            ("middle/one.rs", one),
            ("middle/two.rs", "use super::one::One;\n"),
        ])
    };
    assert_eq!(wrong_with("use super::one::X; mod deeper { use super::X; }"), [""; 0]);
    for (code, name) in [
        ("use super::two::Two;", "middle::two::Two"),
        ("mod deeper { use crate::middle::two; }", "middle::two"),
        ("fn f() { super::f(); }", "middle::f"),
    ] {
        let found = wrong_with(code);
        let expected = format!("imports `{name}`, which stands below it in src/middle/mod.rs");
        assert!(found.len() == 1 && found[0].contains(&expected), "{found:?}");
    }
}

#[test]
fn a_crate_that_is_used_outside_of_its_owner_is_found() {
    for code in [
        "use reqwest;",
        "use ::reqwest::Client;",
        "use {reqwest::Client};",
        "fn f() { reqwest::get() }",
    ] {
        let sources = planted(&[("middle/inner.rs", code), ("top.rs", "use reqwest::Client;")]);
        let modules = modules(&sources).unwrap();
        let found = strangers(&modules, "reqwest", &["top"]);
        assert_eq!(found, ["src/middle/inner.rs:1: only top may use `reqwest`"], "{code}");
        assert_eq!(strangers(&modules, "reqwest", &["top", "middle"]), [""; 0]);
    }
}

#[test]
fn a_function_that_is_called_outside_of_its_owner_is_found() {
    for code in [
        "fn f() { Utc::now(); }",
        "fn f() { chrono::Utc::now(); }",
        "const F: fn() = <X as Y<{ Utc::now }>>::F;",
    ] {
        let modules = modules(&planted(&[
            ("middle/inner.rs", code),
            ("top.rs", "fn f() { Utc::now(); }"),
        ]))
        .unwrap();
        let found = strangers(&modules, "Utc::now", &["top"]);
        assert_eq!(found, ["src/middle/inner.rs:1: only top may use `Utc::now`"], "{code}");
    }
    let modules = modules(&planted(&[(
        "middle/inner.rs",
        "fn f() { Utc::now::x(); Local::now(); Utc; }",
    )]))
    .unwrap();
    assert_eq!(strangers(&modules, "Utc::now", &[]), [""; 0]);
}
