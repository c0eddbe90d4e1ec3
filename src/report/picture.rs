//! The frame of a picture: marks that say what they are when the pointer or the keyboard is on them, without a script.
//!
//! A mark is a radio button: the marks of a picture are one stop of the tab key, and the arrow keys go from one to the next.
//! The style sheet shows its label above the picture.

use maud::{Markup, html};

/// A picture and what it shows.
pub(super) struct Picture<'a> {
    /// What it shows, for those who do not see it.
    pub(super) label: &'a str,
    /// The name of its marks, which no other picture has.
    pub(super) name: &'a str,
}

/// A part of a picture that has a label.
pub(super) struct Mark {
    pub(super) label: String,
    pub(super) class: String,
    /// Where it stands, or how high it is: a declaration of a style sheet.
    pub(super) style: String,
}

impl Picture<'_> {
    /// Writes the frame; what does not fit can be scrolled.
    pub(super) fn frame(&self, class: &str, marks: impl Iterator<Item = Mark>, names: &Markup, style: &str) -> Markup {
        html! {
            div.picture {
                div.scroll {
                    div class=(class) style=(style) {
                        div.marks role="radiogroup" aria-label={ (self.label) "; the arrow keys go from one to the next" } {
                            @for mark in marks { (self.mark(&mark)) }
                        }
                        (names)
                    }
                }
            }
        }
    }

    fn mark(&self, mark: &Mark) -> Markup {
        html! {
            input type="radio" name=(self.name) class=(mark.class) style=(mark.style) aria-label=(mark.label);
        }
    }
}
