//! Pages in Markdown: their headings, links and code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use walkdir::WalkDir;

/// Where the pages of the book are, with its table of contents.
pub(super) const BOOK: &str = "docs/";

/// A page, by its path from the root of the repository.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) name: String,
    pub(super) text: String,
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Page {
    pub(super) fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let name = name.to_owned();
        Self { name, text }
    }

    /// The pages whose command lines are run, in the order in which they are read.
    pub(super) fn all() -> Vec<Self> {
        let first = ["README.md", "CONTRIBUTING.md"].map(Self::read);
        first.into_iter().chain(Self::of_the_book()).collect()
    }

    pub(super) fn of_the_book() -> Vec<Self> {
        let files = WalkDir::new(root().join(BOOK)).sort_by_file_name().into_iter();
        let paths = files.map(|entry| entry.unwrap().into_path());
        let pages: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            .map(|path| Self::read(path.strip_prefix(root()).unwrap().to_str().unwrap()))
            .collect();
        assert!(pages.len() > 20, "{pages:?}");
        pages
    }

    pub(super) fn is_of_the_book(&self) -> bool {
        self.name.starts_with(BOOK)
    }

    /// What is not in a block of code.
    fn prose(&self) -> String {
        let mut is_code = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        assert!(!is_code, "{}: a block of code does not end", self.name);
        prose
    }

    pub(super) fn headings(&self) -> Vec<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        headings.map(ToOwned::to_owned).collect()
    }

    /// The names that GitHub and mdbook give to the headings.
    pub(super) fn anchors(&self) -> BTreeSet<String> {
        let mut times = BTreeMap::new();
        let anchors = self.headings().into_iter().map(|heading| {
            let anchor = anchor(&heading);
            let before = times.entry(anchor.clone()).or_insert(0);
            *before += 1;
            match *before {
                1 => anchor,
                times => format!("{anchor}-{}", times - 1),
            }
        });
        anchors.collect()
    }

    /// Where the links lead, as it is written.
    pub(super) fn links(&self) -> Vec<String> {
        let prose = self.prose();
        // What is between backticks is no link.
        let text: String = prose.split('`').step_by(2).collect();
        let targets = text.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0);
        targets.map(ToOwned::to_owned).collect()
    }

    /// What stands between backticks.
    pub(super) fn code(&self) -> Vec<String> {
        let prose = self.prose();
        let parts: Vec<_> = prose.split('`').collect();
        assert!(parts.len() % 2 == 1, "{}: an odd number of backticks", self.name);
        let code = parts.into_iter().skip(1).step_by(2);
        code.map(|code| code.replace('\n', " ")).collect()
    }

    /// The path from the root of the repository of what a link leads to.
    pub(super) fn target(&self, link: &str) -> PathBuf {
        let mut path = PathBuf::from(&self.name);
        if link.is_empty() {
            return path;
        }
        path.pop();
        for part in Path::new(link).components() {
            match part {
                Component::Normal(part) => path.push(part),
                Component::ParentDir => assert!(path.pop(), "{}: {link} leads out of the repository", self.name),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => panic!("{}: {link} is absolute", self.name),
            }
        }
        path
    }
}

fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'));
    kept.map(|character| if character == ' ' { '-' } else { character })
        .collect()
}
