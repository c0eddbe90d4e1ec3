//! `report --html`: a page of real catalogs, in a real browser.

use std::fs;
use std::path::Path;

use trailkeeper::sandbox::{Api, samples};

use super::support::{Catalog, at, event, events, serve, succeed, tool};

/// Collects records of two streams, some of them hostile, and writes a page.
fn page(catalog: &Catalog) -> String {
    let run = catalog.run(&["report", "--html", "report.html"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    fs::read_to_string(catalog.root().join("report.html")).unwrap()
}

fn hostile_text(template: &str) -> String {
    let attack =
        "</title></style></td><script>document.title='owned'</script><img src=x onerror=document.title='owned'>";
    template.replacen("a.petrova@example.org", attack, 1)
}

#[test]
fn the_page_shows_what_the_day_files_hold() {
    let sandbox = serve(|options| {
        let options = options.give(Api::Mail, samples(Api::Mail).unwrap());
        options.give(Api::Tfc, events(Api::Tfc, 12, 100))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]).with("MAIL_INITIAL_LOOKBACK_DAYS", 3650);
    catalog.collect(0, &[]);
    let before = catalog.day_files(Api::Mail);
    let page = page(&catalog);
    for text in [
        "yandex-mail",
        "message_receive",
        "a.petrova@example.org",
        "2025-06-09",
        "was complete",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert_eq!(catalog.day_files(Api::Mail), before);
    // A stream that was asked for by name stands alone.
    let run = catalog.run(&["report", "--html", "report.html", "--stream", "tfc"]);
    assert_eq!(run.stdout, "report.html: 12 records\n");
    let page = fs::read_to_string(catalog.root().join("report.html")).unwrap();
    assert!(page.contains("id=\"tfc\"") && !page.contains("yandex-mail"));
}

#[test]
fn what_cannot_be_written_or_read_is_named() {
    let sandbox = serve(|options| options.give(Api::Tfc, Vec::new()));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    let run = catalog.run(&["report", "--html", "gone/report.html"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("gone/report.html"), "{}", run.stderr);
    fs::create_dir(catalog.folder(Api::Tfc).join("tfc_audit_2025-06-09.log")).unwrap();
    assert_eq!(
        catalog.run(&["report", "--html", "report.html"]).code,
        0,
        "a folder is no day file"
    );
    let run = catalog.run(&["report"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
}

/// The page as a browser sees it, once its scripts have run.
fn dom(path: &Path) -> Option<String> {
    let mut chromium = tool("chromium", "chromium")?;
    let profile = tempfile::tempdir().unwrap();
    chromium
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            "--virtual-time-budget=2000",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", path.display()));
    Some(succeed(&mut chromium).stdout)
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
    let Some(dom) = dom(&catalog.root().join("report.html")) else {
        return;
    };
    assert!(dom.contains("<title>trailkeeper report</title>"), "{dom}");
    assert!(!dom.contains("<script") && !dom.contains("<img"), "{dom}");
    assert!(
        dom.matches("<rect").count() > 24 && dom.contains("&lt;script&gt;"),
        "{dom}"
    );
}

#[test]
fn a_browser_draws_the_page_in_light_and_in_dark() {
    let Some(_) = tool("chromium", "chromium") else { return };
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 50, 100)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]);
    catalog.collect(0, &[]);
    page(&catalog);
    let shot = |name: &str, arguments: &[&str]| {
        let path = catalog.root().join(name);
        let mut chromium = tool("chromium", "chromium").unwrap();
        chromium
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--window-size=900,1200",
            ])
            .args(arguments)
            .arg(format!("--user-data-dir={}", catalog.root().join("profile").display()))
            .arg(format!("--screenshot={}", path.display()))
            .arg(format!("file://{}", catalog.root().join("report.html").display()));
        succeed(&mut chromium);
        fs::read(path).unwrap()
    };
    let (light, dark) = (shot("light.png", &[]), shot("dark.png", &["--force-dark-mode"]));
    assert!(light.starts_with(b"\x89PNG") && light.len() > 10_000);
    assert!(light != dark, "the dark page must look different");
}
