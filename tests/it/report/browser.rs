//! The page in a real browser: at three widths, in light and in dark.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use trailkeeper::sandbox::{Api, samples};

use super::{hostile_text, page, page_of_all_streams};
use crate::support::{Catalog, at, event, serve, succeed, tool};

/// What opens the page in frames and measures it.
const MEASURE: &str = include_str!("measure.html");

/// What the reader prefers, by the name of Chromium's setting.
const LIGHT: &str = "--blink-settings=preferredColorScheme=1";
const DARK: &str = "--blink-settings=preferredColorScheme=0";

/// Chromium with a profile of its own; `None`, and a word about it, where it is not installed.
fn chromium(profile: &Path) -> Option<Command> {
    let mut chromium = tool("chromium", "chromium")?;
    chromium
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .arg("--virtual-time-budget=5000")
        .arg(format!("--user-data-dir={}", profile.display()));
    Some(chromium)
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// A page as a browser sees it, once its scripts have run.
fn dom(path: &Path, scheme: &str) -> Option<String> {
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = chromium(profile.path())?;
    // For the frames of another file alone.
    chromium.args([scheme, "--allow-file-access-from-files", "--dump-dom"]);
    Some(succeed(chromium.arg(url(path))).stdout)
}

/// What the browser measures, for each width.
fn measured(root: &Path, scheme: &str) -> Option<Vec<Value>> {
    let path = root.join("measure.html");
    fs::write(&path, MEASURE).unwrap();
    let dom = dom(&path, scheme)?;
    let json = dom
        .split("<pre id=\"measured\">")
        .nth(1)
        .and_then(|rest| rest.split("</pre>").next())
        .unwrap()
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let measured: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    Some(measured.as_array().unwrap_or_else(|| panic!("{measured}")).clone())
}

#[test]
fn a_browser_shows_the_page_and_runs_nothing_of_what_records_say() {
    let mut hostile = samples(Api::Mail).unwrap();
    for event in &mut hostile {
        event.text = hostile_text(&event.text);
    }
    hostile.push(event(Api::Mail, at(60), "plain"));
    let sandbox = serve(|options| options.give(Api::Mail, hostile));
    let catalog = Catalog::of(&sandbox, &[Api::Mail]).with("MAIL_INITIAL_LOOKBACK_DAYS", 3650);
    catalog.collect(0, &[]);
    let page = page(&catalog);
    assert!(
        page.contains("&lt;script&gt;"),
        "the attack must be in the page, as text"
    );
    let Some(dom) = dom(&catalog.root().join("report.html"), LIGHT) else {
        return;
    };
    assert!(dom.contains("<title>trailkeeper report</title>"), "{dom}");
    assert!(!dom.contains("<script") && !dom.contains("<img"), "{dom}");
    assert!(
        dom.matches("<input").count() > 7 * 24 && dom.contains("&lt;script&gt;"),
        "{dom}"
    );
}

#[test]
fn the_page_can_be_read_at_three_widths_in_light_and_in_dark() {
    let catalog = page_of_all_streams();
    for (scheme, is_dark) in [(LIGHT, false), (DARK, true)] {
        let Some(measured) = measured(catalog.root(), scheme) else {
            return;
        };
        assert_eq!(measured.len(), 3);
        for found in &measured {
            let at_least = |name: &str, least: f64| {
                let ratio = found[name].as_f64().unwrap();
                assert!(ratio >= least, "{name} is {ratio:.2}: {found:#}");
            };
            assert_eq!(found["is_dark"], is_dark, "{found:#}");
            assert_eq!(
                found["overflow"], 0,
                "the page itself is not scrolled sideways: {found:#}"
            );
            assert_eq!(found["cut"], Value::Array(Vec::new()), "{found:#}");
            at_least("none_against_lowest", 3.0);
            at_least("weakest_text", 4.5);
            assert_eq!(found["classes_darken"], true, "{found:#}");
            assert!(found["pictures"].as_u64().unwrap() >= 3 * 5, "{found:#}");
            assert_eq!(
                found["labelled_marks"], true,
                "a mark in focus shows its label: {found:#}"
            );
            assert_eq!(found["tables_without_caption"], 0, "{found:#}");
            assert_eq!(found["headings_without_scope"], 0, "{found:#}");
            assert_eq!(found["folds"], found["width"].as_u64() < Some(832), "{found:#}");
        }
    }
}

#[test]
fn screenshots_of_light_and_dark_differ_and_are_no_empty_pages() {
    let profile = tempfile::tempdir().unwrap();
    let Some(_) = chromium(profile.path()) else { return };
    let catalog = page_of_all_streams();
    let shot = |name: &str, scheme: &str, width: u32| {
        let path = catalog.root().join(name);
        let mut chromium = chromium(profile.path()).unwrap();
        chromium
            .args([scheme, &format!("--window-size={width},1600")])
            .arg(format!("--screenshot={}", path.display()))
            .arg(url(&catalog.root().join("report.html")));
        succeed(&mut chromium);
        fs::read(path).unwrap()
    };
    for width in [360, 800, 1400] {
        let (light, dark) = (shot("light.png", LIGHT, width), shot("dark.png", DARK, width));
        assert!(light.starts_with(b"\x89PNG") && light.len() > 10_000);
        assert!(
            dark.len() > 10_000 && light != dark,
            "the dark page must look different"
        );
    }
}
