//! `report --html`: a page of real catalogs.

mod browser;

use std::fs;
use std::io::Write;

use trailkeeper::sandbox::{Api, Records, samples};

use super::support::{Catalog, events, serve};

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
    // What is read takes its time: so the place of the page is looked at first.
    fs::remove_dir_all(catalog.folder(Api::Tfc)).unwrap();
    let is_read = |path: &str| {
        let run = catalog.run(&["report", "--html", path]);
        (run.code, run.stderr.contains("its archive is not on the page"))
    };
    assert_eq!(is_read("gone/report.html"), (1, false));
    assert_eq!(is_read("report.html"), (3, true));
}

/// Collects five streams of half a year, with a day that is a hundred times the others, days that are lost, a name that is
/// long, and a stream whose last run failed; and writes the page.
fn page_of_all_streams() -> Catalog {
    let long = "a-user-with-a-very-long-name-without-any-place-to-break@a-long-domain.example.org";
    let sandbox = serve(|mut options| {
        for api in Api::ALL {
            options[api].records = Records::Generated {
                count: 600,
                arrivals: None,
            };
        }
        options
    });
    let mut catalog = Catalog::of(&sandbox, &Api::ALL);
    catalog.collect(0, &[]);
    let (name, text) = catalog.day_files(Api::Mail).into_iter().nth(20).unwrap();
    let text = String::from_utf8(text).unwrap();
    let named = text
        .replace("b.sato@example.org", long)
        .replace("a.petrova@example.org", long);
    fs::write(catalog.folder(Api::Mail).join(name), text + &named.repeat(100)).unwrap();
    for name in catalog.day_files(Api::Disk).into_keys().skip(30).take(3) {
        fs::remove_file(catalog.folder(Api::Disk).join(name)).unwrap();
    }
    catalog.set("TFC_ORG_TOKEN", "wrong");
    catalog.collect(3, &["--stream", "tfc"]);
    page(&catalog);
    catalog
}

#[test]
fn the_overview_comes_first_and_says_how_each_stream_stands() {
    let catalog = page_of_all_streams();
    let page = fs::read_to_string(catalog.root().join("report.html")).unwrap();
    let overview = &page[page.find("id=\"overview\"").unwrap()..page.find("<section id=\"yandex-mail\"").unwrap()];
    let row = |stream: &str| {
        let start = overview.find(&format!("href=\"#{stream}\"")).unwrap();
        overview[start..].split("</tr>").next().unwrap()
    };
    assert!(row("yandex-mail").contains(">ok<") && row("yandex-mail").contains("1000001"));
    assert!(row("yandex-disk").contains(">gaps<") && row("yandex-disk").contains("days that have lost records: 3"));
    assert!(
        row("tfc").contains(">failed<") && row("tfc").contains("401"),
        "{}",
        row("tfc")
    );
    for heading in [
        "Verdict",
        "Last record",
        "Gaps",
        "Repaired",
        "Forwarded",
        "Organization and service",
    ] {
        assert_eq!(
            overview.matches(&format!("data-heading=\"{heading}\"")).count(),
            5,
            "{heading}"
        );
    }
    // The day that is a hundred times the others is cut, and the rest can be seen.
    assert!(page.contains("Cut off, since they are many times as high as the others"));
    // What failed, and from where, of the streams that say so.
    assert!(page.contains("Actions that failed") && page.contains("id_app_password.login: Fail"));
    assert!(page.contains("run UPDATE: FAILURE") && page.contains("Network addresses"));
}

#[test]
fn an_archive_that_cannot_be_read_is_named_on_the_page_and_days_that_are_compressed_are_on_it() {
    let sandbox = serve(|options| {
        let options = options.give(Api::Mail, events(Api::Mail, 12, 100));
        options.give(Api::Tfc, events(Api::Tfc, 12, 100))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Mail, Api::Tfc]);
    catalog.collect(0, &[]);
    for (name, bytes) in catalog.day_files(Api::Mail) {
        let path = catalog.folder(Api::Mail).join(&name);
        let packed = fs::File::create(format!("{}.gz", path.display())).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::default());
        encoder.write_all(&bytes).unwrap();
        encoder.finish().unwrap();
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir_all(catalog.folder(Api::Tfc)).unwrap();
    let run = catalog.run(&["report", "--html", "report.html", "--json"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_eq!(run.summary()["yandex-mail"]["records"], 12);
    let page = fs::read_to_string(catalog.root().join("report.html")).unwrap();
    assert!(page.contains("id=\"tfc\"") && page.contains(">unreadable<"));
}
