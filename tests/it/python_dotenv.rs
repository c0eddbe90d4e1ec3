//! A test against the real python-dotenv: the same files have to give the same settings.
//!
//! Python collectors read their `.env` with `dotenv_values(encoding='utf-8-sig', interpolate=False)`, and people bring these
//! files along.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use secrecy::ExposeSecret;
use serde::Deserialize;
use trailkeeper::env::Env;

use super::support::random::{many, random};
use super::support::{PythonPackage, succeed};

const PACKAGE: PythonPackage = PythonPackage {
    name: "python-dotenv",
    named_by: "PYTHON_WITH_DOTENV",
    import: IMPORT,
};

/// Fails without the package. Before this version a few lines were read otherwise, such as `A= # a comment`.
const IMPORT: &str = r#"
import dotenv, importlib.metadata
version = importlib.metadata.version("python-dotenv")
assert tuple(map(int, version.split(".")[:3])) >= (1, 2, 4), "version " + version + " is older than 1.2.4"
"#;

/// Prints what python-dotenv reads from each file, and how many of its statements it cannot read or gives no value.
const SCRIPT: &str = r#"
import json, logging, sys
from dotenv import dotenv_values
from dotenv.parser import parse_stream
logging.disable()
def read(path):
    values = dotenv_values(path, encoding="utf-8-sig", interpolate=False)
    with open(path, encoding="utf-8-sig") as file:
        statements = list(parse_stream(file))
    faults = sum(s.error or (s.key is not None and s.value is None) for s in statements)
    # A name alone takes the value away; here it is a fault, and the value of no matter.
    last = {s.key: s.value for s in statements if s.value is not None}
    return {"values": {k: last.get(k) if v is None else v for k, v in values.items() if k in last}, "faults": faults}
print(json.dumps([read(path) for path in sys.argv[1:]]))
"#;

/// Every line that people have in such a file, one file each. What follows shows where a value ends.
const FILES: &[&str] = &[
    "",
    "\n\n",
    "A=1",
    "A=1\nB=2\n",
    "A=1\r\nB=2\r\n",
    "A=1\rB=2\r",
    "\u{feff}A=1\n",
    "\u{feff}\u{feff}A=1\n",
    "\u{feff}\u{feff}\u{feff}A=1\nB=2\n",
    "\u{feff}\u{feff}\u{feff}\n ",
    "\u{feff}# first\r\nA=1\r\n",
    "\u{feff}\r\n\r\nA=1",
    "# a comment\nA=1\n  # another\n",
    "#A=1\n",
    // Dollar signs.
    "A=y0_ab$cd\n",
    "A=$cd\nB=2",
    "B=2\nA=x$B\n",
    "B=2\nA=x${B}y\n",
    "B=2\nA=\"x${B}y\"\n",
    "B=2\nA='x${B}y'\n",
    "A=${X:-default}\n",
    r"A=\$B",
    r#"A="\$B""#,
    "A=$\nB=$$\n",
    // `export`.
    "export A=1\n",
    "export\tA=1\n",
    "  export   A=1\n",
    "export export A=1\n",
    "export=1\n",
    "export =1\nB=2\n",
    "export A\nB=2\n",
    "export\nB=2\n",
    "export \nB=2\n",
    "exported=1\n",
    "EXPORT A=1\nB=2\n",
    // Spaces around.
    "A =1\n",
    "A= 1\n",
    "  A  =  1  \nB=2\n",
    "A=\t1\t\n",
    "A=x y z\n",
    "A=x  y\nB=2",
    "A= \nB=2\n",
    "A=\nB=2\n",
    "A=",
    "A=\u{a0}1\u{a0}\n",
    "A=1\u{1f}\n",
    "A=1\u{2028}B=2\n",
    "A=a\u{b}b \u{b}\n",
    "\u{85}A=1\n",
    // Comments behind a value.
    "A=1 # a comment\nB=2\n",
    "A=1#no comment\n",
    "A=1 #\n",
    "A=1\t# a comment\n",
    "A=a#b #c #d\n",
    "A=#1\n",
    "A= # a comment\nB=2\n",
    "A= #\n",
    "A=\"1\" # a comment\n",
    "A='1'# a comment\n",
    "A='1 # no comment'\n",
    "A=\"1 # no comment\"\n",
    "A=1 ' # a comment\n",
    "A # a comment\nB=2\n",
    // Quotes.
    "A='1'\nB=\"2\"\n",
    "A=''\nB=\"\"\n",
    "A='two words'\n",
    "A=\"two words\"\n",
    "A=' 1 '\n",
    "A='it\"s'\nB=\"it's\"\n",
    "A=it's\nB=2\n",
    "A=1\"2\"\n",
    "A=1'2'3\n",
    "A='1'2\nB=2\n",
    "A=\"1\" 2\nB=2\n",
    "A='1' '2'\nB=2\n",
    "A='1\nB=2\n",
    "A=\"1\nB=2\n",
    "A='1\nB='2'\n",
    "A=\"\nB=2\n",
    "A='two\nlines'\nB=2\n",
    "A='two\r\nlines'\r\nB=2\r\n",
    "A=\"two\nlines\" # said\nB=2\n",
    "A='x\ny' z\nB=2\n",
    "A=`1`\n",
    "A=\u{2018}1\u{2019}\n",
    // Backslashes.
    r"A=a\nb",
    r"A=C:\logs\audit",
    r"A='a\nb'",
    r"A='a\'b'",
    r"A='a\\b'",
    r"A='a\\'",
    "A='a\\'\nB=2\n",
    r#"A="a\nb""#,
    r#"A="a\tb\rc\ad\be\ff\vg""#,
    r#"A="a\"b\'c\\d""#,
    r#"A="a\xb\u0041\101\d""#,
    r#"A="a\\nb""#,
    r#"A="C:\logs\audit""#,
    "A=\"a\\\nb\"\n",
    "A=a\\\nb=2\n",
    "A=1\\\n",
    // Names.
    "'A'=1\n",
    "'A B'=1\n",
    "'A=1\nB=2\n",
    "''=1\nB=2\n",
    "'A'B=1\nC=2\n",
    "\"A\"=1\n",
    "A.B-C=1\n",
    "1A=1\n",
    "Имя=Общая папка\n",
    "A B=1\nC=2\n",
    "A#=1\nB=2\n",
    "=1\nB=2\n",
    "A==1\n",
    "A=b=c&d=e\n",
    "A\nB=2\n",
    "A: 1\nB=2\n",
    "A\n=1\nB=2\n",
    "A=1\nA=2\n",
    "A=1 B=2\n",
    "A=1; B=2\n",
    "A=1,\n",
    // What tokens look like.
    "A=Bearer abc.def-ghi_jkl==\n",
    "A=p@ss!w^rd%&*()[]{}<>?|~\n",
    "A=%24HOME%20\n",
    "A=\u{1f511}\n",
];

