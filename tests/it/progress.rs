//! Progress on a terminal: how much of all, how fast, and how long it still takes.

use std::fs;
use std::time::Duration;

use trailkeeper::sandbox::{Action, Api, Step};

use super::support::{Catalog, Session, events, serve};

#[test]
fn long_reads_show_on_a_terminal_how_far_they_are_and_nowhere_else() {
    let sandbox = serve(|options| options.give(Api::Tfc, events(Api::Tfc, 500, 60)));
    let catalog = Catalog::of(&sandbox, &[Api::Tfc]).with("TERM", "xterm");
    catalog.collect(0, &[]);
    for (arguments, name) in [
        (&["verify"][..], "verify ["),
        (&["report", "--html", "page.html"], "report ["),
    ] {
        let (code, _, shown) = Session::start(&catalog, arguments).end();
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains(name) && shown.contains("iB of "), "{shown}");
        let (code, _, shown) = Session::start(&catalog, &[arguments, &["-q"]].concat()).end();
        assert_eq!((code, shown.as_str()), (0, ""));
        assert_eq!(catalog.run(arguments).stderr, "");
    }
    assert!(fs::exists(catalog.root().join("page.html")).unwrap());
}

#[test]
fn collecting_shows_its_rate_and_the_time_left() {
    let sandbox = serve(|options| {
        let options = options.give(Api::Mail, events(Api::Mail, 3_000, 60));
        options.step(Step::always(Api::Mail, Action::Wait(Duration::from_millis(300))))
    });
    let catalog = Catalog::of(&sandbox, &[Api::Mail]).with("TERM", "xterm");
    let mut session = Session::start(&catalog, &["collect", "--since", "2h"]);
    session.sees(" records, ");
    session.sees("/s");
    session.sees(" left");
    assert_eq!(session.end().0, 0);
}
