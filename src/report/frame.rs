//! The frame of a page: its style, and nothing that is loaded from elsewhere.

use maud::{Markup, PreEscaped, html};

/// Forbids to load or run anything, so that even markup from a record could do no harm.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = include_str!("style.css");

/// Returns the page with this title that begins like this.
pub(crate) fn frame(beginning: &str, title: &str, body: &Markup) -> String {
    let page = html! {
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    format!("{beginning}{}\n", page.into_string())
}