/// What random files are made of.
const PARTS: &[&str] = &[
    "A", "B", "c", "=", "=", "=", "'", "\"", "\\", "\\n", "$", "${A}", "#", " #", " ", "\t", "\n", "\n", "\r\n", "\r",
    "export ", "1", "é", "\u{a0}", "\u{85}", "\u{1f}", "\u{2028}", "\u{feff}", "\\'", "\\\"",
];

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Reading {
    values: BTreeMap<String, String>,
    faults: usize,
}

fn read_by_python(python: &OsStr, folder: &Path, files: usize) -> Vec<Reading> {
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).current_dir(folder);
    let run = succeed(command.args((0..files).map(|file| file.to_string())));
    serde_json::from_str(&run.stdout).unwrap()
}

fn read_by_us(path: &Path) -> Reading {
    let (variables, errors) = Env::read_file(path);
    let values = variables.into_iter();
    Reading {
        values: values
            .map(|(name, value)| (name, value.expose_secret().to_owned()))
            .collect(),
        faults: errors.iter().count(),
    }
}

/// On a machine without the package it says that it was not run; `.ci/run` sees to it that it is.
#[test]
fn settings_files_are_read_as_python_dotenv_reads_them() {
    let test = "settings_files_are_read_as_python_dotenv_reads_them";
    let Some(python) = PACKAGE.python(test) else { return };
    let mut random = random();
    let mut files: Vec<_> = FILES.iter().map(|&text| text.to_owned()).collect();
    files.extend((0..many(2_000)).map(|_| {
        let parts = 1..random.usize(2..24);
        parts.map(|_| PARTS[random.usize(..PARTS.len())]).collect()
    }));
    for files in files.chunks(2_000) {
        let folder = tempfile::tempdir().unwrap();
        for (index, text) in files.iter().enumerate() {
            fs::write(folder.path().join(index.to_string()), text).unwrap();
        }
        let expected = read_by_python(&python, folder.path(), files.len());
        assert_eq!(expected.len(), files.len());
        let readings = (0..files.len()).map(|index| read_by_us(&folder.path().join(index.to_string())));
        let pairs = files.iter().zip(readings.zip(expected));
        let different: Vec<_> = pairs
            .filter(|(_, (ours, theirs))| ours != theirs)
            .map(|(text, (ours, theirs))| format!("{text:?}\n  here: {ours:?}\n  python-dotenv: {theirs:?}"))
            .collect();
        assert!(
            different.is_empty(),
            "{} files:\n{}",
            different.len(),
            different.join("\n")
        );
    }
}
