//! The page: the overview, then a section for each stream, nothing loaded from elsewhere.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::counts::People;
use super::frame::frame;
use super::html::shown;
use super::section::section;
use super::{StreamReport, UnreadableStream, overview};
use crate::output::table::to_the_second;

/// What a page begins with, by which it is known.
pub(crate) const BEGINNING: &str = "<!DOCTYPE html>\n<!-- made by trailkeeper report -->\n";

/// All that is on a page.
pub(crate) struct Page<'a> {
    pub(crate) streams: &'a [Result<StreamReport, UnreadableStream>],
    /// Whether it names users and addresses.
    pub(crate) people: People,
    /// The name of this machine, if it has one.
    pub(crate) host: Option<&'a str>,
    pub(crate) now: DateTime<Utc>,
}

impl Page<'_> {
    /// Renders the page.
    #[must_use]
    pub(crate) fn render(&self) -> String {
        let body = html! {
            (self.header())
            main {
                (overview::table(self.streams, self.now))
                @for stream in self.streams { (section(stream, self.people, self.now)) }
            }
            (self.footer())
        };
        frame(BEGINNING, "trailkeeper report", &body)
    }

    fn header(&self) -> Markup {
        html! {
            header {
                h1 { "Audit trails" }
                p.soft {
                    "As of " (to_the_second(self.now))
                    @if let Some(host) = self.host { ", on " (shown(host)) }
                    ". Days and hours are in UTC."
                }
            }
        }
    }

    fn footer(&self) -> Markup {
        html! {
            footer {
                p {
                    "Made by trailkeeper " (env!("CARGO_PKG_VERSION")) ". "
                    @match self.people {
                        People::Named => "It holds personal data: names of users and network addresses from the records.",
                        People::LeftOut => "It names no users and no addresses, since everyone who reaches this port can read \
                                            it; the page of report --html does.",
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::archive::Location;
    use crate::config::StreamPlace;
    use crate::forward::Lag;
    use crate::output::progress::ReadProgress;
    use crate::report::Surveyor;
    use crate::source::SOURCES;

    fn now() -> DateTime<Utc> {
        "2025-06-10T12:00:00Z".parse().unwrap()
    }

    fn read(lines: &str, mut surveyor: Surveyor) -> StreamReport {
        let folder = tempfile::tempdir().unwrap();
        if !lines.is_empty() {
            fs::write(folder.path().join("mail_2025-06-09.log"), lines).unwrap();
        }
        let place = StreamPlace {
            kind: &SOURCES[0],
            organization: None,
            location: Location::new(folder.path(), "mail", "log").unwrap(),
            keep: None,
        };
        StreamReport::read(&mut surveyor, &place, &ReadProgress::hidden(), now()).unwrap()
    }

    fn report(lines: &str) -> StreamReport {
        read(lines, Surveyor::once(&SOURCES[0]))
    }

    fn render(streams: Vec<StreamReport>) -> String {
        let streams: Vec<_> = streams.into_iter().map(Ok).collect();
        page(&streams, People::Named)
    }

    fn page(streams: &[Result<StreamReport, UnreadableStream>], people: People) -> String {
        let page = Page {
            streams,
            people,
            host: Some("collector-1"),
            now: now(),
        };
        page.render()
    }

    #[test]
    fn hostile_records_add_no_markup_to_the_page() {
        let line = "{\"eventType\": \"</style><script>alert(1)</script>\", \"date\": \"2025-06-09T10:00:00Z\", \
                    \"clientIp\": \"<svg onload=alert(4)>\", \
                    \"userLogin\": \"\\\" onload=alert(2) <img src=x onerror=alert(3)>\\u202e\"}\n";
        let page = render(vec![report(line)]);
        for tag in ["<script", "<img", "<svg"] {
            assert_eq!(page.matches(tag).count(), 0, "{tag}");
        }
        assert_eq!(page.matches("</style>").count(), 1);
        assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("&quot; onload=alert(2)"));
        assert!(!page.contains('\u{202e}'));
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let page = render(vec![report("")]);
        for word in ["http://", "https://", "url(", "@import", "<link", "<script", "src="] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.starts_with(BEGINNING) && page.contains("default-src 'none'"));
    }

    #[test]
    fn every_tag_that_is_opened_is_closed_and_every_table_has_a_caption_and_scopes() {
        let line = "{\"eventType\": \"x\", \"date\": \"2025-06-09T10:00:00Z\", \"userLogin\": \"a\"}\n";
        let mut stream = report(line);
        stream.forwarders.push(Lag {
            sink: "kafka <1>",
            waiting: Some(12_345),
            up_to: Some(now()),
            oldest_waiting_seconds: Some(7_200),
            problem: Some("<broken>".to_owned()),
            ..Lag::default()
        });
        let page = render(vec![stream, report("")]);
        let opened = |tag: &str| page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        for tag in [
            "section", "table", "tr", "td", "th", "dl", "div", "details", "span", "p", "h3", "caption",
        ] {
            assert_eq!(opened(tag), page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert_eq!(opened("caption"), opened("table"));
        assert_eq!(page.matches("scope=\"").count(), opened("th"));
        for text in ["kafka &lt;1&gt;", "12\u{202f}345", "2h", "&lt;broken&gt;"] {
            assert!(page.contains(text), "{text}");
        }
    }

    #[test]
    fn an_empty_archive_has_a_section_that_says_so_and_one_that_cannot_be_read_too() {
        let streams = [
            Ok(report("")),
            Err(UnreadableStream {
                name: "tfc",
                error: "cannot read <it>".to_owned(),
            }),
        ];
        let page = page(&streams, People::Named);
        assert!(page.contains("<dt>Last record</dt><dd>none</dd>"));
        assert!(page.contains("No run has written a coverage journal"));
        assert!(page.contains("<section id=\"tfc\">") && page.contains("cannot read &lt;it&gt;"));
        assert!(page.contains(", on collector-1."));
    }

    #[test]
    fn a_page_without_people_names_none() {
        let line = "{\"eventType\": \"x\", \"date\": \"2025-06-09T10:00:00Z\", \"userLogin\": \"anna\", \
                    \"clientIp\": \"192.0.2.77\"}\n";
        assert!(render(vec![report(line)]).contains("192.0.2.77"));
        let streams = [Ok(read(line, Surveyor::repeated(&SOURCES[0])))];
        let page = page(&streams, People::LeftOut);
        for word in ["anna", "192.0.2.77", "Users", "Network addresses"] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(page.contains("Event types") && page.contains("names no users"));
    }
}
